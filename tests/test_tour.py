"""docs/tour.ipynb runs from its first cell to its last, and keeps what it showed."""

from itertools import groupby

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

TOUR = ROOT / "docs" / "tour.ipynb"


def shown(notebook):
    """What every code cell showed: the kinds of its outputs, text that came in several parts once."""
    kinds = [
        [tuple(output.data) if "data" in output else output.name for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    return [[kind for kind, _ in groupby(cell)] for cell in kinds]


@pytest.fixture(scope="module")
def tour():
    return nbformat.read(TOUR, as_version=4)


def test_it_runs_and_shows_what_it_kept(tour):
    fresh = nbformat.from_dict(tour)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    NotebookClient(fresh, timeout=1200, resources={"metadata": {"path": str(TOUR.parent)}}).execute()
    assert shown(fresh) == shown(tour)
    assert sum(map(len, shown(fresh))) > 12


def test_it_is_small_and_tells_nothing_of_where_it_ran(tour):
    assert TOUR.stat().st_size < 300_000
    assert 18 <= len(tour.cells) <= 30
    text = TOUR.read_text()
    assert str(ROOT) not in text and "/home/" not in text and "Traceback" not in text
