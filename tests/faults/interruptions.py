"""Runs killed at random and while saving, and resumed: `tests/faults/interruptions.py FOLDER TIMES [SCRIPT …]`.

Every run is a fork of this process, which never computes a gradient itself: PyTorch is imported once. Prints a line of
JSON, the recipe and what differed if anything did, for each run that was killed.
"""

import importlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from data.tree import write_domain, write_picture
from runtime.errors import run_command
from training.config import parse_command_line

STEPS = ("--max-steps", "6", "--checkpoint-every", "2", "--sample-every", "4", "--log-every", "1", "--device", "cpu")
PAIR = ("--source", "a", "--target", "b", "--network", "dann-lenet", "--width", "8")
RUNS = {
    "train_dcgan": ("dcgan", "--width", "8", "--latent-size", "16"),
    "train_vae": ("vae", "--width", "8", "--latent-size", "8"),
    "train_acgan": ("acgan28", "--width", "4", "--latent-size", "8", "--domain", "a"),
    "train_ddpm": ("context-unet", "--width", "8", "--diffusion-steps", "4", "--sample-steps", "1", "--domain", "a"),
    "train_dann": ("dann", *PAIR),
    "train_dsn": ("dsn", *PAIR),
    "train_adamatch": ("adamatch", *PAIR),
}


def write_data(root):
    """A data tree of 24 faces and the domains a and b of 150 digits."""
    random_values = np.random.RandomState(0)
    for split, numbers in (("train", range(16)), ("val", range(16, 24))):
        (root / "face" / split).mkdir(parents=True)
        for number in numbers:
            pixels = random_values.randint(0, 256, (64, 64, 3), np.uint8)
            write_picture(root / "face" / split / f"{number:05d}.png", pixels)
    for domain in "ab":
        images = random_values.randint(0, 256, (150, 28, 28, 3), np.uint8)
        write_domain(root / "digits" / domain, images, np.arange(150) % 10)


def started(script, words, die_at=None):
    """The id of a process that trains, and kills itself when it is about to put its `die_at`-th file on disk."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        if die_at is not None:
            left = iter([True] * die_at)
            synced = os.fsync
            os.fsync = lambda file: synced(file) if next(left, False) else os.kill(os.getpid(), signal.SIGKILL)
            os.dup2(quiet, 2)
        torch.set_num_threads(1)
        module = importlib.import_module(script)
        run_command(lambda: module.main(parse_command_line(module.RECIPES, words)))
        status = 0
    except SystemExit as end:
        status = end.code
    finally:
        os._exit(status or 0)


def ended(process):
    """The exit status of a process, negative after a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


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


def main(folder, times, scripts):
    write_data(folder / "data")
    draw = random.Random(0)
    for script in scripts:
        words = [*RUNS[script], *STEPS, "--batch-size", "8", "--precision", "float32", "--data", str(folder / "data")]
        words += ["--runs", str(folder / script), "--name"]
        begun = time.monotonic()
        if ended(started(script, [*words, "whole"])):
            print(json.dumps([script, "the run that is not killed failed"]), flush=True)
            continue
        seconds, expected = time.monotonic() - begun, state(folder / script / "whole")
        for number in range(times):
            name = f"killed{number}"
            saving = number % 2 == 0
            process = started(script, [*words, name], die_at=draw.randrange(10) if saving else None)
            if not saving:
                time.sleep(draw.uniform(0, seconds))
                os.kill(process, signal.SIGKILL)
            problem = "" if ended(process) in (-signal.SIGKILL, 0) else "ended otherwise"
            resumed = ["--resume"] if (folder / script / name / "config.json").exists() else []
            if ended(started(script, [*words, name, *resumed])):
                problem = "could not be resumed"
            elif state(folder / script / name) != expected:
                problem = "differs"
            left = [str(path) for path in (folder / script / name).rglob(".*")]
            print(json.dumps([script, problem or (f"left {left}" if left else "")]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or RUNS)
