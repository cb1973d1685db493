"""Write what a network produces: `python -m inference.generate RUN_OR_WEIGHTS --out DIR`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from torch import nn

from inference import classify_digits, generate_digits, generate_faces, reconstruct_faces
from inference.api import find_weights
from models.digit_classifiers import DigitClassifier
from models.generator import DEFAULT, Generator, Sampling
from models.vae import VAE
from models.weights import load_weights
from runtime.command_line import run_main
from runtime.device import InPrecision
from runtime.errors import UserError
from runtime.settings import Range


@dataclass
class Config(InPrecision):
    """Write what a network produces: faces, digits of all classes, reconstructions or labels."""

    weights: tyro.conf.Positional[Path]
    """A run directory, its weights.safetensors, or a shipped file."""
    out: Path
    """Output folder; created if missing, refused if it holds other files."""
    count: Annotated[int, Range(0, 1_000_000)] = 0
    """Number of images; with classes, a multiple of their number (0: 1000, or 100 per class)."""
    images: Path | None = None
    """Folder of images: faces for a VAE to reconstruct, digits for a classifier to label in labels.csv."""
    seed: int = 999
    """Seed; the noise of each image derives from it and the image's number."""
    sampling: Annotated[Sampling, tyro.conf.arg(name="")] = field(default_factory=Sampling)
    """Settings of sampling."""


def main(config: Config) -> None:
    """Do as `config` says; raises UserError for what the user can put right."""
    path = find_weights(config.weights)
    network, _ = load_weights(path, nn.Module)
    where = {"device": config.device, "precision": config.precision}
    how = {"seed": config.seed, "sampling": config.sampling}
    match network:
        case VAE() | DigitClassifier() if config.images and config.sampling != DEFAULT:
            raise UserError("settings of sampling do nothing to --images: leave one or the other out")
        case VAE() if config.images:
            reconstruct_faces.main(reconstruct_faces.Config(path, config.images, config.out, **where))
            print(f"reconstructions of {config.images} are in {config.out}")
        case DigitClassifier() if config.images:
            table = config.out / "labels.csv"
            classify_digits.main(classify_digits.Config((path,), config.images, table, **where))
            print(f"labels of {config.images} are in {table}")
        case DigitClassifier():
            raise UserError(f"{path} is a classifier: give the digits to label with --images DIR")
        case Generator() if config.images:
            raise UserError(f"{path} makes pictures of noise: leave out --images, which is for a VAE or a classifier")
        case Generator(classes=0):
            count = config.count or 1000
            generate_faces.main(generate_faces.Config(path, config.out, count, **how, **where))
            print(f"{count} faces are in {config.out}")
            if isinstance(network, VAE):
                print("for reconstructions give a folder of faces with --images DIR")
        case Generator(classes=classes):
            count = config.count or 100 * classes
            if count % classes:
                raise UserError(f"--count {count}: of {classes} classes there are a multiple of {classes}")
            generate_digits.main(generate_digits.Config(path, config.out, count // classes, **how, **where))
            print(f"{count} digits are in {config.out}")
        case _:
            raise UserError(f"{path} makes nothing by itself: give weights of a generator, a VAE or a classifier")


if __name__ == "__main__":
    run_main(main, Config)
