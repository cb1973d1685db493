"""Counting faults: what was tried, what was survived, and the table that says so."""

from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.commands import call
from training.provenance import commit

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
MARKERS = ("<!-- faults: begin -->", "<!-- faults: end -->")
_tried: Counter[str] = Counter()
_survived: Counter[str] = Counter()


@pytest.fixture
def fault():
    """`with fault("pictures", "cut.png"):` counts one fault of a kind; those not survived fail the test at its end."""
    failures = []

    @contextmanager
    def fault(kind, name):
        _tried[kind] += 1
        try:
            yield
        except Exception as error:
            failures.append(f"{name}: {type(error).__name__}: {error}")
        else:
            _survived[kind] += 1

    yield fault
    assert not failures, "\n".join(failures)


def files_under(folder):
    """Every file under `folder` and its bytes."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


@pytest.fixture
def survives(fault, tmp_path):
    """Run a command under a fault: it ends in success or in one line with status 1, and harms no file of `kept`."""

    def survives(kind, command, *words, kept, status=None, name=None):
        before = files_under(kept)
        with fault(kind, f"{command} {kept.name}" if name is None else f"{command}, {name}"):
            ended, err = call(command, *words)
            assert ended in (0, 1) if status is None else ended == status, f"status {ended}: {err}"
            lines = [line for line in err.splitlines() if line and "img/s" not in line]
            if ended:
                assert len(lines) == 1, err
                assert lines[0].startswith("error: "), err
            assert "Traceback" not in err
            after = files_under(kept)
            assert all(after.get(path) == content for path, content in before.items()), "a file was changed"
            assert not list(tmp_path.rglob("sprung")), "code from a file was executed"

    return survives


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Print the table; a campaign also writes the lines of what it tried into docs/reliability.md."""
    if not _tried:
        return
    short = commit()[:7]
    rows = {kind: (_tried[kind], _survived[kind], short) for kind in _tried}
    print(f"\n{table(rows)}")
    if session.config.getoption("--faults", False):
        before, rest = PAGE.read_text().split(MARKERS[0])
        former, after = rest.split(MARKERS[1])
        PAGE.write_text(f"{before}{MARKERS[0]}\n{table(read_table(former) | rows)}\n{MARKERS[1]}{after}")


def table(rows):
    """Counts and the commit they are of, by kind of fault, as a table in Markdown."""
    lines = ["| fault | tried | survived | commit |", "|---|---:|---:|---|"]
    lines += [
        f"| {kind} | {tried} | {survived} | {commit} |" for kind, (tried, survived, commit) in sorted(rows.items())
    ]
    tried, survived, _ = zip(*rows.values(), strict=True)
    return "\n".join([*lines, f"| all | {sum(tried)} | {sum(survived)} | |"])


def read_table(text):
    """The rows of such a table."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.strip().splitlines()[2:-1]]
    return {kind: (int(tried), int(survived), commit) for kind, tried, survived, commit in cells}
