"""What small changes to its images cost a classifier: `python -m metrics.robustness WEIGHTS --domain usps`.

Images from elsewhere are cropped, resized and exposed a little differently. Each change is applied to every labelled
image of the domain: shifts and sizes in 28ths of its side, a digit's pixels; contrast and brightness as factors and
offsets of the grey levels about mid-grey.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from PIL import Image, ImageFilter

from data.digits import SIZE, class_names, load_digits
from inference.api import Classifier
from inference.classification import Vote
from runtime.command_line import run_main
from runtime.device import OnDevice
from runtime.errors import UserError
from runtime.files import write_json

BILINEAR = Image.Resampling.BILINEAR
Change = Callable[[Image.Image], Image.Image]


def in_pixels(length: int, image: Image.Image) -> int:
    """A length in 28ths of an image's side."""
    return round(length * image.width / SIZE)


def shifted(across: int, down: int) -> Change:
    """Shift; the border's pixels are repeated."""

    def change(image: Image.Image) -> Image.Image:
        size, right, below = image.width, in_pixels(across, image), in_pixels(down, image)
        most = max(abs(right), abs(below))
        padded = np.pad(np.asarray(image), ((most, most), (most, most), (0, 0)), mode="edge")
        left, top = most - right, most - below
        return Image.fromarray(padded[top : top + size, left : left + size])

    return change


def resized(size: int) -> Change:
    """Resize to `size` and back, bilinear: detail is lost."""

    def change(image: Image.Image) -> Image.Image:
        side = in_pixels(size, image)
        return image.resize((side, side), BILINEAR).resize(image.size, BILINEAR)

    return change


def cropped(margin: int) -> Change:
    """Cut `margin` off every side (negative: repeat the border) and resize to the former size, bilinear."""

    def change(image: Image.Image) -> Image.Image:
        cut, border = in_pixels(max(margin, 0), image), in_pixels(max(-margin, 0), image)
        padded = Image.fromarray(np.pad(np.asarray(image), ((border, border), (border, border), (0, 0)), mode="edge"))
        box = (cut, cut, padded.width - cut, padded.height - cut)
        return padded.resize(image.size, BILINEAR, box)

    return change


def exposed(contrast: float = 1.0, brightness: float = 0.0) -> Change:
    """Grey levels about mid-grey times `contrast`, plus `brightness` (1: from black to white)."""
    levels = ((np.arange(256) - 127.5) * contrast + 127.5 + 255 * brightness).clip(0, 255).round().astype(int)
    return lambda image: image.point(3 * levels.tolist())


CHANGES: dict[str, tuple[Change, ...]] = {
    "none": (lambda image: image,),
    "shift by 1 pixel": tuple(shifted(*way) for way in ((1, 0), (-1, 0), (0, 1), (0, -1))),
    "shift by 2 pixels": tuple(shifted(*way) for way in ((2, 0), (-2, 0), (0, 2), (0, -2))),
    "resized to 20 and back": (resized(20),),
    "resized to 14 and back": (resized(14),),
    "cropped by 2, or 2 more": (cropped(2), cropped(-2)),
    "blur of 1 pixel": (lambda image: image.filter(ImageFilter.GaussianBlur(in_pixels(1, image))),),
    "contrast 0.6 or 1.4": (exposed(contrast=0.6), exposed(contrast=1.4)),
    "brightness ±0.15": (exposed(brightness=0.15), exposed(brightness=-0.15)),
}


@dataclass
class Config(OnDevice):
    """Measure accuracies of classifiers on changed images of a domain; a change with several ways is their mean."""

    weights: tyro.conf.Positional[tuple[Path, ...]]
    """Run directories or weights files; several vote."""
    domain: str
    """A folder under ROOT/digits, or of your own in ROOT (docs/data.md)."""
    split: Literal["val", "test"] = "test"
    """Split of the domain."""
    data: Path = Path("datasets/real")
    """The data tree ROOT."""
    vote: Vote = "majority"
    """Vote of several networks."""
    json: Path | None = None
    """Also write the accuracies to this file."""


def main(config: Config) -> None:
    """Print a line for each change; raises UserError for images or weights that cannot be used."""
    if not config.weights:
        raise UserError("give a run directory or a weights file")
    classifier = Classifier.load(*config.weights, vote=config.vote, device=config.device)
    if class_names(config.data, config.domain) != classifier.classes:
        raise UserError(f"{config.domain} has other classes than these weights: give a domain of theirs")
    images, labels = load_digits(config.data, config.domain, config.split, labelled=True, size=classifier.size)
    accuracies = robustness(classifier.classify, images, labels)
    for name, accuracy in accuracies.items():
        print(f"{name:24} {accuracy:6.1%} {accuracy - accuracies['none']:+6.1%}")
    if config.json:
        write_json(config.json, {"domain": config.domain, "split": config.split, "accuracies": accuracies})


def robustness(
    classify: Callable[[np.ndarray], np.ndarray], images: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """For each of CHANGES the share, in [0, 1], of uint8 images (N, H, H, 3) that get their label (N,)."""
    pictures = [Image.fromarray(image) for image in images]

    def accuracy(change: Change) -> float:
        changed = np.stack([np.asarray(change(picture)) for picture in pictures])
        return float((classify(changed) == labels).mean())

    return {name: float(np.mean([accuracy(change) for change in changes])) for name, changes in CHANGES.items()}


if __name__ == "__main__":
    run_main(main, Config)
