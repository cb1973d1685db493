"""Generate faces: `python -m inference.generate_faces --weights W --out DIR`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from inference.api import Faces
from models.generator import Sampling
from runtime.command_line import run_main
from runtime.device import InPrecision
from runtime.errors import UserError
from runtime.images import claimed, image_grid, save_animation, save_images, save_png
from runtime.settings import Range


@dataclass
class Config(InPrecision):
    """Write numbered faces, 0000.png and on (00000.png of more than 10,000), into a folder that holds nothing else."""

    weights: Path
    """A run directory, its weights.safetensors, or a shipped file."""
    out: Path
    """Folder for the images; created if missing, refused if it holds other files."""
    count: Annotated[int, Range(1, 1_000_000)] = 1000
    """Number of faces."""
    seed: int = 999
    """Seed; the noise of each face derives from it and the face's number."""
    sampling: Annotated[Sampling, tyro.conf.arg(name="")] = field(default_factory=Sampling)
    """Settings of sampling."""
    interpolate: tuple[int, int] | None = None
    """Numbers A B of two faces of this seed: write --count interpolations from one to the other instead."""
    grid: Path | None = None
    """Also write a grid of the first 32 faces to this PNG, or with --interpolate all of them to this PNG or GIF."""


def main(config: Config) -> None:
    """Generate as `config` says; raises UserError for what the user can put right."""
    if config.interpolate and (min(config.interpolate) < 0 or not 2 <= config.count <= 200):
        raise UserError("--interpolate needs two numbers from 0 up and a --count from 2 to 200")
    places = max(4, len(str(config.count - 1)))
    names = [f"{number:0{places}d}.png" for number in range(config.count)]
    faces = Faces.load(config.weights, config.device, config.precision)
    faces.network.check(config.sampling)
    with claimed(config.out, names):
        if config.interpolate:
            images = faces.between(*config.interpolate, config.count, config.seed, **vars(config.sampling))
        else:
            images = faces.sample(config.count, config.seed, **vars(config.sampling))
        save_images(config.out, names, images)
    if config.grid and config.interpolate and config.grid.suffix == ".gif":
        save_animation(config.grid, images)
    elif config.grid:
        save_png(config.grid, image_grid(images if config.interpolate else images[:32]))


if __name__ == "__main__":
    run_main(main, Config)
