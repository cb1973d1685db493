"""Small runs of train_dann.py and a small diffusion network, for what is made of them."""

import numpy as np
import pytest
import torch

import train_dann
from data.tree import write_domain
from models import NETWORKS
from models.course_classifier import CourseClassifier
from runtime.weights import save_weights
from training.config import parse_command_line


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
