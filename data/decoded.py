"""Folders of pictures, decoded once into a memory-mapped uint8 array in the user's cache folder."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from data.cache import cached_array
from runtime.errors import UserError
from runtime.threads import in_threads

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
MOST_PIXELS = 89_478_485  # Pillow's limit, beyond which it only warns: a small file may unpack to any size


def image_names(folder: Path) -> list[str]:
    """The sorted names of the pictures directly in `folder`.

    Raises UserError when the folder is missing or holds no picture.
    """
    if not folder.is_dir():
        raise UserError(f"no such folder: {folder}")
    names = sorted(entry.name for entry in os.scandir(folder) if Path(entry.name).suffix.lower() in IMAGE_SUFFIXES)
    if not names:
        raise UserError(f"no pictures ({', '.join(sorted(IMAGE_SUFFIXES))}) in {folder}")
    return names


def read_image(path: Path, size: int | None = None, resize: bool = False) -> np.ndarray:
    """One picture as uint8 RGB of shape (size, size, 3), or (H, W, 3) of its own; gray is repeated over the channels.

    With `resize` the centred square is cut out and brought to `size` by Lanczos filtering; without it, a picture of
    another size is an error. Raises UserError for a picture that is missing, unreadable or of the wrong size.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"it is {image.width}x{image.height}")
            if size is None or image.size == (size, size):
                return np.asarray(image.convert("RGB"))
            if not resize:
                width, height = image.size
                raise UserError(
                    f"{path} is {width}x{height}, expected {size}x{size}: run scripts/prepare.sh on the raw data"
                )
            return np.asarray(ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.LANCZOS))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what Pillow raises on bad files
        raise UserError(f"cannot read the picture {path} ({error}): replace or remove it") from error


def read_images(
    paths: Iterable[Path], size: int | None = None, resize: bool = False
) -> Iterator[np.ndarray | UserError]:
    """`read_image` of each path, in order, by several threads; of one that cannot be read, the error."""

    def read(path: Path) -> np.ndarray | UserError:
        try:
            return read_image(path, size, resize)
        except UserError as error:
            return error

    return in_threads(read, paths)


def decode_folder(folder: Path, names: list[str], size: int, resize: bool) -> np.ndarray:
    """The named pictures of `folder` as one read-only uint8 array (N, size, size, 3), memory-mapped from the cache.

    The first call decodes in parallel; later calls only compare names, sizes and modification times, so a changed
    folder is decoded anew. Raises UserError as `read_image` does.
    """
    folder = folder.resolve()
    files = [folder / name for name in names]

    def decode() -> np.ndarray:
        images = np.empty((len(files), size, size, 3), np.uint8)
        for index, image in enumerate(read_images(files, size, resize)):
            if isinstance(image, UserError):
                raise image
            images[index] = image
        return images

    return cached_array(f"pictures {folder} {size} {resize}", files, decode)
