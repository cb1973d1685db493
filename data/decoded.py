"""Folders of pictures, decoded once into a memory-mapped uint8 array in the user's cache folder."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from data import DataError

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}


def cache_folder() -> Path:
    """The folder for decoded pictures and statistics: `$XDG_CACHE_HOME` or `~/.cache`, `/faces-and-digits`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "faces-and-digits"


def image_names(folder: Path) -> list[str]:
    """The sorted names of the pictures directly in `folder`.

    Raises DataError when the folder is missing or holds no picture.
    """
    if not folder.is_dir():
        raise DataError(f"no such folder: {folder}")
    names = sorted(entry.name for entry in os.scandir(folder) if Path(entry.name).suffix.lower() in IMAGE_SUFFIXES)
    if not names:
        raise DataError(f"no pictures ({', '.join(sorted(IMAGE_SUFFIXES))}) in {folder}")
    return names


def read_image(path: Path, size: int, resize: bool) -> np.ndarray:
    """One picture as uint8 RGB of shape (size, size, 3); gray is repeated over the channels.

    With `resize` the centred square is cut out and brought to `size` by Lanczos filtering; without it, a picture of
    another size is an error. Raises DataError for a picture that is missing, unreadable or of the wrong size.
    """
    try:
        with Image.open(path) as image:
            if image.size == (size, size):
                return np.asarray(image.convert("RGB"))
            if not resize:
                width, height = image.size
                raise DataError(
                    f"{path} is {width}x{height}, expected {size}x{size}: run scripts/prepare.sh on the raw data"
                )
            return np.asarray(ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.LANCZOS))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what Pillow raises on bad files
        raise DataError(f"cannot read the picture {path} ({error}): replace or remove it") from error


def decode_folder(folder: Path, names: list[str], size: int, resize: bool) -> np.ndarray:
    """The named pictures of `folder` as one read-only uint8 array (N, size, size, 3), memory-mapped from the cache.

    The first call decodes in parallel and writes the cache; later calls only compare names, sizes and modification
    times, so a changed folder is decoded anew (its former cache is dropped). Where the cache folder cannot be
    written, the array is returned from memory. Raises DataError as `read_image` does.
    """
    folder = folder.resolve()
    place = cache_folder() / f"{_digest(str(folder))}-{size}{'r' if resize else ''}"
    cached = place / f"{_digest(_fingerprint(folder, names))}.npy"
    if cached.exists():
        return np.load(cached, mmap_mode="r")

    images = np.empty((len(names), size, size, 3), np.uint8)

    def read(index: int) -> None:
        images[index] = read_image(folder / names[index], size, resize)

    with ThreadPoolExecutor() as pool:
        list(pool.map(read, range(len(names))))
    try:
        place.mkdir(parents=True, exist_ok=True)
        temporary = place / f"{os.getpid()}.tmp"
        with open(temporary, "wb") as file:
            np.save(file, images)
        for former in place.glob("*.npy"):
            former.unlink(missing_ok=True)
        temporary.replace(cached)
    except OSError:  # a read-only or full home: the pictures are here all the same
        return images
    return np.load(cached, mmap_mode="r")


def _fingerprint(folder: Path, names: list[str]) -> str:
    """Names, sizes and modification times of the named files, one a line."""
    lines = []
    for name in names:
        try:
            status = (folder / name).stat()
        except OSError as error:
            raise DataError(f"missing picture: {folder / name}") from error
        lines.append(f"{name}\t{status.st_size}\t{status.st_mtime_ns}")
    return "\n".join(lines)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]
