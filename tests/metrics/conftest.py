"""What all tests of the metrics share: no caches or weights of the user's, random Inception weights, two folders."""

import numpy as np
import pytest
import torch

from benchmarks.features import write_noise, write_random_weights
from metrics.inception import WEIGHTS_NAME
from runtime.command_line import from_command_line
from runtime.errors import run_command


@pytest.fixture(autouse=True)
def bare_home(tmp_path, monkeypatch):
    """Caches are each test's own, and no Inception weights are to be found."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-torch-home"))


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A file of random weights, under the name and in the folder in which torch.hub would keep the true ones."""
    path = tmp_path_factory.mktemp("torch-home") / "hub" / "checkpoints" / WEIGHTS_NAME
    write_random_weights(path)
    return path


@pytest.fixture(scope="session")
def weights_to_768(weights, tmp_path_factory):
    """The same with NaN after Mixed_6e."""
    state = torch.load(weights, weights_only=True)
    for name, value in state.items():
        if name.startswith(("Mixed_7", "fc")) and value.is_floating_point():
            value.fill_(np.nan)
    path = tmp_path_factory.mktemp("nan") / "to-768.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="session")
def weights_to_64(weights, tmp_path_factory):
    """The same with nothing but the first three layers."""
    state = torch.load(weights, weights_only=True)
    path = tmp_path_factory.mktemp("short") / "to-64.pth"
    torch.save({name: value for name, value in state.items() if name.startswith(("Conv2d_1", "Conv2d_2"))}, path)
    return path


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Two folders of 64x64 PNGs: 6 of one kind, 5 of another."""
    place = tmp_path_factory.mktemp("pictures")
    write_noise(place / "generated", 6, seed=1)
    write_noise(place / "reference", 5, seed=2)
    return place / "generated", place / "reference"


@pytest.fixture
def command(capsys):
    """Calls a command, a module, with arguments; returns exit status, standard output and standard error."""

    def call(module, *arguments):
        status = 0
        try:
            run_command(lambda: module.main(from_command_line(module.Config, list(map(str, arguments)))))
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return call
