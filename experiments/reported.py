"""The numbers that the five course reports state: reported.csv, accuracies and rates in per cent."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd

SOURCE_ONLY, ON_TARGET = BOUNDS = ("source only", "on target")


@cache
def reported() -> tuple[NamedTuple, ...]:
    """The scores in reported.csv, each with its columns as fields, all of them text.

    `system` is a recipe, or one of the bounds of an adaptation; `scenario` is SOURCE-TARGET of an adaptation; `value`
    is as printed.
    """
    frame = pd.read_csv(Path(__file__).with_name("reported.csv"), dtype=str, keep_default_na=False)
    return tuple(frame[~frame["metric"].str.startswith("parameters")].itertuples(index=False, name="Reported"))


def of_system(system: str) -> list[NamedTuple]:
    """What the reports state for a system that is no adaptation."""
    return [line for line in reported() if line.system == system and not line.scenario]


def best(source: str, target: str, *systems: str, report: str = "") -> float | None:
    """The best accuracy, in per cent, that any report, or this one, states in a scenario for these systems.

    Without `systems`, for any adaptation; None for none.
    """
    lines = [line for line in reported() if line.scenario == f"{source}-{target}" and report in ("", line.report)]
    if systems:
        chosen = [line for line in lines if line.system in systems]
    else:
        chosen = [line for line in lines if line.system not in BOUNDS]
    return max((float(line.value) for line in chosen), default=None)
