"""The tables of README.md and docs/, as Markdown: `python -m experiments tables` brings them up to date.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from experiments import results, tables
from experiments.reports import REPORTS
from experiments.results import Record
from experiments.rows import ROOT
from runtime.errors import UserError
from runtime.files import write_atomically

MARKS = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


class Table(NamedTuple):
    """A table that documents may hold."""

    make: Callable[[list[Record]], pd.DataFrame]
    experiment: str
    """Whose rows make its numbers; empty where there are several."""
    sources: tuple[str, ...]
    """The files of results that it is made from."""


REPORT_TABLES = {f"report-{report}": partial(tables.beside_reported, report=report) for report in REPORTS}
BY_SYSTEM = ("faces", "face-ablation", "vae", "digits", "digits-ablation")  # experiments of a line a system
TABLES = {
    "systems": Table(tables.all_systems, "", ("faces", "vae", "digits", "adaptation", "adamatch", *REPORT_TABLES)),
    **{name: Table(tables.systems, name, (name,)) for name in BY_SYSTEM},
    **{name: Table(tables.systems, "digits", (name,)) for name in ("guidance", "samplers")},
    **{name: Table(tables.scenarios, name, (name,)) for name in ("adaptation", "adamatch")},
    "ablation": Table(tables.ablation, "ablation", ("ablation",)),
    "claims": Table(tables.claims, "claims", ("claims", "guidance")),
    **{name: Table(make, name, (name,)) for name, make in REPORT_TABLES.items()},
}


def markdown(name: str, records: list[Record]) -> str:
    """The table of an experiment, and under it its hardware, its command and what is to be said of single rows."""
    lines, experiment = lines_of(TABLES[name].make(records)), TABLES[name].experiment
    below = ["Mean ± standard deviation over runs."]
    if experiment:
        hardware = "; ".join(dict.fromkeys(record["hardware"] for record in records if record.get("hardware")))
        below[0] += f" {hardware}{': ' if hardware else ''}`bash scripts/reproduce.sh {experiment}`."
        below += dict.fromkeys(f"† {record['note']}" for record in records if record.get("note"))
    return "\n".join([*lines, "", "  \n".join(below)]) + "\n"


def lines_of(frame: pd.DataFrame) -> list[str]:
    """A data frame of texts as the lines of a Markdown table."""
    header, *lines = (f"| {' | '.join(line)} |" for line in (list(frame), *frame.to_numpy().tolist()))
    return [header, "|---" * len(frame.columns) + "|", *lines]


def documents() -> list[Path]:
    """The files that tables may stand in."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def with_tables(text: str) -> str:
    """`text` with every marked table as the committed results have it; raises UserError for a table that is none."""

    def marked(match: re.Match) -> str:
        if match[2] not in TABLES:
            raise UserError(f"no table {match[2]}: there are {', '.join(TABLES)}")
        records: list[Record] = []
        for source in TABLES[match[2]].sources:  # what two of them have, once; another result of its seed is an error
            records += [record for record in results.load(source) if record not in records]
        return f"{match[1]}\n{markdown(match[2], records)}\n{match[3]}"

    return MARKS.sub(marked, text)


def write_tables() -> None:
    """Bring the tables of all documents up to date."""
    for path in documents():
        write_atomically(path, with_tables(path.read_text()).encode())
