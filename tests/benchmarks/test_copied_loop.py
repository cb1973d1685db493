"""The yardsticks learn, too: each of the copied loops trains a step."""

import pytest
from torch import optim

from benchmarks import copied_loop
from benchmarks.data import write_tree


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("noise"), 8)


@pytest.mark.parametrize("name", copied_loop.LOOPS)
def test_a_copied_loop_trains(name, data, monkeypatch, capsys):
    updates = []
    for kind in (optim.Adam, optim.AdamW):  # an optimizer wraps its class's step for good: undone for each
        monkeypatch.setattr(kind, "step", lambda self: updates.append(self))
    copied_loop.main(name, data, 8, 1, 1)
    assert len(updates) == (4 if name in ("dcgan", "acgan28") else 2)
    assert float(capsys.readouterr().out) > 0
