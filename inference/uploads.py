"""Pictures as people give them to the page: uploaded files of any kind, and drawings."""

import os
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageOps

from data.decoded import fitted, open_picture
from runtime.errors import UserError

MOST_BYTES = 20 * 2**20


def read_upload(path: str, size: int, say: Callable[[str], object], channels: int = 3) -> np.ndarray:
    """The centred square of an uploaded picture, uint8 (size, size, channels); what else was done to it is said.

    Raises UserError for a file that is too large or no picture.
    """
    if os.path.getsize(path) > MOST_BYTES:
        raise UserError(f"the file is larger than {MOST_BYTES // 2**20} MB: give a smaller picture")
    try:
        picture = open_picture(path, channels, say)
    except Exception as error:  # Pillow fails on foreign files with nearly any exception
        raise UserError("no picture could be read from this file: give a PNG or a JPEG") from error
    return fitted(picture, size, channels)


def drawn_digit(layers: Sequence[np.ndarray]) -> np.ndarray:
    """What was drawn, layers RGBA uint8 (H, W, 4), as MNIST shows digits: uint8 (28, 28, 3), white on black.

    It is brought to 20 pixels and centred in 28 (LeCun et al. 1998). Raises UserError for an empty drawing.
    """
    ink = np.max([layer[..., 3] for layer in layers], axis=0) if len(layers) else np.zeros((1, 1), np.uint8)
    rows, columns = np.nonzero(ink)
    if not len(rows):
        raise UserError("nothing is drawn yet: choose the pencil and draw a digit, or give a picture of one")
    digit = Image.fromarray(ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
    digit = ImageOps.contain(digit, (20, 20), Image.Resampling.LANCZOS)
    page = Image.new("RGB", (28, 28))
    page.paste(digit.convert("RGB"), ((28 - digit.width) // 2, (28 - digit.height) // 2))
    return np.asarray(page)
