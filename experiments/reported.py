"""The numbers that the five course reports state: reported.csv, accuracies and rates in per cent."""

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

SOURCE_ONLY, ON_TARGET = BOUNDS = ("source only", "on target")


class Reported(NamedTuple):
    """A number of a report."""

    system: str
    """Recipe; `source only` and `on target` for the bounds of an adaptation."""
    report: str
    """000 to 004."""
    scenario: str
    """SOURCE-TARGET of an adaptation."""
    metric: str
    value: str
    """As printed."""
    conditions: str


@cache
def reported() -> tuple[Reported, ...]:
    """All lines of reported.csv."""
    with open(Path(__file__).with_name("reported.csv"), newline="") as file:
        return tuple(Reported(**line) for line in csv.DictReader(file))


def of_system(system: str, report: str = "") -> list[Reported]:
    """What the reports, or one of them, state for a system that is no adaptation."""
    return [line for line in reported() if line.system == system and not line.scenario and report in ("", line.report)]


def best(source: str, target: str, *systems: str) -> float | None:
    """The best accuracy, in per cent, that any report states in a scenario for these systems; None for none.

    Without `systems`, for any adaptation.
    """
    lines = [line for line in reported() if line.scenario == f"{source}-{target}"]
    if systems:
        chosen = [line for line in lines if line.system in systems]
    else:
        chosen = [line for line in lines if line.system not in BOUNDS]
    return max((float(line.value) for line in chosen), default=None)
