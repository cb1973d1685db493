import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

import train_acgan
from runtime.errors import UserError
from runtime.settings import AT_LEAST_0, OnlyWith
from training.config import SampleGrids, TrainConfig, parse_command_line, varied


@dataclass
class Config(TrainConfig):
    """Settings of a method."""

    lr: float = 1e-3
    """The learning rate."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates."""
    loss: Literal["bce", "hinge"] = "bce"
    """The loss."""
    margin: Annotated[float, AT_LEAST_0, OnlyWith("loss", values=("hinge",))] = 1.0
    """Margin of the hinge."""
    clip: Annotated[bool, OnlyWith("loss", values=("bce",))] = True
    """Clip labels."""
    size: tyro.conf.Suppress[Literal["small", "large"]] = "small"
    """What the recipe is of."""


RECIPES = {
    "plain": ("As reported.", Config()),
    "fast": ("Faster.", replace(Config(), lr=1e-2, epochs=7, betas=(0.0, 0.9))),
}


def parse(*words):
    return parse_command_line(RECIPES, [str(word) for word in words])


def test_a_recipe_gives_the_defaults_and_options_change_them():
    assert parse("plain") == replace(Config(), recipe="plain")
    changed = parse("fast", "--lr", "0.5", "--loss", "hinge", "--data", "some where", "--no-channels-last")
    expected = replace(RECIPES["fast"][1], recipe="fast", lr=0.5, loss="hinge", data=Path("some where"))
    assert changed == replace(expected, channels_last=False)


def test_a_variant_is_another_recipe_with_some_settings_changed():
    made = varied(RECIPES, {"hinge": ("fast", {"loss": "hinge", "clip": False, "lr": 0.5})})
    expected = replace(RECIPES["fast"][1], loss="hinge", clip=False, lr=0.5)
    assert made == {"hinge": ("fast with loss hinge, clip off, lr 0.5.", expected)}


def test_the_run_directory_is_named_after_the_recipe_or_as_asked():
    assert parse("fast", "--runs", "r").folder == Path("r/fast")
    assert parse("fast", "--runs", "r", "--name", "n").folder == Path("r/n")


@pytest.mark.parametrize("words", [(), ("slow",), ("fast", "--lr", "much"), ("fast", "--loss", "l2"), ("fast", "--x")])
def test_syntax_errors_have_status_2(words, capsys):
    with pytest.raises(SystemExit) as end:
        parse(*words)
    assert end.value.code == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize("option", ["--epochs", "--batch-size", "--log-every", "--checkpoint-every"])
def test_counts_must_be_positive(option):
    with pytest.raises(UserError, match=f"{option} must be at least 1"):
        parse("plain", option, 0)


@pytest.mark.parametrize("option", ["--max-steps", "--keep-every"])
def test_limits_must_not_be_negative(option):
    with pytest.raises(UserError, match=f"{option}.* must be at least 0"):
        parse("plain", option, -1)


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("option", ["--lr", "--ema-decay"])
def test_numbers_must_be_finite(option, number):
    with pytest.raises(UserError, match=f"{option} must be a finite number"):
        parse("plain", f"{option}={number}")


@pytest.mark.parametrize("decay", [-0.1, 1])
def test_the_average_must_move(decay):
    with pytest.raises(UserError, match="--ema-decay must be at least 0 and below 1"):
        parse("plain", "--ema-decay", decay)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--margin", 2), "--margin acts only with --loss hinge: leave it out"),
        (("--margin=1.0",), "--margin acts only"),  # its default, which does nothing either
        (("--loss", "hinge", "--no-clip"), "--clip acts only with --loss bce"),
        (("--loss", "hinge", "--margin", -1), "--margin must be at least 0"),
        (("--lr-schedule", "one-cycle", "--warmup-steps", 3), "--warmup-steps acts only with --lr-schedule constant"),
    ],
)
def test_no_option_is_accepted_and_ignored(words, message):
    with pytest.raises(UserError, match=message):
        parse("plain", *words)
    assert parse("plain", "--loss", "hinge", "--margin", 2).margin == 2


def test_what_belongs_to_the_recipe_is_no_option(capsys):
    with pytest.raises(SystemExit) as end:
        parse("plain", "--size", "large")
    assert end.value.code == 2
    assert parse("plain").size == "small"


def test_help_shows_the_method_first_then_groups_that_several_methods_share(capsys):
    with pytest.raises(SystemExit):
        parse("plain", "--help")
    text = capsys.readouterr().out
    groups = ["method options", "optimizer options", "data and augmentation options", "run options"]
    parts = re.split("|".join(groups), text)
    assert re.findall("|".join(groups), text) == groups
    for part, option, line in zip(
        parts[1:],
        ("--loss", "--betas", "--data", "--resume"),
        ("The loss.", "Decay rates.", "The data tree", "Resume the run"),
        strict=True,
    ):
        assert option in part
        assert line in part
    assert parts[2].index("--betas") < parts[2].index("--epochs")
    assert "--size" not in text


def save(config):
    config.folder.mkdir(parents=True)
    (config.folder / "config.json").write_text(json.dumps({"settings": config.to_json()}))


def test_resume_takes_the_saved_settings_but_for_what_is_given(tmp_path):
    saved = parse("fast", "--runs", tmp_path, "--lr", "0.25", "--betas", "0.1", "0.2", "--seed", "5")
    save(saved)
    resumed = parse("fast", "--runs", tmp_path, "--resume", "--epochs", "9")
    assert resumed == replace(saved, resume=True, epochs=9)
    assert isinstance(resumed.data, Path)
    assert isinstance(resumed.betas, tuple)


def test_resume_takes_plain_defaults_for_settings_younger_than_the_run(tmp_path):
    """Not the recipe's, which may have been set together with them."""
    saved = parse("fast", "--runs", tmp_path)
    settings = saved.to_json()
    del settings["lr"]
    saved.folder.mkdir(parents=True)
    (saved.folder / "config.json").write_text(json.dumps({"settings": settings}))
    assert parse("fast", "--runs", tmp_path, "--resume") == replace(saved, resume=True, lr=1e-3)


def test_settings_of_old_runs_are_known_by_their_new_names(tmp_path):
    saved = parse_command_line(train_acgan.RECIPES, ["acgan28-r1", "--runs", str(tmp_path), "--uniform-weight", "0.5"])
    settings = saved.to_json()
    settings["doubt"] = settings.pop("uniform_weight")
    saved.folder.mkdir(parents=True)
    (saved.folder / "config.json").write_text(json.dumps({"settings": settings}))
    resumed = parse_command_line(train_acgan.RECIPES, ["acgan28-r1", "--runs", str(tmp_path), "--resume"])
    assert resumed == replace(saved, resume=True)


def test_only_a_run_of_the_same_recipe_can_be_resumed(tmp_path):
    with pytest.raises(UserError, match=r"no run to resume at .*fast: leave out --resume, or give its --name"):
        parse("fast", "--runs", tmp_path, "--resume")
    save(parse("fast", "--runs", tmp_path, "--name", "mine"))
    with pytest.raises(UserError, match=r"mine is a run of fast: give another --name, or that recipe"):
        parse("plain", "--runs", tmp_path, "--name", "mine", "--resume")
    (tmp_path / "mine" / "config.json").write_text('{"settings": ')
    with pytest.raises(UserError, match=r"config\.json cannot be read"):
        parse("fast", "--runs", tmp_path, "--name", "mine", "--resume")


def test_sample_grids_are_due_after_the_first_epochs_too():
    grids = SampleGrids(sample_every=7, sample_epochs=2)
    assert [step for step in range(1, 20) if grids.grid_is_due(step, steps_per_epoch=5)] == [5, 7, 10, 14]
    assert not SampleGrids().grid_is_due(5, steps_per_epoch=5)
