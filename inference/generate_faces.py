"""Generate faces: `python -m inference.generate_faces --weights W --out DIR`."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from runtime.device import Precision, choose_execution
from runtime.errors import UserError, run_command
from runtime.images import claim_folder, save_images, save_png, sheet
from runtime.sampling import FACE_GENERATORS, sample_faces
from runtime.weights import load_weights


@dataclass
class Config:
    """Write numbered faces, 0000.png and on, into a folder that holds nothing else."""

    weights: Path
    """A run's weights.safetensors, or a shipped file."""
    out: Path
    """Folder for the pictures; made if missing, refused if it holds other files."""
    count: int = 1000
    """How many faces."""
    seed: int = 999
    """Each face has its own noise, derived from this seed and its number."""
    sheet: Path | None = None
    """Also write the first 32 faces side by side to this PNG."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: Precision = "float32"
    """float32, bf16 (mixed), or auto."""


def main(config: Config) -> None:
    """Generate as `config` says; raises UserError for what the user can put right."""
    if not 1 <= config.count <= 10_000:
        raise UserError("--count must be from 1 to 10000: file names have four digits")
    names = [f"{number:04d}.png" for number in range(config.count)]
    execution = choose_execution(config.device, config.precision)
    network, _ = load_weights(config.weights, kind=FACE_GENERATORS)
    claim_folder(config.out, names)
    images = sample_faces(execution.place(network), config.seed, config.count, execution)
    save_images(config.out, names, images)
    if config.sheet:
        save_png(config.sheet, sheet(images[:32]))


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Config, description=Config.__doc__)))
