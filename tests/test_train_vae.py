"""The VAE through its script, at a tiny size."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image

import train_vae
from data.tables import write_table
from models.vae import VAE
from models.weights import load_weights
from training.config import parse_command_line

VALIDATION = [f"{number:05d}.png" for number in range(36, 48)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A data tree of 36 training and 12 validation pictures, each of one colour; the last has no attributes."""
    root = tmp_path_factory.mktemp("tree")
    random = np.random.default_rng(0)
    for split, numbers in (("train", range(36)), ("val", range(36, 48))):
        (root / "face" / split).mkdir(parents=True)
        for number in numbers:
            colour = tuple(random.integers(0, 256, 3).tolist())
            Image.new("RGB", (64, 64), colour).save(root / "face" / split / f"{number:05d}.png")
    rows = [[name, 1 if number % 2 else -1, 1 if number % 3 else -1] for number, name in enumerate(VALIDATION[:-1])]
    write_table(root / "face" / "attributes.csv", ["image_name", "Odd", "Smiling"], rows[::-1])
    return root


@pytest.fixture
def train(tree):
    """Train a small VAE in this process; gives the run directory."""

    def train(runs, *options, recipe="vae-pca"):
        data = () if "--data" in options else ("--data", tree)
        small = ("--width", 8, "--latent-size", 8, "--batch-size", 16, "--device", "cpu", "--precision", "float32")
        words = [str(word) for word in (recipe, "--runs", runs, *data, *small, *options)]
        config = parse_command_line(train_vae.RECIPES, words)
        train_vae.main(config)
        return config.folder

    return train


def lines_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_our_recipes_have_their_settings():
    averaged = {"ema_decay": 0.999, "estimate_batch_norm": True, "fit_prior": True, "flip": True}
    averaged |= {"lr_schedule": "cosine", "halve_every_steps": 0, "max_steps": 0, "sample_epochs": 0}
    ours = {
        "vae-ema": averaged | {"epochs": 90, "lr": 2e-4, "batch_size": 32},
        "vae-pca": averaged | {"epochs": 16, "lr": 3e-4, "linear_start": True},
    }
    assert ours.keys() | {"vae"} == train_vae.RECIPES.keys()
    for recipe, settings in ours.items():
        assert asdict(train_vae.RECIPES[recipe][1]) == asdict(train_vae.RECIPES["vae"][1]) | settings


def test_a_run_learns_to_give_faces_back(train, tree, tmp_path):
    folder = train(
        tmp_path, "--no-linear-start", "--max-steps", 60, "--lr", 2e-3, "--log-every", 10, "--ema-decay", 0.9
    )
    lines = lines_of(folder)
    training = [line for line in lines if "mse" in line]
    assert all(line["kl"] > 0 for line in training)
    assert training[-1]["mse"] < 0.8 * training[0]["mse"]

    # What was measured at the end is measured again, of the saved network.
    network, about = load_weights(folder / "weights.safetensors", VAE)
    assert about["recipe"] == "vae-pca"
    pictures = np.stack([np.asarray(Image.open(tree / "face" / "val" / name)) for name in VALIDATION])
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        means, log_variances = network.encode(images)
        error = ((network.decode(means) - images) / 2).square().mean().item()
    assert lines[-1]["val_mse"] == pytest.approx(error, abs=2e-6)
    table = np.load(folder / "latents.npz")
    np.testing.assert_allclose(table["latents"], means, atol=2e-3, rtol=2e-3)
    np.testing.assert_allclose(table["deviations"], log_variances.exp().mean(0).sqrt(), rtol=1e-4)


def test_a_linear_start_is_far_ahead(train, tmp_path):
    """Faces come back at once, which random weights learn only by and by."""
    options = ("--max-steps", 1, "--log-every", 1, "--kl-weight", 1e-6, "--latent-size", 16)
    linear, random = (
        lines_of(train(tmp_path, *options, start, "--name", start[2:]))[0]["mse"]
        for start in ("--linear-start", "--no-linear-start")
    )
    assert linear < 0.1 * random


def test_a_linear_start_is_fitted_once(train, tmp_path, error_of, monkeypatch):
    """A directory that exists is refused before the fit; a run with a checkpoint goes on without, others begin anew."""
    options = ("--max-steps", 1, "--log-every", 1)
    folder = train(tmp_path, *options)
    first = lines_of(folder)[0]["mse"]
    (folder / "checkpoint.pt").unlink()
    train(tmp_path, "--resume")
    assert lines_of(folder)[0]["mse"] == first

    def fit(*_):
        raise AssertionError("fitted")

    monkeypatch.setattr(train_vae, "start_linear", fit)
    assert "exists: go on with --resume" in error_of(lambda: train(tmp_path, *options))
    train(tmp_path, "--resume")
    with pytest.raises(AssertionError, match="fitted"):
        train(tmp_path, "--name", "other", *options)


def test_latents_keep_names_and_attributes_together(train, tmp_path):
    table = np.load(train(tmp_path, "--max-steps", 1) / "latents.npz")
    assert table["names"].tolist() == VALIDATION
    assert table["latents"].shape == (12, 8)
    assert table["attribute_names"].tolist() == ["Odd", "Smiling"]
    assert table["attributes"].tolist() == [
        *([1 if number % 2 else -1, 1 if number % 3 else -1] for number in range(11)),
        [0, 0],
    ]


def test_sheets_show_samples_and_reconstructions(train, tmp_path):
    folder = train(tmp_path, "--max-steps", 2, "--sample-every", 1)
    for kind, size in (("samples", (8 * 66 + 2, 8 * 66 + 2)), ("reconstructions", (10 * 66 + 2, 2 * 66 + 2))):
        sheets = sorted((folder / kind).iterdir())
        assert [sheet.name for sheet in sheets] == ["0000001.png", "0000002.png"]
        assert Image.open(sheets[0]).size == size
        assert sheets[0].read_bytes() != sheets[1].read_bytes()


def test_resuming_changes_nothing(train, tmp_path):
    options = ("--lr-schedule", "constant", "--max-steps", 6, "--log-every", 2, "--checkpoint-every", 3)
    whole = train(tmp_path, "--name", "whole", *options)
    train(tmp_path, "--name", "halves", *options, "--max-steps", 3)
    halves = train(tmp_path, "--name", "halves", "--resume", *options)
    first, second = (torch.load(folder / "checkpoint.pt", weights_only=True)["parts"] for folder in (whole, halves))
    for part in ("network", "average"):
        assert all(torch.equal(value, second[part][name]) for name, value in first[part].items())


def test_the_learning_rate_is_halved_in_steps(train, tmp_path):
    folder = train(tmp_path, "--max-steps", 5, "--halve-every-steps", 2, recipe="vae")
    state = torch.load(folder / "checkpoint.pt", weights_only=True)["parts"]["optimizer"]
    assert state["param_groups"][0]["lr"] == pytest.approx(1e-4 / 4)


def test_a_summed_kl_weighs_more(train, tmp_path):
    """The summed divergence is `latent_size` times as heavy, so that latents end nearer to the prior."""
    options = ("--max-steps", 40, "--lr", 3e-3, "--kl-weight", 0.01, "--no-linear-start")
    averaged = lines_of(train(tmp_path, "--name", "mean", *options))
    summed = lines_of(train(tmp_path, "--name", "sum", "--kl-reduction", "sum", *options))
    assert summed[-2]["kl"] < 0.5 * averaged[-2]["kl"]


def test_a_plain_folder_has_no_validation_faces(train, faces, tmp_path):
    line = lines_of(train(tmp_path, "--data", faces, "--max-steps", 1))[-1]
    assert "train_mse" in line
    assert "val_mse" not in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "none"), "no such data folder: none"),
        (("--latent-size", 0), "--latent-size must be at least 1"),
        (("--width", 5), "--width must be at least 6 for a linear start (or give --no-linear-start)"),
        (("--kl-weight", -1), "--kl-weight must be at least 0"),
    ],
)
def test_mistakes_end_in_one_line_and_leave_nothing(train, tmp_path, error_of, options, message):
    assert message in error_of(lambda: train(tmp_path, *options))
    assert list(tmp_path.iterdir()) == []
