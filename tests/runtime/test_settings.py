from dataclasses import dataclass, field
from typing import Annotated

import pytest

from runtime.errors import UserError
from runtime.settings import ABOVE_0, AT_LEAST_1, DECAY, SHARE, OnlyWith, Range, Settings


@dataclass(frozen=True)
class Inner:
    guidance: float | None = None


@dataclass
class Config(Settings):
    count: Annotated[int, Range(1, 999)] = 5
    rate: Annotated[float, ABOVE_0] = 0.1
    betas: Annotated[tuple[float, float], DECAY] = (0.5, 0.9)
    share: Annotated[float | None, SHARE] = None
    real: Annotated[float, Range(0, 1, open_low=True)] = 1.0
    steps: Annotated[int, AT_LEAST_1] = 1
    free: float = -3.0
    on: bool = True
    inner: Inner = field(default_factory=Inner)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 0}, "--count must be from 1 to 999"),
        ({"count": 1000}, "--count must be from 1 to 999"),
        ({"rate": 0.0}, "--rate must be above 0"),
        ({"betas": (0.5, 1.0)}, "--betas must be at least 0 and below 1"),
        ({"share": 1.1}, "--share must be from 0 to 1"),
        ({"real": 0.0}, "--real must be above 0 and at most 1"),
        ({"steps": 0}, "--steps must be at least 1"),
        ({"steps": 10**400}, "--steps must lie between -2^64 and 2^64"),
        ({"free": float("nan")}, "--free must be a finite number"),
        ({"betas": (0.5, float("inf"))}, "--betas must be a finite number"),
        ({"inner": Inner(float("nan"))}, "--guidance must be a finite number"),
    ],
)
def test_numbers_that_cannot_work_are_refused(settings, message):
    with pytest.raises(UserError) as error:
        Config(**settings)
    assert str(error.value).startswith(message)


def test_the_ends_of_ranges_belong_to_them_unless_open():
    Config(count=1, betas=(0.0, 0.999), share=0.0, real=1.0)
    Config(count=999, share=1.0, free=1e300)


def test_a_setting_that_acts_with_one_of_several():
    note = OnlyWith("rate", "share", values=Range(0.5))
    assert str(note) == "--rate or --share at least 0.5"
    assert note.acts(Config(rate=0.5, share=0.1))
    assert not note.acts(Config(rate=0.4, share=0.1))
