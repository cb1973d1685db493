"""Machines that differ: paths and locales, no home, no shared memory, older processors, clocks that jump."""

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest

from data.cache import cache_folder
from tests.faults.commands import call
from tests.faults.recipes import small, state, write_data

COMMANDS = 7  # of tests/faults/elsewhere.py
BY_NAME = "import runpy, sys; sys.path.append(sys.argv.pop(1)); runpy.run_module('elsewhere', run_name='__main__')"


def survive(fault, kind, command, **options):
    """Count what tests/faults/elsewhere.py, started by `command`, does."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=1200, **options)
    results = [line.split("|") for line in done.stdout.splitlines() if "|" in line]
    for number in range(COMMANDS):
        with fault(kind, f"command {number}"):
            assert number < len(results), done.stderr
            assert results[number][1:] == ["0"], results[number]


@pytest.fixture
def checkout(root, tmp_path):
    """A copy of the repository under a path with spaces, quotes and letters beyond ASCII."""
    checkout = tmp_path / "ein \"Ort\" für 'alles' $x" / "faces & digits"
    beside = shutil.ignore_patterns(".*", "datasets", "runs", "outputs", "__pycache__")
    shutil.copytree(root, checkout, ignore=beside)
    (checkout / ".venv").symlink_to(Path(sys.prefix))
    return checkout


def test_another_path_and_locale(fault, checkout, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "PYTHON"))}
    environment |= {"LANG": "C", "LC_ALL": "C"}
    command = ("bash", checkout / "scripts" / "python.sh", "-c", BY_NAME, checkout / "tests" / "faults")
    survive(fault, "paths and LANG=C", (*command, checkout / "meine Läufe"), env=environment, cwd=tmp_path)


def test_no_home_no_shared_memory_no_avx512(root, fault, campaign, tmp_path):
    if not campaign:
        pytest.skip("bash scripts/test.sh --faults has a process of its own for it")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("only root may take /dev/shm away")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    environment |= {"HOME": "/nowhere/home", "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    environment |= {"PYTHONPATH": str(root)}
    program = [sys.executable, "tests/faults/elsewhere.py", str(tmp_path / "elsewhere")]
    without = ["unshare", "--mount", "sh", "-c", 'umount -l /dev/shm && exec "$@"', "sh"]
    survive(fault, "no home, /dev/shm or AVX-512", [*without, *program], env=environment, cwd=root)


def test_a_user_without_a_home(fault, tmp_path, monkeypatch):
    """A process of a user that the system has no name for, as in a container, and without $HOME."""
    write_data(tmp_path / "data")
    monkeypatch.delenv("XDG_CACHE_HOME")
    with (
        fault("no home, /dev/shm or AVX-512", "no user"),
        mock.patch.object(Path, "home", side_effect=RuntimeError("Could not determine home directory.")),
    ):
        status, err = call("train_acgan", *small("train_acgan", "acgan28", tmp_path / "data", tmp_path, "run"))
        assert status == 0, err
        assert not cache_folder().exists()


def test_a_clock_that_jumps(fault, tmp_path, monkeypatch):
    """Nothing but the speed shown depends on the time of day, or on when a file is said to have been written."""
    write_data(tmp_path / "data")
    words = small("train_acgan", "acgan28", tmp_path / "data", tmp_path, "whole")
    assert call("train_acgan", *words)[0] == 0
    draw, now = random.Random(0), time.time
    jumping = mock.Mock(side_effect=lambda: max(0.0, now() + draw.choice((-1e10, -1e6, 0, 1e6, 1e10))))
    for written in (0, 2**33):
        for path in (tmp_path / "data").rglob("*.png"):
            os.utime(path, (written, written))
        name = f"written {written}"
        words = small("train_acgan", "acgan28", tmp_path / "data", tmp_path, name)
        with fault("clock that jumps", name), mock.patch("time.time", jumping), mock.patch("tqdm.std.time", jumping):
            status, err = call("train_acgan", *words, "--max-steps", 2)
            assert status == 0, err
            status, err = call("train_acgan", *words, "--resume")
            assert status == 0, err
            assert state(tmp_path / name) == state(tmp_path / "whole")
    assert jumping.called
