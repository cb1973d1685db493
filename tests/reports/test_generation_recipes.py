"""The reports' recipes of faces and digits on request against what the reports state, and nothing of ours in them."""

import csv
from pathlib import Path

import pytest

import train_acgan
import train_dcgan
import train_ddpm
import train_vae

RECIPES = train_dcgan.RECIPES | train_vae.RECIPES | train_acgan.RECIPES | train_ddpm.RECIPES
with open(Path(__file__).with_name("generation.csv"), newline="") as file:
    STATED = list(csv.DictReader(file))
REPORTED = sorted({row["recipe"] for row in STATED})
OFF = {
    "estimate_batch_norm": False,
    "ema_decay": 0,
    "ema_share": 0,
    "flip": False,
    "augment": False,
    "discriminator": "pixels",
    "weight_decay": 0,
    "r1": 0,
    "r2": 0,
    "label_flips": 0,
    "dcgan_init": True,
    "linear_stem": False,
    "leaky_generator": False,
    "linear_start": False,
    "fit_prior": False,
    "kl_reduction": "mean",
    "uniform_weight": 0,
    "class_weight": 1,
    "real_label": 1,
    "class_activation": "none",
    "max_gradient_norm": 0,
    "warmup_steps": 0,
}


@pytest.mark.parametrize("row", STATED, ids=lambda row: f"{row['recipe']} {row['setting']}")
def test_settings_are_those_that_the_report_states(row):
    value, stated = getattr(RECIPES[row["recipe"]][1], row["setting"]), row["stated"]
    if isinstance(value, tuple):
        assert value == tuple(map(float, stated.split()))
    elif isinstance(value, bool | str):
        assert str(value) == stated
    else:
        assert value == float(stated)


@pytest.mark.parametrize("name", REPORTED)
def test_what_we_add_is_off(name):
    stated = {row["setting"] for row in STATED if row["recipe"] == name}
    settings = vars(RECIPES[name][1])
    if name == "attention-unet":
        stated.add("estimate_batch_norm")  # it has no batch norm
    for setting in (settings.keys() & OFF.keys()) - stated:
        assert settings[setting] == OFF[setting], setting


@pytest.mark.parametrize("name", REPORTED)
def test_every_recipe_names_its_report(name):
    (report,) = {row["report"] for row in STATED if row["recipe"] == name}
    assert RECIPES[name][0].startswith(f"Report {report}: ")


def test_every_recipe_of_a_report_is_here_and_no_other():
    assert {name for name, (description, _) in RECIPES.items() if description.startswith("Report ")} == set(REPORTED)


def test_the_vae_is_halved_every_ten_epochs_of_the_course_s_faces():
    config = train_vae.RECIPES["vae"][1]
    assert config.halve_every_steps * config.batch_size / 10 == pytest.approx(38_000, rel=0.02)
