"""Labelled pictures of domains that differ: in a bright frame, or in what depends on the class."""

import numpy as np


def bars(frame, seed, count=600):
    """Digits for the poor: uint8 (count, 28, 28, 3) noisy pictures of a bar whose place is the label, and labels.

    A frame, so many pixels wide and brighter than the bar, is what the domains differ in.
    """
    random = np.random.RandomState(seed)
    labels = random.permutation(np.arange(count) % 10)
    images = np.full((count, 28, 28, 3), 255)
    images[:, frame : 28 - frame, frame : 28 - frame] = 0
    for image, label in zip(images, labels, strict=True):
        top, left = 4 + 12 * (label // 5) + random.randint(-1, 2), 1 + 5 * (label % 5) + random.randint(2)
        image[top : top + 8, left : left + 5] = 120
    return (images + random.randint(-20, 21, images.shape)).clip(0, 255).astype(np.uint8), labels


def shapes(shifted, seed, count=600):
    """Uint8 (count, 28, 28, 3) noisy pictures of disc, ring, two bars or cross, and labels 0 to 3.

    What is `shifted` depends on the class: discs and rings are dark, rings and crosses bolder, bars thinner.
    """
    random = np.random.RandomState(seed)
    labels = random.permutation(np.arange(count) % 4)
    hole, bar, cross = (3, 1.5, 2.6) if shifted else (4, 2, 2)
    down, across = np.mgrid[-13.5:14, -13.5:14]
    images = np.empty((count, 28, 28, 3))
    for image, label in zip(images, labels, strict=True):
        y, x = np.abs(down - random.uniform(-2, 2)), np.abs(across - random.uniform(-2, 2))
        radius, near, far = np.hypot(y, x), np.minimum(x, y), np.maximum(x, y)
        bars = (x < 8) & (abs(y - 4) < bar)
        within = [radius < 8, (radius > hole) & (radius < 8), bars, (near < cross) & (far < 8)][label]
        image[:] = np.where(within != (shifted and label < 2), 200, 50)[..., None]
    return (images + random.randint(-30, 31, images.shape)).clip(0, 255).astype(np.uint8), labels
