"""The one way from pictures to labels, for training curves, inference and scores alike."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from runtime.device import Execution
from runtime.images import from_uint8

Vote = Literal["majority", "mean"]


@torch.inference_mode()
def in_chunks(
    function: Callable[[Tensor], Tensor], images: np.ndarray, execution: Execution, chunk: int = 200
) -> np.ndarray:
    """`function` of uint8 pictures (N, H, W, 3), float32 (N, …); it is called with images in [-1, 1] on the device.

    It always sees `chunk` images, the last chunk filled up with black: what becomes of a picture then does not depend
    on how many others there are.
    """
    results = []
    for start in range(0, len(images), chunk):
        part = images[start : start + chunk]
        filled = np.zeros((chunk, *images.shape[1:]), np.uint8)
        filled[: len(part)] = part
        with execution.autocast():
            results.append(function(from_uint8(filled, execution.device))[: len(part)].float().cpu().numpy())
    return np.concatenate(results)


def class_probabilities(classifier: nn.Module, images: np.ndarray, execution: Execution) -> np.ndarray:
    """Class probabilities (N, 10) of uint8 pictures (N, H, W, 3), by a classifier in evaluation mode on the device."""
    return in_chunks(lambda inputs: classifier(inputs).float().softmax(1), images, execution)


def accuracy(classifier: nn.Module, images: np.ndarray, labels: np.ndarray, execution: Execution) -> float:
    """The share, in [0, 1], of uint8 pictures (N, H, W, 3) that get their label (N,)."""
    return float((class_probabilities(classifier, images, execution).argmax(1) == labels).mean())


def vote(probabilities: np.ndarray, how: Vote) -> np.ndarray:
    """The labels (N,) that several classifiers' probabilities (classifiers, N, 10) give together.

    `mean`: the highest mean probability. `majority`: the class that most classifiers put first; of classes with
    equally many votes, the one of the highest mean probability.
    """
    means = probabilities.mean(0)
    if how == "mean":
        return means.argmax(1)
    votes = np.eye(probabilities.shape[2], dtype=int)[probabilities.argmax(2)].sum(0)
    return np.where(votes == votes.max(1, keepdims=True), means, -1).argmax(1)
