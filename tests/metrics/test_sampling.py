"""Scores over a grid of sampling settings."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks.features import write_random_weights
from metrics.inception import WEIGHTS_NAME
from metrics.sampling import SETTINGS, Config, main, spread
from models import NETWORKS
from models.weights import save_weights


@pytest.fixture
def config(tmp_path, monkeypatch, digits, unet_and_classifier):
    """A tiny network of four steps, a classifier, and no Inception weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch-home"))
    options = {"guidance": (10.0, 1.0), "steps": (2,), "seeds": (1, 2), "per_class": 2, "dims": 64, "device": "cpu"}
    return Config(*unet_and_classifier, digits / "digits" / "b", **options)


def rows_of(config):
    content = json.loads(config.weights.with_name("sampling.json").read_text())
    return content, pd.DataFrame(content["rows"]).set_index([*SETTINGS, "seed"])


def test_rows_are_kept_and_others_added(config, capsys, error_of):
    main(config)
    assert "without FID, precision and recall: Inception weights not found" in capsys.readouterr().out
    content, rows = rows_of(config)
    assert set(rows.index) == {("dpm++", 2, guidance, 2, seed) for guidance in (1, 10) for seed in (1, 2)}
    assert list(rows) == ["accuracy", "spread", "seconds_per_1000"]
    assert 0.1 < content["real_spread"] < 0.29  # of two or three pictures of noise, whose standard deviation is 0.29
    config.seeds, config.guidance = (2, 3), (1.0, 2.0)
    main(config)
    again, more = rows_of(config)
    assert again["rows"][:4] == content["rows"]
    assert set(more.index[4:]) == {("dpm++", 2, 1, 2, 3), ("dpm++", 2, 2, 2, 2), ("dpm++", 2, 2, 2, 3)}
    again["passport"]["classifier"] = "another"
    config.weights.with_name("sampling.json").write_text(json.dumps(again))
    assert "sampling.json were scored otherwise (passport: classifier another, " in error_of(lambda: main(config))


def test_samplers_and_their_steps(config, capsys, tmp_path):
    write_random_weights(tmp_path / "torch-home" / "hub" / "checkpoints" / WEIGHTS_NAME)
    config.samplers, config.steps, config.guidance = ("ddpm", "ddim", "dpm++"), (2, 3), (1.0,)
    main(config)
    printed = capsys.readouterr().out
    content, rows = rows_of(config)
    assert content["dims"] == 64 and "64 dimensions" in printed
    assert {row[:2] for row in rows.index} == {("ddpm", 4), ("ddim", 2), ("dpm++", 2)}
    assert printed.count("left out: ") == 2  # 3 does not divide 4
    assert len(rows) == 6 and rows["accuracy"].between(0, 1).all() and rows["seconds_per_1000"].min() > 0
    assert rows[["fid", "precision", "recall"]].notna().all(axis=None)


def test_the_spread_is_that_within_a_class():
    images = np.zeros((4, 2, 2, 3), np.uint8)
    images[2:] = 255
    assert spread(images, np.array([0, 0, 1, 1])) == 0
    assert spread(images, np.array([0, 1, 0, 1])) == 0.5
    images[:, 0] = 100  # what all have in common is no spread
    assert spread(images, np.array([0, 1, 0, 1])) == 0.25


def test_settings_that_cannot_work_end_in_one_line(config, error_of):
    config.steps = (3,)
    assert "does not divide" in error_of(lambda: main(config))
    config.steps = ()
    assert "need at least one value each" in error_of(lambda: main(config))
    config.seeds = ()
    assert "--seeds needs at least one" in error_of(lambda: main(config))


@pytest.mark.parametrize("other", [{"classes": 7}, {"size": 32}])
def test_what_makes_other_than_digits_is_refused(config, error_of, other):
    arguments = {"width": 8, "steps": 4} | other
    save_weights(config.weights, NETWORKS["context-unet"](**arguments), "context-unet", arguments, {})
    assert "makes no 28x28 digits, which the classifier reads" in error_of(lambda: main(config))
