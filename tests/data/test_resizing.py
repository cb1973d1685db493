"""Resized pictures against filters written out, where antialiasing matters."""

import numpy as np
import pytest
from PIL import Image

from data.decoded import read_image
from data.tree import resize_digits
from tests.filters import bilinear, lanczos


def assert_levels(actual, expected):
    """Equal but for rounding twice, after rows and after columns."""
    assert actual.dtype == np.uint8
    assert np.abs(actual - expected).max() < 1.6


@pytest.mark.parametrize("size", [16, 32, 60, 113])
def test_digits_are_filtered_by_a_triangle(size):
    images = np.random.default_rng(size).integers(0, 256, (2, size, size, 3), np.uint8)
    resized = resize_digits(images)
    assert resized.shape == (2, 28, 28, 3)
    for image, result in zip(images, resized, strict=True):
        assert_levels(result, bilinear(image, 28))
    gray = resize_digits(images[..., 0])
    assert np.array_equal(gray, resized[..., 0])


@pytest.mark.parametrize(("height", "width"), [(218, 178), (96, 130), (40, 40)])
def test_faces_are_the_centred_square_filtered_by_lanczos(tmp_path, height, width):
    picture = np.random.default_rng(0).integers(60, 196, (height, width, 3), np.uint8)  # not cut off
    Image.fromarray(picture).save(tmp_path / "face.png")
    face = read_image(tmp_path / "face.png", 64, resize=True)
    assert_levels(face, lanczos(picture, 64))
