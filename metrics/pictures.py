"""Folders of pictures at their own size, as the metrics read them."""

import sys
from pathlib import Path

import numpy as np

from data.decoded import image_names, read_images
from runtime.errors import UserError


def read_pictures(folder: Path) -> tuple[np.ndarray, list[str]]:
    """The pictures directly in `folder`, in file-name order, and the names of those that cannot be read.

    Pictures become uint8 RGB (N, H, W, 3) by Pillow's `convert("RGB")`, as in pytorch-fid, and are never resized.
    Raises UserError for a folder that is missing or without pictures, and when none can be read or sizes differ.
    """
    names = image_names(folder)
    pictures = dict(zip(names, read_images(folder / name for name in names), strict=True))
    readable = {name: picture for name, picture in pictures.items() if not isinstance(picture, UserError)}
    if not readable:
        raise UserError(f"none of the {len(names)} pictures in {folder} can be read: make them anew")
    first = next(iter(readable))
    for name, picture in readable.items():
        if picture.shape != readable[first].shape:
            raise UserError(
                f"pictures of different sizes in {folder}: {first} is {_size(readable[first])}, {name} is "
                f"{_size(picture)}; bring them to one size"
            )
    return np.stack(list(readable.values())), [name for name in names if name not in readable]


def read_generated(folder: Path) -> np.ndarray:
    """`read_pictures` for the pictures to be scored: unreadable ones are left out, and a line on stderr says so."""
    pictures, unreadable = read_pictures(folder)
    if unreadable:
        print(f"left out of every score: {len(unreadable)} unreadable, e.g. {folder / unreadable[0]}", file=sys.stderr)
    return pictures


def read_reference(folder: Path) -> np.ndarray:
    """`read_pictures` for a reference, where an unreadable picture is a UserError: it would move the scores."""
    pictures, unreadable = read_pictures(folder)
    if unreadable:
        raise UserError(f"cannot read the reference picture {folder / unreadable[0]}: replace or remove it")
    return pictures


def _size(picture: np.ndarray) -> str:
    height, width, _ = picture.shape
    return f"{width}x{height}"
