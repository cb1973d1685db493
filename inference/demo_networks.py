"""The networks that the page of `inference.demo` plays with: shipped ones, or those given in their place."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from data.digits import DIGITS
from inference.api import SHIPPED, Autoencoder, Classifier, Digits, Faces, find_weights
from inference.attributes import read_directions
from models.digit_classifiers import DigitClassifier
from models.generator import Generator
from models.vae import VAE
from models.weights import load_weights
from runtime.device import Precision
from runtime.errors import UserError

SOURCES = {"mnistm": "MNIST-M", "svhn": "SVHN", "usps": "USPS"}


@dataclass
class Networks:
    """What the page plays with; directions of latents by attribute, classifiers by what is common and their own."""

    digits: Digits
    faces: Faces
    autoencoder: Autoencoder
    directions: dict[str, np.ndarray]
    classifiers: dict[str, dict[str, Classifier]]


def load_networks(weights: Sequence[Path], device: str = "auto", precision: Precision = "auto") -> Networks:
    """The networks of these names, and of kinds that none of them is of the shipped ones.

    Raises UserError for weights that make nothing by themselves, and for two of a kind other than classifiers.
    """
    where = {"device": device, "precision": precision}
    found, own = {}, {}
    for path in map(find_weights, weights):
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
