"""Checkpoints that a thread writes: what they hold, and what becomes of its errors."""

import threading
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from training import saving
from training.saving import Saver

WEIGHTS = nn.Linear(2, 1), "network", {}


@pytest.fixture
def saver(tmp_path):
    saver = Saver(tmp_path)
    with saver.thread:
        yield saver


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def test_what_is_written_is_the_state_when_it_was_saved(saver, tmp_path, monkeypatch, device):
    """Training goes on before anything is written, and changes all of it."""
    changed, write = threading.Event(), torch.save
    monkeypatch.setattr(torch, "save", lambda *arguments: changed.wait(10) and write(*arguments))
    network, optimizer = nn.BatchNorm1d(3).to(device), {"state": [torch.ones(2, device=device), (0, "adam", None)]}
    saver.save({"step": 1, "network": network.state_dict(), "optimizer": optimizer}, (network, "network", {}), {})
    with torch.no_grad():
        network.weight.fill_(7)
    optimizer["state"][0].fill_(7)
    optimizer["state"].append(7)
    changed.set()
    saver.check(wait=True)
    left = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    momentum, *rest = left["optimizer"]["state"]
    assert left["step"] == 1 and momentum.tolist() == [1, 1] and rest == [(0, "adam", None)]
    for tensors in (left["network"], load_file(tmp_path / "weights.safetensors")):
        assert tensors["weight"].tolist() == [1, 1, 1]
    assert isinstance(left["network"], OrderedDict)
    assert left["network"]._metadata == network.state_dict()._metadata  # by which layers know older states


def test_an_error_of_the_thread_is_raised_and_leaves_the_former_checkpoint(saver, tmp_path, monkeypatch):
    saver.save({"step": 1}, WEIGHTS, {})
    saver.check(wait=True)
    full = OSError(28, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(saving, "write_synced", lambda *_: (_ for _ in ()).throw(full))
        saver.save({"step": 2}, WEIGHTS, {})
        for ask in (lambda: saver.check(wait=True), saver.check, lambda: saver.save({"step": 3}, WEIGHTS, {})):
            with pytest.raises(OSError, match=r"No space left on device: '.*/checkpoint.pt'"):
                ask()
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True) == {"step": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "weights.safetensors"]


def test_a_checkpoint_is_due_some_time_after_the_last(saver, monkeypatch):
    now = saving.time.monotonic()
    monkeypatch.setattr(saving.time, "monotonic", lambda: now)
    saver.save({}, WEIGHTS, {})
    now += 10
    assert saver.is_due(10) and not saver.is_due(11)


def test_leaving_the_thread_waits_for_what_it_writes(tmp_path, monkeypatch):
    saver, begun, write = Saver(tmp_path), threading.Event(), torch.save
    monkeypatch.setattr(torch, "save", lambda *arguments: begun.wait(10) and write(*arguments))
    with pytest.raises(KeyboardInterrupt), saver.thread:
        saver.save({"step": 1}, WEIGHTS, {})
        threading.Timer(0.1, begun.set).start()
        raise KeyboardInterrupt
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True) == {"step": 1}
