"""One training on two machines, which are two launchers that share no folder."""

import sys

import pytest
import torch

from runtime import launch
from runtime.errors import UserError

MORTAL = """
import os, signal
import train_dcgan
from runtime.errors import run_command
from training.config import parse_command_line
from training.run import TrainingRun

def finish_step(run, *arguments):
    if run.step == 3 and "MORTAL" in os.environ:
        os.kill(os.getpid(), signal.SIGKILL)
    finish(run, *arguments)

finish, TrainingRun.finish_step = TrainingRun.finish_step, finish_step
run_command(lambda: train_dcgan.main(parse_command_line(train_dcgan.RECIPES)))
"""
OPTIONS = ("--max-steps", 4, "--checkpoint-every", 2, "--log-every", 1, "--sample-every", 99)


def test_after_a_killed_process_two_machines_go_on_to_what_one_process_does(
    machine, dcgan_command, train, tmp_path, state
):
    script = tmp_path / "mortal.py"
    script.write_text(MORTAL)

    def start(*options, **environment):
        machines = []
        for rank in range(2):
            command = dcgan_command(tmp_path / f"machine{rank}", "dcgan", *OPTIONS, *options)
            machines.append(machine(rank, script, *command, **(environment if rank else {})))
        errors = [process.communicate(timeout=300)[1] for process in machines]
        return [process.returncode for process in machines], errors

    status, errors = start(MORTAL="1")
    assert status == [1, 1], errors
    assert "error: process 1 was killed by SIGKILL: go on with --resume" in errors[1]
    assert "error: another process, which says why, has failed: go on with --resume" in errors[0]
    assert not any("Traceback" in said for said in errors), errors
    status, errors = start("--resume")
    assert status == [0, 0], errors
    assert not (tmp_path / "machine1" / "dcgan").exists()  # the first machine writes, and sends what is resumed
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
