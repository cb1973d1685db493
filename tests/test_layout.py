"""Imports point down, in the order of docs/design.md."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Each room may import those below it. Rooms of one line know nothing of each other.
ORDER = [["runtime"], ["data", "models"], ["inference"], ["training"], ["metrics"], ["experiments"], ["report"]]
ROOMS = {room: level for level, rooms in enumerate(ORDER) for room in rooms}


def imported(path):
    """The modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_down(room):
    files = list((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        for module in imported(path):
            other = module.split(".")[0]
            assert not other.startswith("train_"), f"{path} imports a training script"
            if other in ROOMS and other != room:
                assert ROOMS[other] < ROOMS[room], f"{path} imports {module}"


def test_the_report_imports_no_command():
    modules = {module for path in (ROOT / "report").rglob("*.py") for module in imported(path)}
    files = [ROOT / f"{module.replace('.', '/')}.py" for module in modules]
    ours = [path for path in files if path.exists()]
    assert len(ours) > 20
    assert [path for path in ours if '__name__ == "__main__"' in path.read_text()] == []


def test_every_package_is_a_room():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"benchmarks"} == set(ROOMS)


@pytest.mark.parametrize(
    ("pattern", "most"),
    [("train_*.py", 230), ("experiments/__main__.py", 150), ("README.md", 180), ("CONTRIBUTING.md", 10)],
)
def test_what_is_read_in_one_sitting_stays_short(pattern, most):
    lengths = {path.name: len(path.read_text().splitlines()) for path in ROOT.glob(pattern)}
    assert lengths and {name: length for name, length in lengths.items() if length > most} == {}


def test_the_report_is_small():
    assert sum(len(path.read_text().splitlines()) for path in (ROOT / "report").rglob("*.py")) <= 1100
