"""Every number of every command: nothing but finite values in their ranges is accepted."""

import importlib
import io
import math
import typing
from contextlib import redirect_stderr
from dataclasses import fields, is_dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.errors import UserError
from runtime.settings import Range, type_notes
from tests.faults.commands import COMMANDS
from tests.faults.recipes import SCRIPTS
from training.config import TrainConfig, parse_command_line

WILD = [math.nan, math.inf, -math.inf, -1, 0, 1e308, -1e308, 5e-324, 10**400, -(10**400), 2**63, -0.0]


def numeric_fields(kind):
    """Names of the settings that are numbers, those of settings within settings left to their own class."""
    hints = typing.get_type_hints(kind)

    def is_numeric(hint):
        return hint in (int, float) or any(is_numeric(part) for part in typing.get_args(hint))

    return [field.name for field in fields(kind) if is_numeric(hints[field.name])]


def kinds(module):
    """The settings of a command: one class, or that of each recipe."""
    if module.__name__.startswith("train_"):
        return list({type(config): config for _, config in module.RECIPES.values()}.values())
    required = {field.name: None for field in fields(module.Config)}
    blank = module.Config.__new__(module.Config)
    for field in fields(module.Config):
        missing = field.default_factory() if callable(field.default_factory) else field.default
        setattr(blank, field.name, required[field.name] if "MISSING" in repr(missing) else missing)
    return [blank]


@pytest.mark.parametrize("name", COMMANDS)
def test_numbers(name, fault, campaign):
    module = importlib.import_module(name)
    assert name not in SCRIPTS or hasattr(module, "RECIPES")
    with_numbers = [config for config in kinds(module) if numeric_fields(type(config))]
    if not with_numbers:
        return

    @settings(max_examples=60 if campaign else 5, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def try_numbers(data):
        config = data.draw(st.sampled_from(with_numbers))
        names = numeric_fields(type(config))
        field = data.draw(st.sampled_from(names))
        number = data.draw(st.sampled_from(WILD) | st.floats() | st.integers())
        before = getattr(config, field)
        value = (number,) * max(1, len(before)) if isinstance(before, tuple) else number
        with fault("numbers of options", f"{type(config).__module__} {field}={number}"):
            try:
                accepted = replace(config, **{field: value})
                if isinstance(accepted, TrainConfig):
                    accepted.check()
            except UserError as error:
                assert "\n" not in str(error)
                return
            assert not isinstance(number, float) or math.isfinite(number)
            for note in type_notes(type(accepted))[field]:
                assert not isinstance(note, Range) or number in note

    try_numbers()


@pytest.mark.parametrize("name", COMMANDS)
def test_settings_within_settings_are_checked_too(name):
    module = importlib.import_module(name)
    for config in kinds(module):
        for field in fields(config):
            assert not is_dataclass(getattr(config, field.name)) or numeric_fields(type(getattr(config, field.name)))


@pytest.mark.parametrize("script", SCRIPTS)
def test_numbers_on_the_command_line(script, fault, campaign):
    """Nothing but settings that are in their ranges, or an end that is no traceback, comes of any words."""
    recipes = importlib.import_module(script).RECIPES

    @settings(max_examples=25 if campaign else 1, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def try_words(data):
        recipe = data.draw(st.sampled_from(list(recipes)))
        field = data.draw(st.sampled_from(numeric_fields(type(recipes[recipe][1]))))
        number = data.draw(st.sampled_from([*WILD, "", "x", "1e3", "0x10", "1,5", "١"]) | st.floats() | st.integers())
        words = [recipe, f"--{field.replace('_', '-')}={number}"]
        with fault("numbers of options", " ".join([script, *words])), redirect_stderr(io.StringIO()) as err:
            try:
                value = getattr(parse_command_line(recipes, words), field)
            except UserError as error:
                assert "\n" not in str(error)
            except SystemExit as end:
                assert end.code == 2 and "Traceback" not in err.getvalue()  # tyro's own: no number at all
            else:
                values = value if isinstance(value, tuple) else [value]
                assert all(math.isfinite(value) for value in values if value is not None)

    try_words()
