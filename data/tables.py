"""CSV tables with a header line; names with commas, quotes and spaces survive a round trip."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from runtime.errors import UserError
from runtime.files import write_atomically

FORMULA = re.compile(r"[=@\t\r]|[+-](?![\w .-]*$)")  # what a spreadsheet would execute: = and @, not -1.5 or +a.png


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would take the cell `text` for a formula, and so might execute what a file is named."""
    return FORMULA.match(text) is not None


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write a CSV table, replacing a former file only once the new one is whole; parents are made.

    Raises OSError (a full disk, no permission), and UserError for a cell that a spreadsheet would execute, with the
    former file untouched.
    """
    rows = list(rows)
    formula = next((cell for row in rows for cell in row if isinstance(cell, str) and is_formula(cell)), None)
    if formula is not None:
        raise UserError(f"{formula!r} would be a formula in {path}: rename it")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    # File names need not be UTF-8; whatever the file system gave goes out as it came.
    write_atomically(path, text.getvalue().encode("utf-8", "surrogateescape"))


def read_table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """A CSV table as its header and its rows, each with its line number; empty lines are left out.

    Raises UserError when the file is missing, unreadable or without rows, or when a row's length is not the header's.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file)
            numbered = [(reader.line_num, row) for row in reader if row]
    except FileNotFoundError as error:
        raise UserError(f"no such table: {path}") from error
    except (OSError, csv.Error) as error:
        raise UserError(f"cannot read the table {path} ({error})") from error
    if len(numbered) < 2:
        raise UserError(f"{path} is empty: expected a header line and a line for each picture")
    (_, header), *rows = numbered
    for line, row in rows:
        if len(row) != len(header):
            raise UserError(f"{path}, line {line}: {len(row)} fields where the header has {len(header)}")
    return [name.strip() for name in header], rows


def column(path: Path, header: list[str], name: str) -> int:
    """The position of the column `name` in `header`; raises UserError naming `path` and what it has instead."""
    if name not in header:
        raise UserError(f"{path} has no column {name} (it has {', '.join(header)})")
    return header.index(name)
