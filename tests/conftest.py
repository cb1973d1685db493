"""Fixtures of all tests: small pictures, a cache of the tests' own, and commands run as users run them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import train_dcgan
from runtime.errors import run_command
from training.config import parse_command_line

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def environment(tmp_path_factory):
    """Decoded pictures are cached for these tests alone; with one thread, equal work gives equal bits."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_NUM_THREADS", "1")
        # scripts/python.sh falls back to `python3` where the repository has no .venv.
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        yield


@pytest.fixture(scope="session")
def root():
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """A folder of 48 smooth, colourful pictures, 64x64."""
    folder = tmp_path_factory.mktemp("some faces")
    random = np.random.default_rng(0)
    for index in range(48):
        coarse = Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8))
        coarse.resize((64, 64), Image.Resampling.BICUBIC).save(folder / f"{index:05d}.png")
    return folder


@pytest.fixture(scope="session")
def run():
    """Run Python as a user does, from the repository's root: `run("train_dcgan.py", "dcgan", …)`."""

    def run(*arguments, command=(sys.executable,), cwd=ROOT, **options):
        words = [*map(str, command), *map(str, arguments)]
        return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=600, **options)

    return run


@pytest.fixture
def error_of(capsys):
    """The one line that a command ends with, on an error that its user can put right."""

    def error_of(main):
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            run_command(main)
        assert end.value.code == 1
        lines = capsys.readouterr().err.splitlines()
        assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
        return lines[-1]

    return error_of


@pytest.fixture(scope="session")
def dcgan_command(faces):
    """The words after `train_dcgan.py` of a run so small that it takes a second."""

    def dcgan_command(runs, recipe, *options):
        data = () if "--data" in options else ("--data", faces)
        small = ("--width", 8, "--latent-size", 16, "--batch-size", 8, "--device", "cpu", "--precision", "float32")
        return [str(word) for word in (recipe, "--runs", runs, *data, *small, *options)]

    return dcgan_command


@pytest.fixture(scope="session")
def train(dcgan_command):
    """Train a small face GAN in this process; gives the run directory."""

    def train(runs, recipe, *options):
        config = parse_command_line(train_dcgan.RECIPES, dcgan_command(runs, recipe, *options))
        train_dcgan.main(config)
        return config.folder

    return train
