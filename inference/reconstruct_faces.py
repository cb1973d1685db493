"""Reconstruct faces with a VAE: `python -m inference.reconstruct_faces --weights W --images DIR --out OUT`."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.decoded import decode_folder, image_names
from data.tables import write_table
from inference.api import Autoencoder
from runtime.command_line import run_main
from runtime.device import InPrecision
from runtime.errors import UserError
from runtime.files import write_json
from runtime.images import claimed, image_grid, save_images, save_png


@dataclass
class Config(InPrecision):
    """Write a VAE's reconstruction of every image of a folder, OUT/NAME.png, and print the mean squared error.

    Errors are of values in [0, 1]. Images of another size are first cropped to the central square and resized
    to the network's.
    """

    weights: Path
    """A run directory, its weights.safetensors, or a shipped file: of a VAE."""
    images: Path
    """Folder of faces."""
    out: Path
    """Folder for the reconstructions; created if missing, refused if it holds other files."""
    csv: Path | None = None
    """Also write the error of each image to this table, image_name,mse."""
    json: Path | None = None
    """Also write the mean error, its standard deviation and the number of images to this file."""
    grid: Path | None = None
    """Also write the first ten images above their reconstructions to this PNG."""


def main(config: Config) -> None:
    """Reconstruct as `config` says; raises UserError for what the user can put right."""
    names = image_names(config.images)
    results = [str(Path(name).with_suffix(".png")) for name in names]
    twin = next((name for name, count in Counter(results).items() if count > 1), None)
    if twin:
        raise UserError(f"several pictures in {config.images} would become {twin}: rename them")
    autoencoder = Autoencoder.load(config.weights, config.device, config.precision)
    size, channels = autoencoder.shape
    images = decode_folder(config.images, names, size, resize=True, channels=channels)
    with claimed(config.out, results):
        pictures, errors = autoencoder.reconstruct(images)
        save_images(config.out, results, pictures)
    if config.csv:
        lines = [[name, f"{error:.6f}"] for name, error in zip(names, errors, strict=True)]
        write_table(config.csv, ["image_name", "mse"], lines)
    scores = {"images": len(names), "mse": float(errors.mean()), "mse_std": float(errors.std())}
    if config.json:
        write_json(config.json, scores)
    if config.grid:
        save_png(config.grid, image_grid(np.concatenate([images[:10], pictures[:10]]), columns=min(10, len(images))))
    print(f"mean squared error {scores['mse']:.5f} ± {scores['mse_std']:.5f} over {len(names)} pictures")


if __name__ == "__main__":
    run_main(main, Config)
