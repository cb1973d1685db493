"""Images per second of a recipe and of the loop that everyone copies: `python -m benchmarks dcgan`.

Same networks, batch and optimizers on both sides. The two take turns, each turn a process of its own, because a
machine's speed drifts: read the ratio, not the absolute figures.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro

from benchmarks.copied_loop import DEVICE, LOOPS
from benchmarks.counts import RECIPES, count_step, load_recipe, matrix_peak
from benchmarks.data import write_tree
from runtime.command_line import run_main
from runtime.device import choose_execution
from runtime.errors import UserError
from runtime.settings import AT_LEAST_1, Settings
from training.directory import read_log

ROOT = Path(__file__).parents[1]
WARM_UP = 4  # steps before the timed ones


@dataclass
class Config(Settings):
    """Time a recipe and the copied loop in turns."""

    recipe: tyro.conf.Positional[Literal[tuple(LOOPS)]]
    """Which recipe."""
    turns: Annotated[int, AT_LEAST_1] = 3
    """Turns of each."""
    steps: Annotated[int, AT_LEAST_1] = 5
    """Timed steps in a turn, times 4."""


def run_python(*words: object) -> tuple[str, float]:
    """Run Python with these words from the repository's root; what it printed, and its peak memory in GB."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([sys.executable, *map(str, words)], cwd=ROOT, stdout=output, stderr=subprocess.PIPE)
        errors = process.stderr.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise UserError(f"a turn failed: {errors.strip().splitlines()[-1] if errors.strip() else status}")
        output.seek(0)
        return output.read(), usage.ru_maxrss / 2**20


def time_ours(config: Config, script: str, data: Path) -> tuple[float, float]:
    """Seconds of the timed steps of the training script, and the peak memory of its process in GB."""
    with tempfile.TemporaryDirectory() as runs:
        words = ("--data", data, "--runs", runs, "--name", "ours", *RECIPES[config.recipe])
        steps = ("--max-steps", WARM_UP + 4 * config.steps, "--log-every", WARM_UP)
        _, memory = run_python(script, config.recipe, *words, *steps)
        lines = read_log(Path(runs) / "ours" / "metrics.jsonl")
    return lines[-1]["seconds"] - lines[0]["seconds"], memory


def main(config: Config) -> None:
    """Take turns and print images per second, their ratio, the share of the matrix peak, and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        data = write_tree(Path(folder) / "data")
        os.environ["XDG_CACHE_HOME"] = folder
        script, _ = load_recipe(config.recipe, *RECIPES[config.recipe])
        count = count_step(config.recipe, "--data", data, *RECIPES[config.recipe])
        images, ratios = 4 * config.steps * count.batch_size, []
        dtype = torch.bfloat16 if choose_execution(str(DEVICE)).precision == "bf16" else torch.float32
        print(f"{config.recipe}: {count.flops / count.batch_size / 1e9:.3f} GFLOP an image")
        for turn in range(config.turns):
            ours, memory = time_ours(config, script.__file__, data)
            arguments = (config.recipe, data, count.batch_size, WARM_UP, 4 * config.steps)
            output, copied_memory = run_python("-m", "benchmarks.copied_loop", *arguments)
            ratios.append(float(output) / ours)
            share = images * count.flops / count.batch_size / ours / matrix_peak(DEVICE, dtype, 2048)
            ours_said = f"ours {images / ours:.1f} images/s ({share:.0%} of the matrix peak, {memory:.2f} GB)"
            copied_said = f"copied {images / float(output):.1f} images/s ({copied_memory:.2f} GB)"
            print(f"turn {turn + 1}: {ours_said}, {copied_said}, ratio {ratios[-1]:.2f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    run_main(main, Config)
