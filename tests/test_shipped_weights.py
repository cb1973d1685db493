"""The files under weights/ are what inference takes, small, and what weights/README.md says of them."""

import hashlib
import json
import re

import pytest
import torch
from safetensors import safe_open

import train_acgan
import train_adamatch
import train_dann
import train_dcgan
import train_ddpm
import train_distill
import train_vae
from experiments.__main__ import EXPERIMENTS
from inference import Digits
from metrics.digits import colours
from models.acgan import ACGAN28Generator
from models.digit_classifiers import DigitClassifier
from models.generator import Generator
from models.samplers import DiffusionModel
from models.vae import VAE
from models.weights import load_weights
from tests.conftest import ROOT

GENERATORS = {
    "faces": (Generator, 50e6),
    "vae": (VAE, 20e6),
    "digits": (DiffusionModel, 8e6),
    "digits-fast": (DiffusionModel, 8e6),
    "acgan28": (ACGAN28Generator, 4e6),
}
SCRIPTS = (train_dcgan, train_vae, train_ddpm, train_distill, train_acgan, train_adamatch, train_dann)


def table_rows():
    """The rows of the table of files: the stem of the file, and its cells by column."""
    lines = (ROOT / "weights" / "README.md").read_text().splitlines()
    columns, _, *rows = (
        [cell.strip(" `") for cell in line.strip("|").split(" | ")]
        for line in lines[: lines.index("| picture | shows |")]
        if line.startswith("|")
    )
    return {row[0].removesuffix(".safetensors"): dict(zip(columns, row, strict=True)) for row in rows}


ROWS = table_rows()
KINDS = dict.fromkeys(ROWS, (DigitClassifier, 8e6)) | GENERATORS


def test_every_shipped_file_is_listed(root):
    assert {path.stem for path in (root / "weights").glob("*.safetensors")} == set(ROWS) == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_table_says_what_the_file_is(root, name):
    path, row = root / "weights" / f"{name}.safetensors", ROWS[name]
    content = path.read_bytes()
    assert row["SHA-256"] == hashlib.sha256(content).hexdigest()
    assert row["size"] == f"{len(content) / 1e6:.1f} MB"
    with safe_open(path, "pt") as file:
        made = json.loads(file.metadata()["about"])
    assert f"{made['step']:,} steps" in row["length"]
    if "epochs" in row["length"]:
        assert row["length"].startswith(f"{made['epochs']:g} epochs")


@pytest.mark.parametrize("name", KINDS)
def test_command_is_a_recipe_and_the_score_that_of_its_experiment(root, name):
    row = ROWS[name]
    experiment, command = row["experiment: command"].split("`: `")
    assert experiment in EXPERIMENTS
    script, recipe = re.match(r"python (\w+)\.py ([\w-]+)", command).groups()
    assert recipe == row["system"]
    assert recipe in next(module for module in SCRIPTS if module.__name__ == script).RECIPES
    if experiment == "adamatch":  # its records are means of three seeds; the file is the one that evidence chooses
        seed = 2 if name == "svhn-usps" else 1
        assert re.search(rf"--source {name.replace('-', ' --target ')} --seed {seed}\b", command)
        return
    records = json.loads((root / "experiments" / "results" / f"{experiment}.json").read_text())
    record = next(record for record in records if record["system"] == recipe)
    for score, value in record["scores"].items():
        if not score.startswith(("KID", "Fréchet", "precision", "recall")):
            digits = {"MSE": f"{value:.5f}", "FID-768": f"{value:.3f}"}.get(score, f"{value:.1%}".replace("%", " %"))
            assert f"{score} {digits}" in row["score"]


@pytest.mark.parametrize(("name", "kind", "most"), [(name, *kind) for name, kind in KINDS.items()], ids=KINDS)
def test_shipped_weights_load(root, name, kind, most):
    path = root / "weights" / f"{name}.safetensors"
    assert path.stat().st_size < most
    network, about = load_weights(path, kind)
    assert about["step"] > 0
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())


@pytest.mark.parametrize("name", ["digits", "digits-fast"])
def test_shipped_digits_are_as_saturated_as_real_ones(name):
    """1,000 MNIST-M validation digits have a saturation of 0.164; strong guidance posterises."""
    images = Digits.load(name).sample(list(range(10)) * 10, seed=999)
    assert colours(images)["saturation"] == pytest.approx(0.164, rel=0.2)
