"""Settings that are checked by their types, where they enter: no command accepts a number that cannot work."""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_type_hints

from runtime.errors import UserError


@dataclass(frozen=True)
class Range:
    """The numbers that a setting may take, as a note to its type: `lr: Annotated[float, ABOVE_0]`.

    From `low` to `high`, without the ends that are `open`.
    """

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, number: float) -> bool:
        above = number > self.low if self.open_low else number >= self.low
        return above and (number < self.high if self.open_high else number <= self.high)

    def __str__(self) -> str:
        low = f"above {self.low:g}" if self.open_low else f"at least {self.low:g}"
        high = f"below {self.high:g}" if self.open_high else f"at most {self.high:g}"
        if self.high == math.inf:
            return low
        return f"{low} and {high}" if self.open_low or self.open_high else f"from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class OneOf(Range):
    """The only `numbers` that a setting may be."""

    numbers: tuple[int, ...] = ()

    def __contains__(self, number: float) -> bool:
        return number in self.numbers

    def __str__(self) -> str:
        *first, last = map(str, self.numbers)
        return f"{', '.join(first)} or {last}"


LARGEST = 2**64  # of whole numbers, which are to be numbers of the machine, too

ABOVE_0, AT_LEAST_0, AT_LEAST_1 = Range(0, open_low=True), Range(0), Range(1)
SHARE = Range(0, 1)
DECAY = Range(0, 1, open_high=True)


class OnlyWith:
    """A note to the type of a setting that acts only when one of `settings` is among `values`, a tuple or a range."""

    def __init__(self, *settings: str, values: Collection[Any] | Range):
        self.settings, self.values = settings, values

    def acts(self, config: Any) -> bool:
        """Whether what is noted acts in `config`."""
        return any(getattr(config, name) in self.values for name in self.settings)

    def __str__(self) -> str:
        values = self.values if isinstance(self.values, Range) else " or ".join(map(str, self.values))
        return f"{' or '.join(map(option, self.settings))} {values}"


@dataclass
class Settings:
    """Settings whose numbers are finite and in the ranges that their types name.

    Raises UserError for the first that is not, also in settings within settings.
    """

    def __post_init__(self):
        check_numbers(self)


def check_numbers(settings: Any) -> None:
    """Raise UserError for the first number of a dataclass that is not finite or not in its range."""
    notes = type_notes(type(settings))
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            check_numbers(value)
        for number in _numbers(value):
            if isinstance(number, float) and not math.isfinite(number):
                raise UserError(f"{option(field.name)} must be a finite number")
            if isinstance(number, int) and abs(number) > LARGEST:
                raise UserError(f"{option(field.name)} must lie between -2^64 and 2^64")
            for note in notes[field.name]:
                if isinstance(note, Range) and number not in note:
                    raise UserError(f"{option(field.name)} must be {note}")


def type_notes(kind: type) -> dict[str, tuple[Any, ...]]:
    """What `Annotated` says of each field's type."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: getattr(hints[field.name], "__metadata__", ()) for field in fields(kind)}


def option(name: str) -> str:
    """The option of a setting."""
    return f"--{name.replace('_', '-')}"


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _numbers(part)
