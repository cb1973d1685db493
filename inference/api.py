"""Shipped or trained networks in Python: `Digits.load("digits").sample([3, 1, 4])`.

A name is that of a file under weights/ (`digits`), a run directory or a weights file. Pictures are uint8 (N, H, W, C)
everywhere, of the network's size, and RGB unless it was trained on gray ones. What a user can put right is a UserError,
whose message is one line.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import torch

from data.digits import DIGITS
from inference.classification import Vote, class_names, class_probabilities, picture_size, vote
from inference.reconstruction import decode, encode, reconstruct
from inference.sampling import (
    load_generator,
    request_seeds,
    reverse_process,
    sample_between,
    sample_grid,
    sample_images,
)
from models.digit_classifiers import DigitClassifier
from models.generator import Generator, Sampling
from models.vae import VAE
from models.weights import load_weights
from runtime.device import Execution, Precision, choose_execution
from runtime.errors import UserError
from runtime.seeds import image_seeds

SHIPPED = Path(__file__).parents[1] / "weights"
Network = TypeVar("Network")


def find_weights(name: str | Path) -> Path:
    """The weights file of a name: a file, a run directory, or the name of a shipped file.

    >>> find_weights("digits").name
    'digits.safetensors'
    """
    path, shipped = Path(name), SHIPPED / f"{name}.safetensors"
    of_run = path / "weights.safetensors"
    if path.is_file() or not (of_run.exists() or shipped.is_file()):
        return path
    return of_run if of_run.exists() else shipped


@dataclass(frozen=True)
class Loaded(Generic[Network]):
    """A network in evaluation mode, where and how it runs, and how it was made."""

    network: Network
    execution: Execution
    about: dict[str, Any]

    shipped: ClassVar[str]
    """What is loaded by default."""
    read: ClassVar[Callable[[Path], tuple[Network, dict[str, Any]]]]
    """What reads its weights file."""

    @classmethod
    def load(cls, name: str | Path = "", device: str = "auto", precision: Precision = "float32") -> Self:
        """The network of this name; raises UserError for weights of another kind."""
        network, about = cls.read(find_weights(name or cls.shipped))
        execution = choose_execution(device, precision)
        return cls(execution.place(network), execution, about)


@dataclass(frozen=True)
class Faces(Loaded[Generator]):
    """A generator of faces: of a GAN, a VAE or a diffusion model.

    >>> faces = Faces.load("faces", device="cpu")
    >>> faces.sample(2, seed=7, truncation=0.8, steps=2).shape
    (2, 64, 64, 3)
    """

    shipped = "faces"
    read = partial(load_generator, makes="faces")

    def sample(self, count: int, seed: int = 999, **sampling: Any) -> np.ndarray:
        """Faces uint8 (count, H, W, C): number 17 of a seed never changes.

        `sampling` are settings of `models.generator.Sampling`; raises UserError for those that these weights lack.
        """
        seeds = image_seeds(seed, range(count))
        return sample_images(self.network, seeds, self.execution, sampling=_checked(self.network, sampling))

    def between(
        self, first: int, last: int, count: int = 7, seed: int | tuple[int, int] = 999, **sampling: Any
    ) -> np.ndarray:
        """Faces uint8 (count, H, W, C) on the way from number `first` of a seed to number `last`, or of two seeds.

        >>> faces = Faces.load("faces", device="cpu")
        >>> bool((faces.between(1, 0, count=3, steps=2)[-1] == faces.sample(1, steps=2)[0]).all())
        True
        """
        seeds = seed if isinstance(seed, tuple) else (seed, seed)
        ends = torch.cat([image_seeds(of, (number,)) for of, number in zip(seeds, (first, last), strict=True)])
        return sample_between(self.network, ends, count, self.execution, sampling=_checked(self.network, sampling))


@dataclass(frozen=True)
class Digits(Loaded[Generator]):
    """A generator of digits on request: of an ACGAN or a diffusion model.

    >>> digits = Digits.load("digits", device="cpu")
    >>> digits.sample([3, 1, 4], seed=7, guidance=2, steps=2).shape
    (3, 28, 28, 3)
    """

    shipped = "digits"
    read = partial(load_generator, makes="digits")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of what can be asked for."""
        return class_names(self.about, self.network.classes)

    def sample(self, digits: Sequence[int | str], seed: int = 999, **sampling: Any) -> np.ndarray:
        """The digits asked for, or classes by name, uint8 (N, H, W, C): the first 3 of a seed never changes.

        `sampling` are settings of `models.generator.Sampling`, `guidance` and `steps` say; raises UserError for those
        that these weights lack.
        """
        labels = [self._label(digit) for digit in digits]
        seeds = request_seeds(seed, labels, self.network.classes)
        sampling = _checked(self.network, sampling)
        return sample_images(self.network, seeds, self.execution, torch.tensor(labels), sampling)

    def grid(self, seed: int = 999, **sampling: Any) -> np.ndarray:
        """One picture uint8 (H, W, C) of ten of each class, a row each, the same noise down a column."""
        return sample_grid(self.network, seed, self.execution, _checked(self.network, sampling))

    def process(self, digit: int | str, seed: int = 999, **sampling: Any) -> tuple[list[float], np.ndarray]:
        """How diffusion makes the first such digit of a seed: times down to 0, and a picture (H, W, C) at each.

        >>> times, pictures = Digits.load("digits", device="cpu").process(3, steps=2)
        >>> [round(time, 3) for time in times], pictures.shape
        ([80.0, 0.04, 0.0], (3, 28, 28, 3))
        """
        if not self.network.diffusion:
            raise UserError("these weights make an image in one step: only diffusion networks have a process to show")
        label, sampling = self._label(digit), _checked(self.network, sampling)
        number = request_seeds(seed, [label], self.network.classes).item()
        return reverse_process(self.network, number, label, self.execution, sampling)

    def _label(self, digit: int | str) -> int:
        if digit in self.classes:
            return self.classes.index(digit)
        if digit not in range(self.network.classes):
            named = "" if self.classes == DIGITS else f", or by name: {', '.join(self.classes)}"
            raise UserError(f"there is no digit {digit!r}: ask for 0 to {self.network.classes - 1}{named}")
        return int(digit)


@dataclass(frozen=True)
class Classifier:
    """Classifiers of digits, one or several that vote.

    >>> classifier = Classifier.load("mnistm-svhn", device="cpu")
    >>> classifier.classify(np.zeros((2, 28, 28, 3), np.uint8)).shape
    (2,)
    """

    networks: tuple[DigitClassifier, ...]
    execution: Execution
    how: Vote = "majority"
    classes: tuple[str, ...] = DIGITS
    """The names of the labels."""

    @classmethod
    def load(
        cls, *names: str | Path, vote: Vote = "majority", device: str = "auto", precision: Precision = "float32"
    ) -> Self:
        """The classifiers of these names, and how they agree; raises UserError for weights of another kind."""
        execution = choose_execution(device, precision)
        networks, abouts = zip(*(load_weights(find_weights(name), DigitClassifier) for name in names), strict=True)
        classes, *others = [class_names(of, one.classes) for one, of in zip(networks, abouts, strict=True)]
        if any(other != classes for other in others):
            raise UserError(f"{names[0]} and others were trained on other classes: let those of the same vote")
        return cls(tuple(map(execution.place, networks)), execution, vote, classes)

    @property
    def size(self) -> int:
        """Height and width of the pictures that are classified: 28 of digits, else the first network's."""
        return picture_size(self.networks[0].image_size, self.classes)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities float32 (classifiers, N, K) of pictures uint8 (N, size, size, 3)."""
        images = _pictures(images, self.size)
        return np.stack([class_probabilities(network, images, self.execution) for network in self.networks])

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Labels int64 (N,), places in `classes`, of pictures uint8 (N, size, size, 3)."""
        return vote(self.probabilities(images), self.how)


@dataclass(frozen=True)
class Autoencoder(Loaded[VAE]):
    """A VAE: faces to latents and back.

    >>> vae = Autoencoder.load("vae", device="cpu")
    >>> faces = Faces.load("vae", device="cpu").sample(2)
    >>> pictures, errors = vae.reconstruct(faces)
    >>> pictures.shape, errors.shape, vae.encode(faces).shape
    ((2, 64, 64, 3), (2,), (2, 1024))
    """

    shipped = "vae"
    read = partial(load_weights, kind=VAE)

    @property
    def shape(self) -> tuple[int, int]:
        """Size and channels of its pictures."""
        return self.network.image_size, self.network.channels

    def reconstruct(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reconstructions uint8 (N, H, W, C) of faces, through their posterior means, and each one's mean squared
        error (N,) of values in [0, 1]."""
        return reconstruct(self.network, _pictures(images, *self.shape), self.execution)

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Posterior means float32 (N, latent_size) of faces uint8 (N, H, W, C)."""
        return encode(self.network, _pictures(images, *self.shape), self.execution)[0].numpy()

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """Faces uint8 (N, H, W, C) of latents (N, latent_size)."""
        return decode(self.network, torch.from_numpy(np.asarray(latents, np.float32)), self.execution)


def _checked(network: Generator, settings: dict[str, Any]) -> Sampling:
    sampling = Sampling(**settings)
    network.check(sampling)
    return sampling


def _pictures(images: np.ndarray, size: int, channels: int = 3) -> np.ndarray:
    if images.dtype != np.uint8 or images.shape[1:] != (size, size, channels) or not len(images):
        raise UserError(f"pictures are {images.dtype} {images.shape}: give uint8 (N, {size}, {size}, {channels})")
    return images
