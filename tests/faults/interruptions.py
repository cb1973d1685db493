"""Commands that are killed, asked to end or called twice at once: `tests/faults/interruptions.py FOLDER TIMES KIND …`.

KIND is a recipe's name, for runs that are killed and resumed at random moments, or the name of a command in COMMANDS,
which is stopped by Ctrl-C and by SIGTERM and called again, or "two NAME" of such a command, which two processes call at
once. Every process is a fork of this one, which never computes a gradient itself:
PyTorch is imported once. Prints a line of JSON for each kind: its name, how often it was stopped, what went wrong.
"""

import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
from itertools import islice
from pathlib import Path
from threading import RLock

import torch
import torch._dynamo  # what every optimizer would import
from commands import main_of
from recipes import RECIPES, small, state, write_data, write_pictures, write_usps
from tqdm import tqdm

import training.provenance
from data.cache import cache_folder
from runtime.command_line import from_command_line
from runtime.errors import run_command
from training.config import parse_command_line

SCRIPT_OF = {recipe: script for script, recipe in RECIPES}
STOPPED = (-signal.SIGKILL, -signal.SIGINT, -signal.SIGTERM, 130, 143)


def started(module, words, die_at=None, die_after=None, errors=None):
    """The id of a process that runs a command, its standard error going to the file `errors` if there is one.

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
        if errors is not None:
            os.dup2(os.open(errors, os.O_CREAT | os.O_WRONLY), 2)
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
            run_command(lambda: main_of(command)(from_command_line(command.Config, words)))
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


def undisturbed(name, root):
    """How many seconds a command takes, and what it leaves."""
    module, words_of = COMMANDS[name]
    begun = time.monotonic()
    assert not ended(started(module, [str(word) for word in words_of(root, root / name / "whole")])), name
    seconds, left = time.monotonic() - begun, contents(root / name / "whole")
    assert left, name
    return seconds, left


def call_together(name, root, times, draw):
    """Call a command from two processes at once, `times` times into one folder and `times` into two; what differs.

    The cache is empty, so that both would fill it. A second process may wait, or be refused in one line.
    """
    module, words_of = COMMANDS[name]
    seconds, expected = undisturbed(name, root)
    for number in range(2 * times):
        outs = [root / name / str(number)] * 2 if number % 2 else [root / name / f"{number} {one}" for one in "ab"]
        shutil.rmtree(cache_folder(), ignore_errors=True)
        errors = [root / f"{name} {number} {one}.txt" for one in "ab"]
        processes = []
        for out, file in zip(outs, errors, strict=True):
            processes.append(started(module, [str(word) for word in words_of(root, out)], errors=file))
            time.sleep(draw.uniform(0, seconds / 4))
        statuses = [ended(process) for process in processes]
        if sorted(statuses) not in ([0, 0], [0, 1] if outs[0] == outs[1] else [0, 0]):
            return number, f"ended with {statuses}"
        for status, file in zip(statuses, errors, strict=True):
            said = [line for line in file.read_text().splitlines() if "img/s" not in line]
            if status and (len(said) != 1 or not said[0].startswith("error: ")):
                return number, said
        for out in outs:
            if contents(out) != expected or left_over(out):
                return number, f"differs: {out}"
    return 2 * times, ""


def stop_commands(name, root, times, draw):
    """Stop a command `times` times, by Ctrl-C and by SIGTERM in turns, and call it again; what differs at the end."""
    module, words_of = COMMANDS[name]
    seconds, expected = undisturbed(name, root)
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
        kind = name.removeprefix("two ")
        if kind in NEEDED:
            script, recipe, runs, run = NEEDED[kind]
            if not (folder / runs / run).exists():
                assert not ended(started(script, small(script, recipe, folder / "data", folder / runs, run)))
        disturb = kill_runs if kind not in COMMANDS else stop_commands if kind == name else call_together
        print(json.dumps([name, *disturb(kind, folder, times, draw)]), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
