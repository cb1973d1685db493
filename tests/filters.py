"""Antialiased resizing written out, to compare with: each output pixel is a weighted mean of those beneath it."""

import numpy as np


def resized(image, size, kernel, support):
    """The centred square of a picture (H, W, …) as float64 (size, size, …).

    The kernel is as many times wider as the square is shrunk; at the square's edges it looks beyond them.
    """
    image = np.asarray(image, np.float64)
    side = min(image.shape[:2])
    for axis in (0, 1):
        weights = weights_of(image.shape[axis], side, size, kernel, support)
        image = np.moveaxis(np.tensordot(weights, image, (1, axis)), 0, axis)
    return image


def weights_of(pixels, side, size, kernel, support):
    """What each pixel of a line counts in each of the `size` that the middle `side` of them become."""
    scale = side / size
    width, first = max(scale, 1), (pixels - side) / 2
    weights = np.zeros((size, pixels))
    for out in range(size):
        for place in range(pixels):
            distance = (place + 0.5 - first - (out + 0.5) * scale) / width
            if abs(distance) < support:
                weights[out, place] = kernel(distance)
    return weights / weights.sum(1, keepdims=True)


def bilinear(image, size):
    return resized(image, size, lambda x: 1 - abs(x), 1)


def lanczos(image, size):
    return resized(image, size, lambda x: np.sinc(x) * np.sinc(x / 3), 3)
