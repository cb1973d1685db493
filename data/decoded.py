"""Folders of pictures, decoded once into a memory-mapped uint8 array in the user's cache folder."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from data.cache import cached_array
from runtime.errors import UserError
from runtime.threads import in_threads

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
MODES = {1: "L", 3: "RGB"}  # Pillow's names of gray and of colours, by channels
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


def open_picture(path: Path | str, channels: int = 3, say: Callable[[str], object] = lambda _: None) -> Image.Image:
    """A picture upright, in RGB or, with one of `channels`, gray; what else was done to it is said.

    Raises ValueError for one that is too large or has more than 8 bits a channel, and what Pillow raises on bad files.
    """
    with Image.open(path) as image:
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"it is {image.width}x{image.height}")
        if image.mode.startswith(("I", "F")):
            raise ValueError("it has more than 8 bits a channel")
        if getattr(image, "n_frames", 1) > 1:
            say("Only the first picture of the animation is used.")
        image.load()
        with suppress(SyntaxError):  # damaged EXIF says nothing
            ImageOps.exif_transpose(image, in_place=True)
        picture = image
        if image.has_transparency_data:
            say("What is transparent became white.")
            picture = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        return picture.convert(MODES[channels])


def read_image(path: Path, size: int | None = None, resize: bool = False, channels: int = 3) -> np.ndarray:
    """One picture as uint8 of shape (size, size, channels), or (H, W, channels) of its own, RGB or gray.

    With `resize` the centred square is cut out and brought to `size` by Lanczos filtering; without it, a picture of
    another size is an error. Raises UserError for a picture that is missing, unreadable or of the wrong size.
    """
    try:
        picture = open_picture(path, channels)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what Pillow raises on bad files
        raise UserError(f"cannot read the picture {path} ({error}): replace or remove it") from error
    width, height = picture.size
    if size is not None and (width, height) != (size, size):
        if not resize:
            raise UserError(
                f"{path} is {width}x{height}, expected {size}x{size}: run scripts/prepare.sh on the raw data"
            )
        return fitted(picture, size, channels)
    return np.asarray(picture).reshape(picture.height, picture.width, channels)


def fitted(picture: Image.Image, size: int, channels: int = 3) -> np.ndarray:
    """The centred square of a picture, brought to `size` pixels by Lanczos filtering, uint8 (size, size, channels)."""
    square = ImageOps.fit(picture.convert(MODES[channels]), (size, size), Image.Resampling.LANCZOS)
    return np.asarray(square).reshape(size, size, channels)


def read_images(
    paths: Iterable[Path], size: int | None = None, resize: bool = False, channels: int = 3
) -> Iterator[np.ndarray | UserError]:
    """`read_image` of each path, in order, by several threads; of one that cannot be read, the error."""

    def read(path: Path) -> np.ndarray | UserError:
        try:
            return read_image(path, size, resize, channels)
        except UserError as error:
            return error

    return in_threads(read, paths)


def decode_folder(folder: Path, names: list[str], size: int, resize: bool, channels: int = 3) -> np.ndarray:
    """The named pictures of `folder` as a read-only uint8 array (N, size, size, channels), mapped from the cache.

    The first call decodes in parallel; later calls only compare names, sizes and modification times, so a changed
    folder is decoded anew. Raises UserError as `read_image` does.
    """
    folder = folder.resolve()
    files = [folder / name for name in names]

    def decode() -> np.ndarray:
        images = np.empty((len(files), size, size, channels), np.uint8)
        for index, image in enumerate(read_images(files, size, resize, channels)):
            if isinstance(image, UserError):
                raise image
            images[index] = image
        return images

    gray = " gray" if channels == 1 else ""
    return cached_array(f"pictures {folder} {size} {resize}{gray}", files, decode)
