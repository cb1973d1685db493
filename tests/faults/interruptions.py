"""Commands that are killed or asked to end at random moments: `tests/faults/interruptions.py FOLDER TIMES KIND …`.

KIND is a recipe's name, for runs that are killed and resumed, or the name of a command in COMMANDS, which is stopped by
Ctrl-C and by SIGTERM and called again. Every process is a fork of this one, which never computes a gradient itself:
PyTorch is imported once. Prints a line of JSON for each kind: its name, how often it was stopped, what went wrong.
"""

import importlib
import json
import os
import random
import signal
import sys
import time
from itertools import islice
from pathlib import Path
from threading import RLock

import torch
import torch._dynamo  # what every optimizer would import
import tyro
from commands import main_of
from recipes import RECIPES, small, state, write_data, write_pictures, write_usps
from tqdm import tqdm

import training.provenance
from runtime.errors import run_command
from training.config import parse_command_line

SCRIPT_OF = {recipe: script for script, recipe in RECIPES}
STOPPED = (-signal.SIGKILL, -signal.SIGINT, -signal.SIGTERM, 130, 143)


def started(module, words, die_at=None, die_after=None):
    """The id of a process that runs a command.

    It is killed as its `die_at`-th file is about to be on disk, or after `die_after` seconds of its own computing, by a
    signal that nothing in it catches.
    """
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.setpgid(0, 0)
        tqdm.set_lock(RLock())  # its own is shared by forks: one that is killed would hold it for ever
        if die_after is not None:
            signal.setitimer(signal.ITIMER_PROF, max(die_after, 1e-6))  # however busy the machine is
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        if die_at is not None:
            left = iter([True] * die_at)
            synced = os.fsync
            os.fsync = lambda file: synced(file) if next(left, False) else os.kill(os.getpid(), signal.SIGKILL)
            os.dup2(quiet, 2)
        training.provenance.commit = lambda: ""  # asks git, which takes longer than all the rest
        command = importlib.import_module(module)
        if estimate := getattr(command, "estimate_batch_norm", None):  # of 20 batches, longer than the steps
            command.estimate_batch_norm = lambda network, inputs, how: estimate(network, islice(inputs, 2), how)
        if module.startswith("train_"):
            recipes = {words[0]: command.RECIPES[words[0]]}  # help on all of them takes longer than the rest, too
            run_command(lambda: command.main(parse_command_line(recipes, words)))
        else:
            run_command(lambda: main_of(command)(tyro.cli(command.Config, args=words)))
        status = 0
    except SystemExit as end:
        status = end.code
    except KeyboardInterrupt:
        status = 130  # before or after the command itself
    finally:
        os._exit(status or 0)


def ended(process):
    """The exit status of a process, negative after a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def stopped_after(process, seconds, number):
    """The exit status of a process that is sent the signal `number` after so many seconds, unless it is done."""
    time.sleep(seconds)
    os.kill(process, number)
    return ended(process)


def children_seconds():
    """The seconds of computing of all processes that have ended."""
    return os.times().children_user + os.times().children_system


def left_over(folder):
    """Files and folders that something unfinished left in `folder`."""
    return [str(path) for path in folder.rglob(".*")]


def kill_runs(recipe, root, times, draw):
    """Kill runs of a recipe `times` times, every second time while saving, and resume them; what differs at the end."""
    script, runs = SCRIPT_OF[recipe], root / "runs"
    before = children_seconds()
    if ended(started(script, small(script, recipe, root / "data", runs, f"{recipe} whole"))):
        return 0, "the run that is not killed failed"
    seconds, expected = children_seconds() - before, state(runs / f"{recipe} whole")
    killed, number = 0, 0
    while True:
        folder = runs / f"{recipe} {number}"
        words = small(script, recipe, root / "data", runs, folder.name)
        words += ["--resume"] if (folder / "config.json").exists() else []
        if killed == times:
            status = ended(started(script, words))
        elif killed % 2:
            status = ended(started(script, words, die_after=draw.uniform(0, seconds)))
        else:
            status = ended(started(script, words, die_at=draw.randrange(8)))
        if status in (-signal.SIGKILL, -signal.SIGPROF):
            killed += 1
            continue
        if status:
            return killed, f"ended with {status}"
        if state(folder) != expected:
            return killed, f"differs: {folder.name}"
        if left_over(folder):
            return killed, f"left {left_over(folder)}"
        if killed == times:
            return killed, ""
        number += 1


def contents(folder):
    """Files under `folder` and their bytes, without what tells the time."""
    timed = ("config.json", "checkpoint.pt", "metrics.jsonl", "latents.npz")
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in timed and path.suffix != ".log"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def stop_commands(name, root, times, draw):
    """Stop a command `times` times, by Ctrl-C and by SIGTERM in turns, and call it again; what differs at the end."""
    module, words_of = COMMANDS[name]
    begun = time.monotonic()
    if ended(started(module, [str(word) for word in words_of(root, root / name / "whole")])):
        return 0, "the command that is not stopped failed"
    seconds, expected = time.monotonic() - begun, contents(root / name / "whole")
    assert expected, name
    stopped, number = 0, 0
    while stopped < times:
        out = root / name / str(number)
        words = [str(word) for word in words_of(root, out)]
        process = started(module, words + ["--resume"] * bool(module.startswith("train_") and config_of(out)))
        status = stopped_after(process, draw.uniform(0, seconds), (signal.SIGINT, signal.SIGTERM)[stopped % 2])
        if status not in (0, *STOPPED):
            return stopped, f"ended with {status}"
        stopped += status in STOPPED
        number += 1
        if left_over(out) or left_over(root / name):
            return stopped, f"left {left_over(root / name)}"
        if ended(started(module, words + ["--resume"] * bool(module.startswith("train_") and config_of(out)))):
            return stopped, "called again, it failed"
        if contents(out) != expected:
            return stopped, f"differs: {out}"
    return stopped, ""


def config_of(out):
    """Whether there is a run directory in `out`."""
    return list(out.glob("*/config.json"))


def weights(root, recipe):
    """The weights of the run of a recipe that `main` made."""
    return root / "runs" / recipe / "weights.safetensors"


def generate(root, out):
    words = ("--weights", weights(root, "teacher"), "--out", out / "digits", "--grid", out / "grid.png")
    return (*words, "--per-class", 12, "--sampler", "dpm++", "--steps", 1, "--device", "cpu")


def classify(root, out):
    words = ("--weights", weights(root, "dann-lenet"), "--images", root / "data/digits/a/data")
    return (*words, "--csv", out / "labels.csv", "--device", "cpu")


def score(root, out):
    words = (root / "pictures", "--classifier", weights(root, "dann-lenet"))
    return (*words, "--json", out / "scores.json", "--device", "cpu")


COMMANDS = {
    "train": ("train_dann", lambda root, out: small("train_dann", "dann", root / "data", out, "run")),
    "generate": ("inference.generate_digits", generate),
    "prepare": ("data.prepare", lambda root, out: ("--raw", root / "raw", "--out", out / "tree", "--parts", "usps")),
    "classify": ("inference.classify_digits", classify),
    "score": ("metrics.digits", score),
    "report": ("report.build", lambda root, out: ("--runs", root / "reported", "--out", out, "--device", "cpu")),
}
NEEDED = {
    **dict.fromkeys(("consistency", "generate"), ("train_ddpm", "edm", "runs", "teacher")),
    **dict.fromkeys(("classify", "score"), ("train_dann", "dann-lenet", "runs", "dann-lenet")),
    "report": ("train_dann", "dann-lenet", "reported", "dann-lenet"),
}
"""The run that a kind of command needs: script, recipe, folder, name."""


def main(folder, times, names):
    write_data(folder / "data")
    write_pictures(folder / "pictures")
    write_usps(folder / "raw")
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    draw = random.Random(0)
    for name in names:
        if name in NEEDED:
            script, recipe, runs, run = NEEDED[name]
            if not (folder / runs / run).exists():
                assert not ended(started(script, small(script, recipe, folder / "data", folder / runs, run)))
        stop = stop_commands if name in COMMANDS else kill_runs
        print(json.dumps([name, *stop(name, folder, times, draw)]), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
