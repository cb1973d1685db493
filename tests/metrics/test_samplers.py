import json

import pytest

from benchmarks.features import write_random_weights
from inference.generate_digits import Config as GenerateConfig
from inference.generate_digits import main as generate
from metrics.inception import WEIGHTS_NAME
from metrics.samplers import Config, main
from models.samplers import Sampling


@pytest.fixture
def config(tmp_path, monkeypatch, unet_and_classifier):
    """A tiny network, a classifier, a reference, and random Inception weights where torch.hub keeps them."""
    write_random_weights(tmp_path / "torch-home" / "hub" / "checkpoints" / WEIGHTS_NAME)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch-home"))
    unet, classifier = unet_and_classifier
    real = tmp_path / "real"
    generate(GenerateConfig(unet, real, per_class=1, seed=5, sampling=Sampling("ddim", 1, 1.0), device="cpu"))
    options = {"steps": (2, 3), "guidance": 1.0, "seeds": (1, 2), "per_class": 1, "dims": 64, "device": "cpu"}
    return Config(unet, classifier, real, **options)


def test_rows(config, capsys):
    main(config)
    printed = capsys.readouterr().out
    content = json.loads(config.weights.with_name("samplers.json").read_text())
    rows = content["rows"]
    assert content["dims"] == 64
    assert set(rows) == {f"{name} steps, guidance 1" for name in ("ddpm, 4", "ddim, 2", "dpm++, 2")}
    assert printed.count("left out: ") == 2  # 3 does not divide 4
    assert "FID-64" in printed
    for row in rows.values():
        assert all(len(values) == 2 for values in row.values())
        assert all(0 <= value <= 1 for value in row["accuracy"])
        assert min(row["seconds_per_1000"]) > 0
    # What is there is not made again.
    config.seeds = (3,)
    main(config)
    assert json.loads(config.weights.with_name("samplers.json").read_text()) == content


def test_without_inception_weights(config, error_of, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert "Inception weights not found" in error_of(lambda: main(config))
