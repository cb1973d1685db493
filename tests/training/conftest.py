"""What runs leave behind, and how to compare it."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file


def _equal(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return one == other


def _state(folder):
    """A run's checkpoint, weights and log, but for the seconds that it took."""
    checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for timed in (checkpoint, *lines):
        assert timed.pop("seconds") >= 0
    return {"checkpoint": checkpoint, "weights": load_file(folder / "weights.safetensors"), "log": lines}


@pytest.fixture(scope="session")
def state():
    return _state


@pytest.fixture(scope="session")
def assert_same_run():
    """Two runs have the same checkpoint and weights bit for bit, and the same log."""

    def assert_same_run(one, other):
        one, other = _state(one), _state(other)
        for kind in one:
            assert _equal(one[kind], other[kind]), kind

    return assert_same_run


@pytest.fixture(scope="session")
def machine(root, tmp_path_factory):
    """Start one of two machines, which share no cache: `machine(rank, script, *words, **environment)`."""
    caches = [str(tmp_path_factory.mktemp("cache")) for _ in range(2)]

    def machine(rank, *words, **environment):
        names = {"NODES": "2", "NODE_RANK": str(rank), "MASTER": f"127.0.0.1:{20000 + os.getpid() % 20000}"}
        names |= {"XDG_CACHE_HOME": caches[rank], "PYTHONPATH": str(root), **environment}
        command = [sys.executable, "-m", "runtime.launch", *map(str, words)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=os.environ | names, cwd=root, text=True, **pipes)

    return machine
