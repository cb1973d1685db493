import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pytest

from runtime.errors import UserError
from training.config import TrainConfig, parse_command_line


@dataclass
class Config(TrainConfig):
    """Settings of a method."""

    lr: float = 1e-3
    """The learning rate."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates."""
    loss: Literal["bce", "hinge"] = "bce"
    """The loss."""


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


def test_the_run_directory_is_named_after_the_recipe_or_as_asked():
    assert parse("fast", "--runs", "r").folder == Path("r/fast")
    assert parse("fast", "--runs", "r", "--name", "n").folder == Path("r/n")


@pytest.mark.parametrize("words", [(), ("slow",), ("fast", "--lr", "much"), ("fast", "--loss", "l2"), ("fast", "--x")])
def test_syntax_errors_have_status_2(words, capsys):
    with pytest.raises(SystemExit) as end:
        parse(*words)
    assert end.value.code == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize("option", ["--epochs", "--batch-size", "--log-every", "--sample-every", "--checkpoint-every"])
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


def test_only_a_run_of_the_same_recipe_can_be_resumed(tmp_path):
    with pytest.raises(UserError, match=r"no run to resume at .*fast: leave out --resume, or give its --name"):
        parse("fast", "--runs", tmp_path, "--resume")
    save(parse("fast", "--runs", tmp_path, "--name", "mine"))
    with pytest.raises(UserError, match=r"mine is a run of fast: give another --name, or that recipe"):
        parse("plain", "--runs", tmp_path, "--name", "mine", "--resume")
    (tmp_path / "mine" / "config.json").write_text('{"settings": ')
    with pytest.raises(UserError, match=r"config\.json cannot be read"):
        parse("fast", "--runs", tmp_path, "--name", "mine", "--resume")
