"""A run's directory and its course, through `train_dcgan.py` at a tiny size."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
import torch
from PIL import Image
from safetensors import safe_open

from training.saving import Saver

# 48 pictures in batches of 8: six steps an epoch. Steps 3 and 6 are checkpoints between two lines of the log.
EVERY = ("--log-every", 2, "--checkpoint-every", 3, "--sample-every", 4, "--ema-decay", 0.999)


@pytest.fixture(scope="module")
def uninterrupted(train, tmp_path_factory):
    """A run of eight steps with dropout, which draws from the global generator."""
    return train(tmp_path_factory.mktemp("runs"), "pixelshuffle", "--max-steps", 8, *EVERY)


def contents(folder):
    """Every file under `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_directory_holds_settings_log_samples_checkpoint_and_weights(uninterrupted, state):
    assert sorted(contents(uninterrupted)) == [
        *("checkpoint.pt", "config.json", "metrics.jsonl", "networks.txt"),
        *("samples/0000004.png", "samples/0000008.png", "weights.safetensors"),
    ]
    config = json.loads((uninterrupted / "config.json").read_text())
    assert config["recipe"] == config["settings"]["recipe"] == "pixelshuffle"
    assert config["seed"] == config["settings"]["seed"] == 999
    assert config["settings"]["real_labels"] == [0.7, 1.03]
    assert config["settings"]["width"] == 8
    assert (config["total_steps"], config["steps_per_epoch"], config["processes"]) == (8, 6, 1)
    assert config["versions"]["torch"] == torch.__version__.split("+")[0]
    assert len(config["commands"]) == 1
    assert "float32" in config["hardware"]
    assert {"commit"} < config.keys()

    networks = (uninterrupted / "networks.txt").read_text()
    assert "generator " in networks and "PixelShuffle" in networks and "SpectralNorm" in networks  # as D has it

    left = state(uninterrupted)
    assert [line["step"] for line in left["log"]] == [2, 4, 6, 8]
    assert [line["epoch"] for line in left["log"]] == [0.333333, 0.666667, 1, 1.333333]
    assert all(line.keys() == {"step", "epoch", "d_loss", "g_loss"} for line in left["log"])
    assert left["checkpoint"]["step"] == 8
    assert left["checkpoint"]["parts"].keys() == {
        *("generator", "discriminator", "average", "g_optimizer", "d_optimizer")
    }
    with Image.open(uninterrupted / "samples" / "0000008.png") as page:
        assert page.size == (8 * 66 + 2, 8 * 66 + 2)
    with safe_open(uninterrupted / "weights.safetensors", "pt") as file:
        metadata = file.metadata()
    assert metadata["network"] == "pixelshuffle-generator"
    assert json.loads(metadata["arguments"]) == {"latent_size": 16, "width": 8}
    assert json.loads(metadata["about"]) == {"recipe": "pixelshuffle", "step": 8, "epochs": 1.33}


def test_a_line_of_the_log_is_the_mean_over_its_steps(uninterrupted, train, tmp_path, state):
    every_step = state(train(tmp_path, "pixelshuffle", "--max-steps", 8, *EVERY, "--log-every", 1))["log"]
    for line in state(uninterrupted)["log"]:
        steps = [other for other in every_step if line["step"] - 2 < other["step"] <= line["step"]]
        for loss in ("d_loss", "g_loss"):
            assert line[loss] == pytest.approx(sum(step[loss] for step in steps) / 2, abs=2e-6)
    assert len({line["d_loss"] for line in every_step}) == 8


def test_the_weights_are_the_average_and_the_checkpoint_has_both(uninterrupted, state):
    left = state(uninterrupted)
    parts = left["checkpoint"]["parts"]
    for name, value in left["weights"].items():
        assert torch.equal(value, parts["average"][name])
    assert not torch.equal(parts["average"]["layers.1.weight"], parts["generator"]["layers.1.weight"])


def test_weights_can_be_kept(train, tmp_path):
    folder = train(tmp_path, "dcgan", "--max-steps", 5, "--keep-every", 2)
    assert sorted(os.listdir(folder / "kept")) == ["0000002.safetensors", "0000004.safetensors"]


def test_checkpoints_can_be_left_out_until_some_time_has_passed(uninterrupted, train, tmp_path, monkeypatch):
    """But not the last one, nor weights that are to be kept; training is the same."""
    saved = []

    def save(self, state, *arguments, save=Saver.save):
        saved.append(state["step"])
        save(self, state, *arguments)

    monkeypatch.setattr(Saver, "save", save)
    options = (*EVERY, "--max-steps", 8, "--checkpoint-every", 1, "--checkpoint-seconds", 3600, "--keep-every", 5)
    folder = train(tmp_path, "pixelshuffle", *options)
    assert saved == [5, 8]
    assert (folder / "weights.safetensors").read_bytes() == (uninterrupted / "weights.safetensors").read_bytes()


def test_the_seed_decides_everything(uninterrupted, train, tmp_path, assert_same_run, state):
    same = train(tmp_path, "pixelshuffle", "--max-steps", 8, *EVERY, "--name", "same")
    assert_same_run(same, uninterrupted)
    for path in ("samples/0000004.png", "samples/0000008.png"):
        assert (same / path).read_bytes() == (uninterrupted / path).read_bytes()
    other = train(tmp_path, "pixelshuffle", "--max-steps", 8, *EVERY, "--name", "other", "--seed", 1)
    assert state(other)["log"][0]["d_loss"] != state(same)["log"][0]["d_loss"]


# Training that is killed while it writes the checkpoint of its sixth step, and goes on with the seventh.
KILLED = """
import os, signal, sys, time
import train_dcgan
from training.config import parse_command_line
from training.run import TrainingRun

def save_and_die(self, save=TrainingRun.save):
    def die(_):
        end = time.monotonic() + 20
        while self.step == 6 and time.monotonic() < end:
            time.sleep(0.001)
        print(f"killed in step {self.step}", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if self.step == 6:
        os.fsync = die
    save(self)

TrainingRun.save = save_and_die
train_dcgan.main(parse_command_line(train_dcgan.RECIPES))
"""


def test_a_killed_run_goes_on_as_if_never_stopped(
    uninterrupted, run, train, dcgan_command, tmp_path, assert_same_run, state
):
    command = dcgan_command(tmp_path, "pixelshuffle", "--max-steps", 8, *EVERY)
    killed = run("-c", KILLED, *command)
    folder = tmp_path / "pixelshuffle"
    assert killed.returncode == -signal.SIGKILL and killed.stderr.endswith("killed in step 7\n"), killed.stderr
    left = state(folder)
    assert left["checkpoint"]["step"] == 3
    assert [line["step"] for line in left["log"]] == [2, 4, 6]

    train(tmp_path, "pixelshuffle", "--resume")
    assert_same_run(folder, uninterrupted)
    assert len(json.loads((folder / "config.json").read_text())["commands"]) == 2


def test_a_run_can_be_made_longer_and_again(uninterrupted, train, tmp_path, assert_same_run, capsys):
    for steps in (4, 6, 8):
        resume = ("--resume",) if steps > 4 else ()
        folder = train(tmp_path, "pixelshuffle", *EVERY, "--max-steps", steps, *resume)
        assert f"done, step {steps} of {steps} after" in capsys.readouterr().out
    assert_same_run(folder, uninterrupted)


def test_more_epochs_are_a_matter_of_one_option(train, tmp_path, state):
    folder = train(tmp_path, "dcgan", "--epochs", 1)
    assert state(folder)["checkpoint"]["step"] == 6
    train(tmp_path, "dcgan", "--resume", "--epochs", 2)
    assert state(folder)["checkpoint"]["step"] == 12
    assert [line["epoch"] for line in state(folder)["log"]] == [1, 2]


def test_a_resumed_run_takes_the_optimizers_settings_as_they_are_given(train, tmp_path, state):
    train(tmp_path, "dcgan", "--max-steps", 2)
    folder = train(tmp_path, "dcgan", "--resume", "--max-steps", 3, "--betas", 0.3, 0.9)
    assert tuple(state(folder)["checkpoint"]["parts"]["g_optimizer"]["param_groups"][0]["betas"]) == (0.3, 0.9)


def test_a_finished_run_has_nothing_to_resume(train, tmp_path, capsys):
    folder = train(tmp_path, "dcgan", "--max-steps", 2)
    before = contents(folder)
    train(tmp_path, "dcgan", "--resume")
    assert capsys.readouterr().out.count("done, step 2 of 2 after") == 2
    after = contents(folder)
    assert before.pop("config.json") != after.pop("config.json")  # which lists both commands
    assert after == before


def test_without_a_checkpoint_resume_begins_at_the_first_step(uninterrupted, train, tmp_path, assert_same_run):
    folder = train(tmp_path, "pixelshuffle", *EVERY, "--max-steps", 8)
    (folder / "checkpoint.pt").unlink()
    train(tmp_path, "pixelshuffle", "--resume")
    assert_same_run(folder, uninterrupted)


@pytest.fixture
def finished(train, tmp_path):
    """A run of two steps."""
    return train(tmp_path, "dcgan", "--max-steps", 2)


@pytest.mark.parametrize(
    ("recipe", "options", "message"),
    [
        ("dcgan", (), "exists: go on with --resume, or start another with --name"),
        ("sagan", ("--name", "dcgan", "--resume"), "is a run of dcgan: give another --name, or that recipe"),
        ("dcgan", ("--name", "other", "--resume"), "no run to resume at"),
        ("dcgan", ("--resume", "--width", 16), "does not fit this run (Error(s) in loading state_dict"),
        ("dcgan", ("--resume", "--bias"), "does not fit this run (Error(s) in loading state_dict"),
        ("dcgan", ("--resume", "--d-optimizer", "sgd"), "does not fit this run (another kind of optimizer)"),
    ],
)
def test_a_run_that_is_there_is_never_harmed(finished, train, error_of, recipe, options, message):
    before = contents(finished.parent)
    assert message in error_of(lambda: train(finished.parent, recipe, *options))
    assert contents(finished.parent) == before


@pytest.mark.parametrize("damage", ["truncated", "text", "pickle"])
def test_a_damaged_checkpoint_is_an_error_and_runs_no_code(finished, train, error_of, damage):
    path = finished / "checkpoint.pt"
    match damage:
        case "truncated":
            path.write_bytes(path.read_bytes()[:1000])
        case "text":
            path.write_text("no checkpoint")
        case "pickle":
            torch.save({"step": 2, "parts": Trap(finished / "sprung")}, path)
    assert "checkpoint.pt does not fit this run" in error_of(lambda: train(finished.parent, "dcgan", "--resume"))
    assert not (finished / "sprung").exists()


class Trap:
    """An object that makes a file when it is unpickled carelessly."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("log_every", [1, 50])
def test_a_loss_that_is_no_number_ends_the_run_before_it_is_saved(finished, train, error_of, log_every):
    before = contents(finished)
    options = ("--resume", "--max-steps", 6, "--d-lr", 1e30, "--log-every", log_every, "--checkpoint-every", 1)
    line = error_of(lambda: train(finished.parent, "dcgan", *options))
    assert " is not a finite number at step " in line
    assert f"{finished / 'checkpoint.pt'} keeps the last good state: lower the learning rates or use float32" in line
    after = contents(finished)
    for name in ("checkpoint.pt", "weights.safetensors", "metrics.jsonl"):
        assert after[name] == before[name]
    assert train(finished.parent, "dcgan", "--resume", "--max-steps", 4, "--d-lr", 2e-4) == finished


def test_a_loss_that_is_no_number_at_once_is_told_apart(train, tmp_path, error_of):
    line = error_of(lambda: train(tmp_path, "dcgan", "--max-steps", 9, "--g-lr", 1e30, "--log-every", 5))
    assert "; no checkpoint was made yet: lower the learning rates" in line
    assert sorted(os.listdir(tmp_path / "dcgan")) == ["config.json", "networks.txt"]


def test_a_full_disk_leaves_the_last_checkpoint(finished, run, dcgan_command):
    """The limit on a file's size stands in for the disk's end: it lets settings and samples through."""
    before = contents(finished)
    size = len(before["checkpoint.pt"])
    command = dcgan_command(finished.parent, "dcgan", "--resume", "--max-steps", 4)
    limited = run(
        "train_dcgan.py",
        *command,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, size - 1)),
    )
    assert limited.returncode == 1
    assert limited.stderr.splitlines()[-1] == f"error: File too large: {finished / 'checkpoint.pt'}"
    assert "Traceback" not in limited.stderr
    after = contents(finished)
    assert after.keys() - before.keys() == {"samples/0000004.png"}
    for name in ("checkpoint.pt", "weights.safetensors", "samples/0000002.png"):
        assert after[name] == before[name]


def test_a_runs_folder_that_is_a_file_is_an_error(train, tmp_path, error_of):
    (tmp_path / "runs").write_text("mine")
    assert "runs" in error_of(lambda: train(tmp_path / "runs", "dcgan", "--max-steps", 2))
    assert (tmp_path / "runs").read_text() == "mine"


def test_ctrl_c_saves_and_resume_goes_on(train, dcgan_command, tmp_path, root, state, assert_same_run):
    command = dcgan_command(tmp_path, "dcgan", "--epochs", 10_000, "--log-every", 1)
    process = subprocess.Popen(
        [sys.executable, "train_dcgan.py", *command],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not (tmp_path / "dcgan" / "metrics.jsonl").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in err
    step = state(tmp_path / "dcgan")["checkpoint"]["step"]
    assert out.startswith(f"interrupted, saved at step {step} of 60000 after ")
    assert out.rstrip().endswith(f"{tmp_path / 'dcgan'} (go on with --resume)")

    options = ("--max-steps", step + 2, "--log-every", 1)
    resumed = train(tmp_path, "dcgan", "--resume", *options)
    assert_same_run(resumed, train(tmp_path, "dcgan", "--name", "uninterrupted", *options))
