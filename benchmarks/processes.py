"""Weak scaling: a recipe in one process, in two, and on two machines: `python -m benchmarks.processes`.

Every process has the same batch. The machines are two launchers that meet on the loopback interface. All take turns, as
a machine's speed drifts: read the ratios.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from benchmarks.counts import RECIPES, load_recipe
from benchmarks.data import write_tree
from runtime.command_line import run_main
from runtime.errors import UserError
from runtime.settings import AT_LEAST_1, Range, Settings
from training.directory import read_log

ROOT = Path(__file__).parents[1]
WARM_UP = 4  # steps before the timed ones
SHAPES = {"one process": (1, 1), "two processes": (1, 2), "two machines": (2, 1)}  # machines, and processes of each


@dataclass
class Config(Settings):
    """Time a recipe in one process, in two, and on two machines."""

    recipe: tyro.conf.Positional[Literal[tuple(RECIPES)]] = "dcgan"
    """Which recipe."""
    batch_size: Annotated[int, Range(2)] = 32
    """Images of each process in a step."""
    steps: Annotated[int, AT_LEAST_1] = 2
    """Timed steps in a turn, times 4."""
    turns: Annotated[int, AT_LEAST_1] = 3
    """Turns of each."""


def images_per_second(config: Config, data: Path, machines: int, processes: int) -> float:
    """Images per second of all processes together, after the first steps; raises UserError when a process fails."""
    script, _ = load_recipe(config.recipe, *RECIPES[config.recipe])
    batch_size = config.batch_size * machines * processes
    with tempfile.TemporaryDirectory() as runs:
        words = [sys.executable, "-m", "runtime.launch", script.__file__, config.recipe, *RECIPES[config.recipe]]
        words += ["--data", data, "--runs", runs, "--name", "run", "--batch-size", batch_size, "--log-every", WARM_UP]
        words += ["--max-steps", WARM_UP + 4 * config.steps, "--checkpoint-every", 10**6, "--sample-every", 10**6]
        started = []
        for rank in range(machines):
            names = {"PROCESSES": str(processes), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
            if machines > 1:
                names |= {"NODES": str(machines), "NODE_RANK": str(rank), "MASTER": "127.0.0.1:29517"}
            pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
            started.append(
                subprocess.Popen(list(map(str, words)), env=os.environ | names, cwd=ROOT, text=True, **pipes)
            )
        for process in started:
            _, errors = process.communicate()
            if process.returncode:
                raise UserError(f"a turn failed: {errors.strip().splitlines()[-1]}")
        lines = read_log(Path(runs) / "run" / "metrics.jsonl")
    return 4 * config.steps * batch_size / (lines[-1]["seconds"] - lines[0]["seconds"])


def main(config: Config) -> None:
    """Take turns and print images per second, and their ratios to those of one process."""
    speeds = {name: [] for name in SHAPES}
    with tempfile.TemporaryDirectory() as folder:
        data = write_tree(Path(folder) / "data")
        os.environ["XDG_CACHE_HOME"] = folder
        for _ in range(config.turns):
            for name, shape in SHAPES.items():
                speeds[name].append(images_per_second(config, data, *shape))
                print(f"{name}: {speeds[name][-1]:.1f} images/s", flush=True)
    for name, of_turns in speeds.items():
        ratios = [speed / alone for speed, alone in zip(of_turns, speeds["one process"], strict=True)]
        print(f"{name}: median {statistics.median(of_turns):.1f} images/s, {statistics.median(ratios):.2f} of one's")


if __name__ == "__main__":
    run_main(main, Config)
