"""Every recipe of every training script at a size that trains in a moment, and the data for it."""

import bz2
import importlib
import json

import numpy as np
import torch
from safetensors.torch import load_file

from data.tree import write_domain, write_picture

ADAPTING = ("train_dann", "train_dsn", "train_adamatch")
SCRIPTS = ("train_dcgan", "train_vae", "train_acgan", "train_ddpm", "train_distill", *ADAPTING)
RECIPES = [(script, recipe) for script in SCRIPTS for recipe in importlib.import_module(script).RECIPES]
FIRST = [next(recipe for recipe in RECIPES if recipe[0] == script) for script in SCRIPTS]
TEACHER = "train_ddpm", "edm"


def write_data(root):
    """A data tree of 24 faces and the domains a and b of 60 digits, all noise, for training."""
    random_values = np.random.RandomState(0)
    for split, numbers in (("train", range(16)), ("val", range(16, 24))):
        (root / "face" / split).mkdir(parents=True)
        for number in numbers:
            pixels = random_values.randint(0, 256, (64, 64, 3), np.uint8)
            write_picture(root / "face" / split / f"{number:05d}.png", pixels)
    for domain in "ab":
        images = random_values.randint(0, 256, (60, 28, 28, 3), np.uint8)
        write_domain(root / "digits" / domain, images, np.arange(60) % 10)


def write_pictures(folder):
    """Three digits of each class under the names that generated ones have."""
    folder.mkdir()
    for number in range(30):
        pixels = np.random.RandomState(number).randint(0, 256, (28, 28, 3), np.uint8)
        write_picture(folder / f"{number % 10}_{number // 10 + 1:03d}.png", pixels)


def write_usps(raw):
    """400 digits in the format of USPS's download."""
    (raw / "USPS").mkdir(parents=True)
    for name in ("usps.bz2", "usps.t.bz2"):
        lines = [f"{number % 10 + 1} {number % 256 + 1}:1\n" for number in range(200)]
        (raw / "USPS" / name).write_bytes(bz2.compress("".join(lines).encode()))


def small(script, recipe, root, runs, name):
    """The words of a command line that trains `recipe` on the data tree `root`, in four small steps."""
    config = importlib.import_module(script).RECIPES[recipe][1]
    words = [recipe, "--data", root, "--runs", runs, "--name", name, "--device", "cpu", "--precision", "float32"]
    words += ["--max-steps", 4, "--checkpoint-every", 2, "--log-every", 1]
    words += ["--batch-size", 8 if script in ADAPTING else 4]
    match script:
        case "train_dcgan":
            words += ["--width", 8, "--latent-size", 16]
        case "train_vae":
            words += ["--width", 8, "--latent-size", 8]
        case "train_acgan":
            words += ["--width", 4, "--latent-size", 8, "--domain", "a"]
        case "train_ddpm":
            words += ["--width", 8, "--sample-steps", 1]
            words += ["--domain", "a"] if config.images == "digits" else []
            words += ["--diffusion-steps", 4] if config.prediction != "edm" else []
        case "train_distill":
            words += ["--teacher", runs / "teacher" / "weights.safetensors", "--domain", "a"]
        case _:
            words += ["--source", "a", "--width", 8]
            words += ["--target", "b"] if config.method != "supervised" else []
            words += ["--network", "dann-lenet"] if config.network == "dann32" and recipe != "dann32" else []
    return [str(word) for word in words]


def state(folder):
    """What must be equal of two runs."""
    checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
    log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for timed in (checkpoint, *log):
        timed.pop("seconds")
    return flat(checkpoint) | flat(load_file(folder / "weights.safetensors")) | {"log": log}


def flat(value, name=""):
    """Tensors and numbers by the way to them."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else None
    if items is None:
        return {name: value.numpy().tobytes() if isinstance(value, torch.Tensor) else value}
    return {key: part for at, item in items for key, part in flat(item, f"{name}/{at}").items()}
