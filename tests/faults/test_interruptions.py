"""Kills, full disks, and two processes at once."""

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from experiments.__main__ import make_all
from experiments.rows import Task
from runtime.errors import UserError, run_command
from runtime.files import lock_folder, write_atomically
from runtime.images import claimed
from tests.faults.recipes import RECIPES

HOLDS = "import sys; from pathlib import Path; from runtime.files import lock_folder\n"
HOLDS += "lock = lock_folder(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"


def interrupt(root, folder, times, kinds):
    """What tests/faults/interruptions.py found: a kind of command, how often it was stopped, what went wrong."""
    command = [sys.executable, "tests/faults/interruptions.py", folder, str(times), *kinds]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [kind for kind, _, _ in results] == list(kinds), done.stderr
    return results


def test_killed_runs_are_resumed_bit_for_bit(fault, root, tmp_path, campaign):
    times, recipes = (20, [recipe for _, recipe in RECIPES]) if campaign else (2, ["dann-lenet"])
    for recipe, killed, problem in interrupt(root, tmp_path, times, recipes):
        for number in range(times):
            with fault("SIGKILL at random and while saving", f"{recipe} {number}"):
                assert killed == times and not problem, problem


def test_what_is_stopped_is_not_taken_for_whole(fault, root, tmp_path, campaign):
    if not campaign:
        pytest.skip("bash scripts/test.sh --faults stops every kind of command")
    kinds = ("train", "generate", "prepare", "classify", "score", "report")
    for kind, stopped, problem in interrupt(root, tmp_path, 10, kinds):
        for number in range(10):
            with fault("SIGTERM and SIGINT", f"{kind} {number}"):
                assert stopped == 10 and not problem, problem


def test_two_processes_at_once_mix_nothing(fault, root, tmp_path, campaign):
    times, kinds = (5, ("train", "generate", "prepare", "classify", "score", "report")) if campaign else (1, ("train",))
    for kind, called, problem in interrupt(root, tmp_path, times, [f"two {kind}" for kind in kinds]):
        for number in range(2 * times):
            with fault("two processes at once", f"{kind} {number}"):
                assert called == 2 * times and not problem, problem


TRAINING = """
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
folder.mkdir(exist_ok=True)
def end(number, frame):
    (folder / "config.json").write_text("saved")
    sys.exit(130)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, end)
(folder / "begun").touch()
time.sleep(60)
(folder / "scores.json").touch()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_experiment_that_is_stopped_ends_its_trainings(number, fault, tmp_path):
    """Also when no one but the runner itself is told, as by `kill`."""
    tasks = [Task(tmp_path / name, (sys.executable, "-c", TRAINING, str(tmp_path / name))) for name in ("one", "two")]
    runner = os.fork()
    if not runner:
        status = 1
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            run_command(lambda: asyncio.run(make_all(tasks, 1, tmp_path / "logs")))
        except SystemExit as end:
            status = end.code
        finally:
            os._exit(status)
    end = time.monotonic() + 60
    while not (tmp_path / "one" / "begun").exists() and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(runner, number)
    status = os.waitstatus_to_exitcode(os.waitpid(runner, 0)[1])
    with fault("SIGTERM and SIGINT", f"experiments {number.name}"):
        assert status == 128 + number and time.monotonic() < end
        assert tasks[0].state == "stopped" and tasks[1].state == "missing"


@pytest.fixture
def holder(root, tmp_path):
    """Another process that holds `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, tmp_path], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_folder_that_another_process_writes_into_is_refused_until_it_dies(holder, fault, tmp_path):
    with (
        fault("two processes at once", "output folder"),
        pytest.raises(UserError, match="another process is writing into"),
        claimed(tmp_path, ["0.png"]),
    ):
        pass
    with (
        fault("two processes at once", "run directory"),
        pytest.raises(UserError, match="wait for it, or give another folder"),
    ):
        lock_folder(tmp_path)
    holder.kill()
    holder.wait()
    with fault("two processes at once", "after a crash"):
        first = lock_folder(tmp_path)
        assert lock_folder(tmp_path) is first


def test_a_file_size_limit_leaves_the_former_file(fault, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"former")
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, former[1]))
    try:
        with fault("full disk", "file"), pytest.raises(OSError, match="File too large") as error:
            write_atomically(path, bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert error.value.filename == str(path)
    assert path.read_bytes() == b"former"
    assert os.listdir(tmp_path) == ["file"]
