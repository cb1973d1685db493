"""The one way from pictures to labels, for training curves, inference and scores alike."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from data.classes import checked_classes
from data.digits import DIGITS, SIZE
from runtime.device import Execution
from runtime.errors import UserError
from runtime.images import from_uint8
from runtime.processes import of_all_shares, own_share

Vote = Literal["majority", "mean"]


@torch.inference_mode()
def in_chunks(
    function: Callable[[Tensor], Tensor], images: np.ndarray, execution: Execution, chunk: int = 200
) -> np.ndarray:
    """`function` of uint8 pictures (N, H, W, 3), float32 (N, …); it is called with images in [-1, 1] on the device.

    It always sees `chunk` images, the last chunk filled up with black: what becomes of a picture then does not depend
    on how many others there are. Several processes share the chunks, and all get all results.
    """
    results = []
    for start in own_share(range(0, len(images), chunk)):
        part = images[start : start + chunk]
        filled = np.zeros((chunk, *images.shape[1:]), np.uint8)
        filled[: len(part)] = part
        with execution.autocast():
            results.append(function(from_uint8(filled, execution.device))[: len(part)].float().cpu().numpy())
    return np.concatenate(of_all_shares(results))


def class_names(about: dict[str, Any], count: int) -> tuple[str, ...]:
    """The names of the `count` classes of weights that were made so: digits, unless they were trained on others.

    Raises UserError for names that cannot be parts of file names and cells of tables.
    """
    names = about.get("classes", list(map(str, range(count))))
    if not isinstance(names, list) or len(names) != count:
        raise UserError(f"the weights have {count} classes, but other names of them: train them anew")
    return checked_classes(Path("the weights"), list(map(str, names)))


def picture_size(image_size: int, classes: Sequence[str]) -> int:
    """Height and width of pictures to classify: digits have a size of their own, others the network's `image_size`."""
    return SIZE if tuple(classes) == DIGITS else image_size


def class_probabilities(classifier: nn.Module, images: np.ndarray, execution: Execution) -> np.ndarray:
    """Class probabilities (N, K) of uint8 pictures (N, H, W, 3), by a classifier in evaluation mode on the device."""
    return in_chunks(lambda inputs: classifier(inputs).float().softmax(1), images, execution)


def accuracy(classifier: nn.Module, images: np.ndarray, labels: np.ndarray, execution: Execution) -> float:
    """The share, in [0, 1], of uint8 pictures (N, H, W, 3) that get their label (N,)."""
    return float((class_probabilities(classifier, images, execution).argmax(1) == labels).mean())


def vote(probabilities: np.ndarray, how: Vote) -> np.ndarray:
    """The labels (N,) that several classifiers' probabilities (classifiers, N, K) give together.

    `mean`: the highest mean probability. `majority`: the class that most classifiers put first; of classes with
    equally many votes, the one of the highest mean probability.
    """
    means = probabilities.mean(0)
    if how == "mean":
        return means.argmax(1)
    votes = np.eye(probabilities.shape[2], dtype=int)[probabilities.argmax(2)].sum(0)
    return np.where(votes == votes.max(1, keepdims=True), means, -1).argmax(1)
