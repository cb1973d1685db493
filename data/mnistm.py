"""MNIST-M: digits blended with patches of photographs."""

from collections.abc import Sequence

import numpy as np


def blend(digits: np.ndarray, photographs: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Each digit as |patch - digit| per channel, with a random patch of a random photograph: inverted where inked.

    digits: uint8 (N, H, W), white on black; photographs: uint8 RGB, none smaller than a digit.
    Returns uint8 (N, H, W, 3), the same for the same arguments.
    Source: Ganin et al., "Domain-Adversarial Training of Neural Networks", section 5.2.2 (MNIST → MNIST-M).
    """
    count, height, width = digits.shape
    random = np.random.RandomState(seed)  # its stream is frozen; that of default_rng may change with numpy
    chosen = random.randint(len(photographs), size=count)
    down, right = random.random_sample((2, count))
    blended = np.empty((count, height, width, 3), np.uint8)
    for index, digit in enumerate(digits):
        photograph = photographs[chosen[index]]
        top = int(down[index] * (photograph.shape[0] - height + 1))
        left = int(right[index] * (photograph.shape[1] - width + 1))
        patch = photograph[top : top + height, left : left + width].astype(np.int16)
        blended[index] = np.abs(patch - digit[:, :, None])
    return blended
