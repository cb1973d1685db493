"""Classify digits: `python -m inference.classify_digits --weights W [W2 ...] --images DIR --csv OUT.csv`."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.decoded import image_names, read_images
from data.digits import DIGITS, SIZE, write_labels
from data.tables import is_formula
from inference.api import Classifier
from inference.classification import Vote
from runtime.command_line import run_main
from runtime.device import InPrecision
from runtime.errors import UserError


@dataclass
class Config(InPrecision):
    """Write the label of every image of a folder, in file-name order, as a table image_name,label.

    Labels are digits, or the names of the classes that the network was trained on.
    """

    weights: tuple[Path, ...]
    """A run directory, its weights.safetensors, or a shipped file; several of them vote."""
    images: Path
    """Folder of images: of digits 28x28, of other classes of any size."""
    csv: Path
    """The table to write; its folder is created if missing."""
    vote: Vote = "majority"
    """Vote of several networks: the class predicted by most, or by their mean probabilities."""
    skip_bad: bool = False
    """Skip and list images that cannot be read, instead of stopping at the first."""


def main(config: Config) -> None:
    """Classify as `config` says; raises UserError for what the user can put right."""
    if not config.weights:
        raise UserError("--weights names no file: give at least one")
    if config.csv.is_dir():
        raise UserError(f"--csv {config.csv} is a folder: give the table's name too, {config.csv / 'labels.csv'} say")
    classifier = Classifier.load(*config.weights, vote=config.vote, device=config.device, precision=config.precision)
    names, images = read_digits(config.images, config.skip_bad, classifier.size, classifier.classes != DIGITS)
    write_labels(config.csv, names, [classifier.classes[label] for label in classifier.classify(images)])


def read_digits(folder: Path, skip_bad: bool, size: int = SIZE, resize: bool = False) -> tuple[list[str], np.ndarray]:
    """Names and pictures, uint8 RGB (N, size, size, 3), of a folder, in file-name order.

    Raises UserError for a missing or empty folder and for a picture that is unreadable, of another size unless `resize`
    allows it, or named like a spreadsheet's formula; with `skip_bad` such pictures are left out and named on standard
    error, and UserError is raised when none is left.
    """
    names = image_names(folder)
    pictures = dict(zip(names, read_images((folder / name for name in names), size, resize), strict=True))
    bad = {name: error for name, error in pictures.items() if isinstance(error, UserError)}
    for name in filter(is_formula, names):
        bad.setdefault(name, UserError(f"{folder / name} would be a formula in the table: rename it"))
    for name, error in bad.items():
        if not skip_bad:
            raise error
        print(f"skipped {name}: {error}", file=sys.stderr)
    if len(bad) == len(names):
        raise UserError(f"none of the {len(names)} pictures in {folder} can be classified")
    good = [name for name in names if name not in bad]
    return good, np.stack([pictures[name] for name in good])


if __name__ == "__main__":
    run_main(main, Config)
