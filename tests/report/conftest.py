"""A report on a run of every kind."""

import pytest

from report.build import Config, main
from tests.report.made_runs import write_runs


@pytest.fixture(scope="session")
def runs(tmp_path_factory, faces, digits, adapted):
    """A run of each kind, and adaptations in a folder of their own."""
    root = tmp_path_factory.mktemp("all runs") / "runs"
    write_runs(root, faces, digits, adapted)
    return root


@pytest.fixture(scope="session")
def report(runs, tmp_path_factory):
    """The folder of a report on all the runs."""
    out = tmp_path_factory.mktemp("a report")
    main(Config(runs, out, device="cpu"))
    return out
