"""A page to play with the networks: `python -m inference.demo`, or `bash scripts/demo.sh`."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from torch import nn

from data.digits import DIGITS
from inference.api import SHIPPED, Autoencoder, Classifier, Digits, Faces, find_weights
from inference.attributes import read_directions
from models.digit_classifiers import DigitClassifier
from models.generator import Generator
from models.vae import VAE
from models.weights import load_weights
from runtime.device import Precision
from runtime.errors import UserError, run_command
from runtime.settings import Range, Settings

SOURCES = {"mnistm": "MNIST-M", "svhn": "SVHN", "usps": "USPS"}


@dataclass
class Config(Settings):
    """Open a page, at 127.0.0.1 only, to try the shipped networks or your own runs."""

    weights: tuple[Path, ...] = ()
    """Run directories, weights files or names of shipped ones; each replaces the shipped network of its kind."""
    port: Annotated[int, Range(1, 65535)] = 7860
    """Where the page is: http://127.0.0.1:PORT."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: Precision = "auto"
    """float32, bf16 (mixed), or auto: bf16 where the hardware computes in it."""


@dataclass
class Networks:
    """What the page plays with; directions of latents by attribute, classifiers by what is common and their own."""

    digits: Digits
    faces: Faces
    autoencoder: Autoencoder
    directions: dict[str, np.ndarray]
    classifiers: dict[str, dict[str, Classifier]]


def load_networks(config: Config) -> Networks:
    """The networks that `config` names, and for kinds that it does not name the shipped ones.

    Raises UserError for weights that make nothing by themselves, and for two of a kind other than classifiers.
    """
    where = {"device": config.device, "precision": config.precision}
    found, own = {}, {}
    for path in map(find_weights, config.weights):
        match load_weights(path, nn.Module)[0]:
            case DigitClassifier():
                classifier = Classifier.load(path, **where)
                if classifier.classes != DIGITS:
                    raise UserError(f"{path} tells other classes than digits apart: use inference.classify_digits")
                own[path.parent.name if path.stem == "weights" else path.stem] = classifier
                continue
            case VAE():
                kind = "vae"
            case Generator(classes=classes):
                kind = "digits" if classes else "faces"
            case _:
                raise UserError(f"{path} makes nothing by itself: give weights of a generator, a VAE or a classifier")
        if kind in found:
            raise UserError(f"{found[kind]} and {path} are both of the kind {kind}: give one of them")
        found[kind] = path
    return Networks(
        Digits.load(found.get("digits", ""), **where),
        Faces.load(found.get("faces", ""), **where),
        Autoencoder.load(found.get("vae", ""), **where),
        read_directions(find_weights(found.get("vae", "vae"))),
        {"Your classifiers": own} if own else shipped_classifiers(where),
    )


def shipped_classifiers(where: dict[str, str]) -> dict[str, dict[str, Classifier]]:
    """For each source, the source-only classifier and those that adapted from it, as far as they are shipped."""
    rows = {}
    for source, title in SOURCES.items():
        adapted = {f"after adaptation to {name}": f"{source}-{target}" for target, name in SOURCES.items()}
        names = {"before adaptation": source, **adapted}.items()
        shipped = {said: name for said, name in names if (SHIPPED / f"{name}.safetensors").is_file()}
        rows[f"Trained with labels of {title}"] = {said: Classifier.load(shipped[said], **where) for said in shipped}
    return rows


def main(config: Config) -> None:
    """Open the page until Ctrl-C; raises UserError where it cannot be opened."""
    if not find_spec("gradio"):
        raise UserError("gradio is not installed: run bash scripts/demo.sh, which installs it")
    networks = load_networks(config)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # nothing leaves this machine
    from inference.demo_page import open_page

    try:
        page = open_page(networks, config.port)
    except OSError as error:
        raise UserError(f"port {config.port} cannot be used: give another --port") from error
    print(f"the page is at http://127.0.0.1:{config.port}; Ctrl-C ends it", flush=True)
    page.block_thread()


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Config, description=Config.__doc__)))
