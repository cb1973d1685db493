"""Scores against the guidance scale."""

import json

import numpy as np
import pytest

from metrics.guidance import Config, main, ordered_rows
from metrics.sampling import spread


@pytest.fixture
def config(tmp_path, monkeypatch, digits, unet_and_classifier):
    """A tiny network, a classifier, and no Inception weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    options = {"scales": (10.0, 1.0), "steps": 2, "seeds": (1, 2), "per_class": 2, "device": "cpu"}
    return Config(*unet_and_classifier, digits / "digits" / "b", **options)


def test_rows_are_kept_and_drawn_in_order(config, capsys):
    main(config)
    assert "without FID and recall: Inception weights not found" in capsys.readouterr().out
    path = config.weights.with_name("guidance.json")
    curve = json.loads(path.read_text())
    assert [scale for scale, _ in ordered_rows(curve)] == [1, 10]
    assert all(len(row["accuracy"]) == len(row["spread"]) == 2 for row in curve["rows"].values())
    assert 0.1 < curve["real_spread"] < 0.29  # of two or three pictures of noise, whose standard deviation is 0.29
    config.seeds, config.scales = (3,), (1.0, 2.0)
    main(config)
    again = json.loads(path.read_text())["rows"]
    assert again.items() >= curve["rows"].items() and len(again["2"]["accuracy"]) == 1
    header = capsys.readouterr().out.splitlines()[1]
    assert header.split() == ["guidance", "classified", "as", "requested", "/", "%", "spread", "of", "pixels"]


def test_the_spread_is_that_within_a_class():
    images = np.zeros((4, 2, 2, 3), np.uint8)
    images[2:] = 255
    assert spread(images, np.array([0, 0, 1, 1])) == 0
    assert spread(images, np.array([0, 1, 0, 1])) == 0.5
    images[:, 0] = 100  # what all have in common is no spread
    assert spread(images, np.array([0, 1, 0, 1])) == 0.25


def test_settings_that_cannot_work_end_in_one_line(config, error_of):
    config.steps = 3
    assert "does not divide" in error_of(lambda: main(config))
    config.seeds = ()
    assert "--seeds and --scales need at least one" in error_of(lambda: main(config))
