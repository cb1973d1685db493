"""Fixtures of all tests: small pictures, a cache of the tests' own, and commands run as users run them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

import train_adamatch
import train_dann
import train_dcgan
import train_dsn
from data.tree import write_domain
from models import NETWORKS
from models.course_classifier import CourseClassifier
from models.weights import save_weights
from runtime.errors import run_command
from tests.toy_domains import bars
from training.config import parse_command_line

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser):
    parser.addoption("--faults", action="store_true", help="try every fault, and write docs/reliability.md")


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if "cuda" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no GPU"))


@pytest.fixture(scope="session")
def campaign(pytestconfig):
    """Whether every fault is to be tried, not only a few of each kind."""
    return pytestconfig.getoption("--faults")


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


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """A data tree with the domains a and b, 150 noisy pictures each; a has no labels for its test.csv."""
    root = tmp_path_factory.mktemp("some digits")
    for number, domain in enumerate("ab"):
        images = np.random.RandomState(number).randint(0, 256, (150, 28, 28, 3), np.uint8)
        write_domain(root / "digits" / domain, images, np.arange(150) % 10)
    table = root / "digits" / "a" / "test.csv"
    table.write_text("".join(line.split(",")[0] + "\n" for line in table.read_text().splitlines()))
    return root


@pytest.fixture(scope="session")
def small():
    """Options that make a run a matter of a second."""
    options = ("--network", "dann-lenet", "--width", 8, "--batch-size", 8, "--max-steps", 2)
    return list(map(str, (*options, "--device", "cpu", "--precision", "float32")))


@pytest.fixture(scope="session")
def adapted(digits, small, tmp_path_factory):
    """Run directories: supervised on a, and twice DANN from a to b."""
    runs = tmp_path_factory.mktemp("runs")
    both = ("--source", "a", "--target", "b")
    commands = [("supervised", 1, ("--source", "a")), ("dann", 1, both), ("dann", 2, both)]
    folders = []
    for recipe, seed, domains in commands:
        words = [recipe, *domains, "--data", digits, "--runs", runs, "--name", f"{recipe}{seed}", "--seed", seed]
        config = parse_command_line(train_dann.RECIPES, [*map(str, words), *small])
        train_dann.main(config)
        folders.append(config.folder)
    return folders


@pytest.fixture
def unet_and_classifier(tmp_path):
    """Weights files of an untrained U-Net of four steps and of an untrained classifier."""
    torch.manual_seed(0)
    arguments = {"width": 8, "steps": 4}
    unet, classifier = tmp_path / "weights.safetensors", tmp_path / "Classifier.pth"
    save_weights(unet, NETWORKS["context-unet"](**arguments), "context-unet", arguments, {})
    torch.save({"state_dict": CourseClassifier().state_dict()}, classifier)
    return unet, classifier


@pytest.fixture(scope="session")
def bar_tree(tmp_path_factory):
    """A data tree with the domains `plain`, bars at ten places, and `framed`, the same within a bright frame."""
    root = tmp_path_factory.mktemp("bars")
    write_domain(root / "digits" / "plain", *bars(0, 0))
    write_domain(root / "digits" / "framed", *bars(3, 1))
    return root


@pytest.fixture
def adapt(bar_tree, tmp_path):
    """Train a recipe of an adaptation script in this process, at a small size; gives the run directory."""

    def adapt(recipe, *options, source="plain", target="framed", data=bar_tree, network="dann-cnn"):
        script = next(script for script in (train_dann, train_dsn, train_adamatch) if recipe in script.RECIPES)
        words = [recipe, "--data", data, "--runs", tmp_path / "runs", "--network", network, "--width", 8]
        words += ["--batch-size", 32, "--device", "cpu", "--precision", "float32", "--source", source]
        words += ["--target", target, "--epochs", 50, *options]
        config = parse_command_line(script.RECIPES, list(map(str, words)))
        script.main(config)
        return config.folder

    return adapt


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium."""
    programs = shutil.which("chromium"), shutil.which("chromedriver")
    if None in programs:
        pytest.skip("no chromium or no chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    drawn = "--enable-unsafe-swiftshader"  # canvases, without a GPU
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", drawn):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(programs[1]))
    yield driver
    driver.quit()
