"""One training on two machines, which are two launchers that share no folder."""

import os
import subprocess
import sys

import pytest
import torch

from runtime import launch
from runtime.errors import UserError


@pytest.fixture
def machine(root, tmp_path):
    """Start one of two machines: `machine(rank, script, *words)`."""

    def machine(rank, *words, **environment):
        names = {"NODES": "2", "NODE_RANK": str(rank), "MASTER": f"127.0.0.1:{20000 + os.getpid() % 20000}"}
        names |= {"XDG_CACHE_HOME": str(tmp_path / f"cache{rank}"), "PYTHONPATH": str(root), **environment}
        command = [sys.executable, "-m", "runtime.launch", *map(str, words)]
        return subprocess.Popen(command, env=os.environ | names, cwd=root, stderr=subprocess.PIPE, text=True)

    return machine


OPTIONS = ("--max-steps", 4, "--checkpoint-every", 2, "--log-every", 1, "--sample-every", 99)


def test_two_machines_do_what_one_process_does(machine, dcgan_command, train, root, tmp_path, state):
    machines = []
    for rank in range(2):
        command = dcgan_command(tmp_path / f"machine{rank}", "dcgan", *OPTIONS)
        machines.append(machine(rank, root / "train_dcgan.py", *command))
    errors = [process.communicate(timeout=300)[1] for process in machines]
    assert [process.returncode for process in machines] == [0, 0], errors
    assert not (tmp_path / "machine1" / "dcgan").exists()  # the first machine writes
    assert_equal(state(tmp_path / "machine0" / "dcgan"), state(train(tmp_path, "dcgan", *OPTIONS)))


def assert_equal(together, alone):
    """A run of several processes is that of one, but for rounding."""
    assert [line["step"] for line in together["log"]] == [1, 2, 3, 4]
    for name in ("generator", "discriminator", "average"):
        for key, value in alone["checkpoint"]["parts"][name].items():
            torch.testing.assert_close(together["checkpoint"]["parts"][name][key], value, atol=2e-3, rtol=1e-2)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"NODES": "2"}, "NODES=2 needs NODE_RANK from 0 to 1 and MASTER=HOST:PORT of machine 0"),
        ({"NODES": "2", "NODE_RANK": "2", "MASTER": "here:1"}, "NODES=2 needs NODE_RANK from 0 to 1"),
        (
            {"NODES": "2", "NODE_RANK": "1", "MASTER": "here"},
            "NODES=2 needs NODE_RANK from 0 to 1 and MASTER=HOST:PORT",
        ),
        ({"GPUS": "all"}, "GPUS=all: give a whole number"),
    ],
)
def test_what_is_missing_is_said(monkeypatch, environment, message):
    for name in ("NODES", "NODE_RANK", "MASTER", "GPUS", "PROCESSES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        launch.options()


def test_a_machine_that_nobody_answers_says_so_last(monkeypatch, error_of):
    for name, value in {"NODES": "2", "NODE_RANK": "1", "MASTER": "127.0.0.1:1", "PROCESSES": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(launch, "PATIENCE", 1)
    monkeypatch.setattr(sys, "argv", ["runtime.launch", "train_dcgan.py", "dcgan"])
    line = (
        "error: the machines did not meet, or lost each other, at 127.0.0.1:1: start them within 1 s, and let its port"
    )
    assert error_of(launch.main).startswith(line)
