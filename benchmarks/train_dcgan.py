"""Images per second of `train_dcgan.py dcgan` and of the loop that everyone copies: `python -m benchmarks.train_dcgan`.

Same networks, batch and optimizers on both sides. The two take turns, each turn a process of its own, because a
machine's speed drifts: read the ratio, not the absolute figures.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro

from runtime.errors import UserError, run_command

ROOT = Path(__file__).parents[1]
WARM_UP = 4  # steps before the timed ones


@dataclass
class Config:
    """Time both loops in turns."""

    data: Path = Path("datasets/embedded")
    """The data tree, or a folder of pictures."""
    turns: int = 3
    """Turns of each loop."""
    steps: int = 20
    """Timed steps in a turn, a multiple of 4."""
    batch_size: int = 128
    """Images in a step."""


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


def time_ours(config: Config) -> tuple[float, float]:
    """Seconds of the timed steps of the training script, and the peak memory of its process in GB."""
    with tempfile.TemporaryDirectory() as runs:
        steps = ("--max-steps", WARM_UP + config.steps, "--log-every", WARM_UP, "--batch-size", config.batch_size)
        _, memory = run_python("train_dcgan.py", "dcgan", "--data", config.data.resolve(), "--runs", runs, *steps)
        lines = [json.loads(line) for line in (Path(runs) / "dcgan" / "metrics.jsonl").read_text().splitlines()]
    return lines[-1]["seconds"] - lines[0]["seconds"], memory


def time_copied(config: Config) -> float:
    """Seconds of the timed steps of the copied loop."""
    output, _ = run_python(
        "-m", "benchmarks.copied_loop", config.data.resolve(), config.batch_size, WARM_UP, config.steps
    )
    return float(output)


def main(config: Config) -> None:
    """Take turns and print images per second, their ratio, and peak memory."""
    images = config.steps * config.batch_size
    ratios = []
    for turn in range(config.turns):
        ours, memory = time_ours(config)
        copied = time_copied(config)
        ratios.append(copied / ours)
        print(
            f"turn {turn + 1}: ours {images / ours:.1f} images/s (peak memory {memory:.2f} GB), "
            f"copied {images / copied:.1f} images/s, ratio {ratios[-1]:.2f}",
            flush=True,
        )
    print(f"median ratio {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Config)))
