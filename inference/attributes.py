"""Attribute directions of a VAE's latents: `python -m inference.attributes RUN_OR_WEIGHTS --data datasets/real`.

The direction of an attribute is the mean latent of the faces that have it minus that of those that have not (Larsen et
al., *Autoencoding beyond Pixels Using a Learned Similarity Metric*, ICML 2016, section 4.2).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from data.decoded import image_names
from data.faces import attributes_of, face_folder, load_faces
from inference.api import Autoencoder, find_weights
from runtime.command_line import run_main
from runtime.device import OnDevice
from runtime.errors import UserError
from runtime.files import read_arrays, write_arrays


@dataclass
class Config(OnDevice):
    """Measure attribute directions and write them beside the weights as NAME.directions.npz, for the demo."""

    weights: tyro.conf.Positional[Path]
    """A run directory, its weights.safetensors, or a shipped file: of a VAE."""
    data: Path = Path("datasets/real")
    """The data tree; its training faces and face/attributes.csv are read."""
    only: tuple[str, ...] = ()
    """Attributes to keep, all by default."""


def main(config: Config) -> None:
    """Measure and write; raises UserError for faces without attributes and an attribute that there is not."""
    weights = find_weights(config.weights)
    autoencoder = Autoencoder.load(weights, config.device)
    names, values = attributes_of(config.data, image_names(face_folder(config.data)))
    known = values.any(1)
    if not known.any():
        raise UserError(f"the training faces of {config.data} have no attributes (face/attributes.csv)")
    latents = autoencoder.encode(load_faces(config.data, "train", *autoencoder.shape)[known])
    columns = dict(zip(names, values[known].T, strict=True))
    directions = {name: direction(latents, column) for name, column in columns.items() if {-1, 1} <= set(column)}
    if unknown := set(config.only) - directions.keys():
        raise UserError(f"no attribute {', '.join(sorted(unknown))}: there are {', '.join(directions)}")
    kept = {name: directions[name].astype(np.float16) for name in config.only or directions}
    write_arrays(directions_file(weights), **kept)
    print(f"{directions_file(weights)}: {len(kept)} directions of {known.sum():,} faces")


def direction(latents: np.ndarray, values: np.ndarray) -> np.ndarray:
    """From faces without an attribute to those with it, (D,), of latents (N, D) and values (N,), -1 or 1."""
    return latents[values > 0].mean(0) - latents[values < 0].mean(0)


def directions_file(weights: Path) -> Path:
    """Where the directions of a weights file lie."""
    return weights.with_suffix(".directions.npz")


def read_directions(weights: Path) -> dict[str, np.ndarray]:
    """Directions float32 (D,) by attribute, none where there is no file; raises UserError for a damaged one."""
    path = directions_file(weights)
    remedy = "remove it, or make it with python -m inference.attributes"
    arrays = read_arrays(path, remedy) if path.exists() else {}
    return {name: direction.astype(np.float32) for name, direction in arrays.items()}


if __name__ == "__main__":
    run_main(main, Config)
