"""Scores of a folder of class-conditional digits, whose file names begin with the class requested.

python -m metrics.digits OUT --classifier FILE [--reference DIR] [--confusion FILE.png] [--json FILE]
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from torch import nn

from data.cache import cached_array
from data.digits import load_digits
from inference.classification import class_probabilities
from metrics import Unavailable, passport
from metrics.confusion import confusion_figure, confusion_matrix, label_scores
from metrics.distances import fid, precision_recall
from metrics.inception import Inception, InceptionSettings, reference_features
from metrics.passport import file_hash
from metrics.pictures import read_pictures, read_reference
from models.course_classifier import CourseClassifier
from models.digit_classifiers import DigitClassifier
from models.weights import load_weights
from runtime.command_line import run_main
from runtime.device import Execution, choose_execution
from runtime.errors import UserError
from runtime.files import write_json
from runtime.processes import leave_to_first
from runtime.settings import Range

SIZE = 28


@dataclass
class Config(InceptionSettings):
    """Score a folder of generated digits: accuracy by a classifier, and FID, precision and recall against real ones."""

    out: tyro.conf.Positional[Path]
    """Folder of the generated digits and nothing else; every name begins with the class requested."""
    classifier: Path
    """The course's Classifier.pth, or the weights.safetensors of a classifier trained here."""
    reference: Path | None = None
    """Real digits for FID, precision and recall: a folder of images, or a domain's folder (ROOT/digits/mnistm)."""
    reference_count: Annotated[int, Range(2)] = 1000
    """Number of a domain's validation digits, the first ones, that are the reference."""
    seed: int | None = None
    """Seed that the digits were generated with, to be written beside their scores."""
    confusion: Path | None = None
    """Also draw the confusion matrix to this PNG."""
    json: Path | None = None
    """Also write the scores, and their passport, to this file."""


def main(config: Config) -> None:
    """Score the folder, print the scores, and write what was asked for."""
    execution = choose_execution(config.device, "float32")
    classifier = execution.place(load_classifier(config.classifier))
    images, asked = read_requested(config.out)
    matrix = confusion_matrix(asked, classify(classifier, images, execution))
    scores = label_scores(matrix) | colours(images)
    about = passport.of_pictures(images, config.seed) | {"classifier": file_hash(config.classifier)}
    if config.reference:
        real = real_pictures(config.reference, config.reference_count)
        scores |= {f"real_{name}": value for name, value in colours(real).items()}
        found, extractor = diversity(images, config)
        scores |= found
        about |= extractor | {"reference": passport.of_reference(real)}
    leave_to_first()
    scores["passport"] = about
    print(table(scores))
    print(passport.line(about))
    if config.confusion:
        from runtime.figures import save_figure

        save_figure(confusion_figure(matrix, f"classified as requested: {scores['accuracy']:.2%}"), config.confusion)
    if config.json:
        write_json(config.json, scores)


def load_classifier(path: Path) -> nn.Module:
    """A classifier of images (N, 3, 28, 28) in [-1, 1], in evaluation mode on the CPU.

    `path` is the course's file (a dictionary with `state_dict`) or weights of a network trained here. Raises UserError
    when it is missing, damaged, or holds another network; nothing in it is ever executed.
    """
    if path.suffix == ".safetensors":
        return load_weights(path, DigitClassifier)[0]
    if not path.is_file():
        raise UserError(f"no such classifier: {path}")
    classifier = CourseClassifier()
    try:
        classifier.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["state_dict"])
    except Exception as error:  # a foreign file can fail anywhere in unpickling, with nearly any exception
        raise UserError(f"{path} is neither the course's classifier nor a weights.safetensors: give one") from error
    return classifier.eval().requires_grad_(False)


def read_requested(folder: Path) -> tuple[np.ndarray, list[int]]:
    """The digits in `folder`, uint8 RGB (N, 28, 28, 3) in file-name order, and those requested (N,).

    As for the graders, every entry counts. Raises UserError for a folder that is missing or without pictures,
    for an entry whose name does not begin with a digit, that is unreadable or no picture, or not 28x28.
    """
    images, unreadable = read_pictures(folder)
    names = sorted(os.listdir(folder))
    for name in names:
        if name[0] not in "0123456789":
            raise UserError(f"{folder / name} does not begin with the digit requested: name digits like 7_001.png")
    if unreadable or len(names) != len(images):
        raise UserError(f"{folder} holds something that is no readable picture: remove it, or make the digits anew")
    if images.shape[1:3] != (SIZE, SIZE):
        raise UserError(f"the pictures in {folder} are {images.shape[2]}x{images.shape[1]}, expected {SIZE}x{SIZE}")
    return images, [int(name[0]) for name in names]


def classify(classifier: nn.Module, images: np.ndarray, execution: Execution) -> np.ndarray:
    """The digits (N,) that `classifier` sees in pictures uint8 (N, 28, 28, 3)."""
    return class_probabilities(classifier, images, execution).argmax(1)


def colours(images: np.ndarray) -> dict[str, float]:
    """What strong guidance drives up: `saturation` and `clipped`, of pictures uint8 (N, H, W, 3).

    Saturation is the mean over pixels of the largest channel minus the smallest, from 0 (grey) to 1; clipped is the
    share of values that are 0 or 255.
    """
    saturation = (images.max(axis=3) - images.min(axis=3)).mean() / 255
    return {"saturation": float(saturation), "clipped": float(np.isin(images, (0, 255)).mean())}


def diversity(images: np.ndarray, config: Config) -> tuple[dict, passport.Passport]:
    """`dims`, `fid`, `precision` and `recall` of pictures uint8 (N, 28, 28, 3) against `config.reference`.

    The last three are None, and `unavailable` says why, when there are no Inception weights for them. A generator that
    makes the same digit again and again has a low recall, whatever its accuracy. Beside them comes the part of their
    passport about features.
    """
    scores = {"dims": config.dims, "fid": None, "precision": None, "recall": None}
    try:
        inception = config.inception()
    except Unavailable as reason:
        return scores | {"unavailable": str(reason)}, {}
    real = real_features(inception, config.reference, config.reference_count)
    return scores | diversity_scores(inception.features(images), real), passport.of_extractor(inception)


def diversity_scores(generated: np.ndarray, real: np.ndarray) -> dict:
    """`fid`, `precision` and `recall` from features (N, D) of generated and (M, D) of real digits."""
    precision, recall = precision_recall(generated, real)
    return {"fid": fid(generated, real), "precision": precision, "recall": recall}


def real_pictures(reference: Path, count: int) -> np.ndarray:
    """The pictures in `reference`, or the first `count` validation digits of a domain, uint8 RGB (M, H, W, 3).

    `reference` is a domain when it holds `val.csv`. Raises UserError for a folder that is missing, empty or unreadable.
    """
    reference = reference.resolve()
    if not (reference / "val.csv").is_file():
        return read_reference(reference)
    return load_digits(reference.parent.parent, reference.name, "val")[0][:count]


def real_features(inception: Inception, reference: Path, count: int) -> np.ndarray:
    """Inception features (M, D) of the pictures in `reference`, or of the first `count` validation digits of a domain.

    They are kept in the user's cache folder. `reference` and errors are those of `real_pictures`.
    """
    reference = reference.resolve()
    if not (reference / "val.csv").is_file():
        return reference_features(inception, reference)
    files = [inception.weights.resolve(), reference / "val.csv", *(reference / "data").iterdir()]
    subject = f"inception {reference} {inception.dims} {count}"
    # A copy in memory: the scores want arrays they may share with torch.
    return np.array(cached_array(subject, files, lambda: inception.features(real_pictures(reference, count))))


def table(scores: dict) -> str:
    """The scores as lines of a name and a value, or of a name and the reason why there is none."""
    shares = [f"{digit}: {share:.1%}" for digit, share in enumerate(scores["by_class"]) if share is not None]
    lines = [f"as requested     {scores['accuracy']:.2%} of {scores['pictures']} pictures", "  ".join(shares)]
    for name in ("saturation", "clipped"):
        real = f" (real {scores[f'real_{name}']:.3f})" if f"real_{name}" in scores else ""
        lines.append(f"{name:<17}{scores[name]:.3f}{real}")
    for name in ("fid", "precision", "recall"):
        if name in scores:
            value = f"{scores[name]:.3f}" if scores[name] is not None else f"unavailable: {scores['unavailable']}"
            lines.append(f"{'FID' if name == 'fid' else name}-{scores['dims']}".ljust(17) + value)
    return "\n".join(lines)


if __name__ == "__main__":
    run_main(main, Config)
