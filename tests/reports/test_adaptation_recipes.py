"""The reports' adaptation recipes against what the reports state, and nothing of ours in them."""

import csv
from pathlib import Path

import pytest

import train_dann
import train_dsn

RECIPES = train_dann.RECIPES | train_dsn.RECIPES
with open(Path(__file__).with_name("adaptation.csv"), newline="") as file:
    STATED = list(csv.DictReader(file))
REPORTED = sorted({row["recipe"] for row in STATED})


@pytest.mark.parametrize("row", STATED, ids=lambda row: f"{row['recipe']} {row['setting']}")
def test_settings_are_those_that_the_report_states(row):
    value = getattr(RECIPES[row["recipe"]][1], row["setting"])
    kind = {"True": True, "False": False}.get if isinstance(value, bool) else type(value)
    assert value == kind(row["stated"])


@pytest.mark.parametrize("name", REPORTED)
def test_what_we_add_is_off(name):
    """Data augmentation, balanced classes, EMA, weight decay, learning-rate schedules, class confusion, width."""
    config = RECIPES[name][1]
    assert (config.augment, config.balanced, config.width, config.lr_schedule) == ("off", False, 0, "constant")
    assert (config.ema_decay, config.weight_decay, config.max_steps) == (0, 0, 0)
    assert getattr(config, "confusion_weight", 0) == 0
    if name in train_dann.REPORTED:
        assert config.adversarial_start == 0


def test_every_report_has_its_recipe_and_says_so():
    assert train_dann.REPORTED.keys() | {"supervised-dann-cnn", "dsn-report"} == set(REPORTED)
    for row in STATED:
        if not row["recipe"].startswith("supervised"):
            assert f"eport {row['report']}" in RECIPES[row["recipe"]][0]


@pytest.mark.parametrize("name", train_dann.REPORTED)
def test_bounds_have_the_settings_of_their_adaptation(name):
    adapted, bound = train_dann.RECIPES[name][1], train_dann.RECIPES[f"supervised-{name}"][1]
    for setting in ("network", "lr", "batch_size", "augment", "width"):
        assert getattr(bound, setting) == getattr(adapted, setting)
    assert bound.epochs == (20 if name.startswith("dann-cnn") else adapted.epochs)
