"""Generate digits on request: `python -m inference.generate_digits --weights W --out DIR`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from inference.api import Digits
from inference.sampling import FRAMES, nearest
from models.generator import Sampling
from runtime.command_line import run_main
from runtime.device import InPrecision
from runtime.errors import UserError
from runtime.images import claimed, image_grid, save_animation, save_images, save_png
from runtime.settings import Range

ENLARGEMENT = 8  # of a pixel in snapshots


@dataclass
class Config(InPrecision):
    """Write digits, 0_001.png to 9_100.png (0_0001.png and on of more than 999 a class), or images of your own classes,
    into a folder that holds nothing else."""

    weights: Path
    """A run directory, its weights.safetensors, or a shipped file: of an ACGAN or of a diffusion network."""
    out: Path
    """Folder for the images; created if missing, refused if it holds other files."""
    per_class: Annotated[int, Range(1, 1_000_000)] = 100
    """Digits per class."""
    seed: int = 999
    """Seed; the noise of each digit derives from it, its class and its number."""
    sampling: Annotated[Sampling, tyro.conf.arg(name="")] = field(default_factory=Sampling)
    """Settings of sampling."""
    grid: Path | None = None
    """Also write a sample grid, ten of each class, to this PNG (rows: classes; columns: noise vectors)."""
    snapshots: Path | None = None
    """Also write six states of the reverse process of one of them to this PNG, and all of it as a GIF beside it."""
    snapshot_digit: Annotated[int, Range(0, 9)] = 0
    """Class of the digit whose reverse process is shown, the first of its class."""
    snapshot_times: tuple[float, float, float, float, float, float] | None = None
    """Times of the six states, from noise to image (0); the nearest that sampling visits are taken. t up to T, by
    default 1, 0.6, 0.2, 0.12, 0.08 and 0 times T (attention-unet: every fifth of T), or noise levels sigma up to 80 of
    EDM, by default 80, 4, 1.5, 0.7, 0.3 and 0. A distilled network shows each of its steps by default."""


def main(config: Config) -> None:
    """Generate as `config` says; raises UserError for what the user can put right."""
    digits = Digits.load(config.weights, config.device, config.precision)
    check(config, digits)
    places = max(3, len(str(config.per_class)))
    numbers = [f"{number:0{places}d}" for number in range(1, config.per_class + 1)]
    names = [f"{name}_{number}.png" for name in digits.classes for number in numbers]
    with claimed(config.out, names):
        asked = np.arange(len(digits.classes)).repeat(config.per_class)
        save_images(config.out, names, digits.sample(asked, config.seed, **vars(config.sampling)))
    if config.grid:
        save_png(config.grid, digits.grid(config.seed, **vars(config.sampling)))
    if config.snapshots:
        save_snapshots(config, digits)


def check(config: Config, digits: Digits) -> None:
    """Raise UserError for settings that cannot work with these weights, before any work starts."""
    digits.network.check(config.sampling)
    if process := digits.network.diffusion:
        first = process.snapshot_times[0]
        if config.snapshot_times and not all(0 <= time <= first for time in config.snapshot_times):
            raise UserError(f"--snapshot-times must lie between 0 and {first:g}, which is pure noise")
    elif config.snapshots:
        raise UserError("--snapshots shows the process of a diffusion network: these weights are an ACGAN's")


def save_snapshots(config: Config, digits: Digits) -> None:
    """Write the reverse process by which the digit in the folder was made, at six times and as a GIF."""
    times, pictures = digits.process(config.snapshot_digit, config.seed, **vars(config.sampling))
    pictures = pictures.repeat(ENLARGEMENT, axis=1).repeat(ENLARGEMENT, axis=2)
    shown = nearest(times, config.snapshot_times or digits.network.diffusion.snapshot_times)
    save_png(config.snapshots, image_grid(pictures[shown], columns=len(shown), gap=ENLARGEMENT))
    frames = np.linspace(0, len(times) - 1, min(len(times), FRAMES)).round().astype(int)
    save_animation(config.snapshots.with_suffix(".gif"), pictures[frames])


if __name__ == "__main__":
    run_main(main, Config)
