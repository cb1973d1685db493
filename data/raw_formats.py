"""Readers for the official downloads, each returning plain arrays or lists.

Every reader raises UserError, naming the file, when it is missing, truncated or not what its name says.
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from data.decoded import image_names, read_image
from runtime.errors import UserError

BSDS500_FOLDERS = ("train", "val", "test")


def read_idx(path: Path) -> np.ndarray:
    """A gzipped idx file of unsigned bytes (MNIST): uint8, (N, 28, 28) for images and (N,) for labels.

    Source: the file format section of Y. LeCun's MNIST page.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error
    dimensions = content[3] if content[:3] == b"\0\0\x08" else 0  # two zeros, 8 for unsigned bytes, the dimensions
    header = 4 + 4 * dimensions
    shape = tuple(np.frombuffer(content[4:header], ">u4").tolist()) if len(content) >= header else ()
    if dimensions == 0 or len(content) != header + math.prod(shape):
        raise UserError(f"{path} is not a whole idx file of bytes: download it again")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def read_mnist(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """MNIST's `part` ("train" or "t10k"): uint8 images (N, 28, 28), white on black, and int64 labels (N,) 0 to 9."""
    image_file, label_file = folder / f"{part}-images-idx3-ubyte.gz", folder / f"{part}-labels-idx1-ubyte.gz"
    images, labels = read_idx(image_file), read_idx(label_file)
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise UserError(f"{image_file} does not hold 28x28 pictures: download it again")
    if labels.shape != images.shape[:1] or labels.max(initial=0) > 9:
        raise UserError(f"{label_file} does not hold a label 0 to 9 for each of {len(images)} pictures")
    return images, labels.astype(np.int64)


def read_svhn(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """SVHN's cropped digits: uint8 images (N, 32, 32, 3) and int64 labels (N,) 0 to 9 (the file writes 0 as 10)."""
    from scipy.io import loadmat

    try:
        content = loadmat(path)
    except Exception as error:  # on a broken file scipy raises whatever its parser stumbles over
        raise _unreadable(path, error) from error
    images, labels = content.get("X"), content.get("y")
    if images is None or labels is None or images.dtype != np.uint8 or images.shape[:3] != (32, 32, 3):
        raise UserError(f"{path} is not SVHN's cropped format (X of 32x32x3xN bytes, y): download it again")
    labels = labels.reshape(-1).astype(np.int64)
    if len(labels) != images.shape[3] or not np.isin(labels, range(1, 11)).all():
        raise UserError(f"{path} does not hold a label 1 to 10 for each of {images.shape[3]} pictures")
    return np.ascontiguousarray(images.transpose(3, 0, 1, 2)), labels % 10


def read_usps(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """USPS in libsvm's format: uint8 images (N, 16, 16), white on black, and int64 labels (N,) 0 to 9.

    The file writes label 1 to 10 for digit 0 to 9, and gray values from -1 (paper) to 1 (ink).
    """
    from sklearn.datasets import load_svmlight_file  # here: it takes a second, which `--help` need not wait for

    try:
        values, labels = load_svmlight_file(path, n_features=256, zero_based=False)
    except (OSError, EOFError, ValueError) as error:
        raise _unreadable(path, error) from error
    values = values.toarray()
    if not len(values) or np.abs(values).max() > 1 or not np.isin(labels, range(1, 11)).all():
        raise UserError(f"{path} is not USPS (labels 1 to 10, values -1 to 1): download it again")
    images = np.rint((values + 1) * 127.5).astype(np.uint8)
    return images.reshape(-1, 16, 16), labels.astype(np.int64) - 1


def read_photographs(images: Path) -> list[np.ndarray]:
    """All pictures of BSDS500's `images/{train,val,test}` as uint8 RGB (H, W, 3), at least 28x28, in a fixed order."""
    paths = [images / part / name for part in BSDS500_FOLDERS for name in image_names(images / part)]
    photographs = [read_image(path) for path in paths]
    for path, photograph in zip(paths, photographs, strict=True):
        if min(photograph.shape[:2]) < 28:
            raise UserError(f"{path} is smaller than a patch of 28x28 pixels: download BSDS500 again")
    return photographs


def read_celeba_partition(path: Path) -> list[tuple[str, int]]:
    """CelebA's `list_eval_partition.txt`: (picture name, 0 training | 1 validation | 2 test) in the file's order."""
    partition = []
    for number, line in enumerate(_lines(path), 1):
        name, _, part = line.strip().rpartition(" ")
        if not name or part not in {"0", "1", "2"}:
            raise UserError(f"{path}, line {number}: expected NAME.jpg and 0, 1 or 2: download the file again")
        partition.append((name.strip(), int(part)))
    return partition


def read_celeba_attributes(path: Path) -> tuple[list[str], dict[str, list[int]]]:
    """CelebA's `list_attr_celeba.txt`: the attribute names, and for each picture name its values, -1 or 1."""
    lines = _lines(path)
    if len(lines) < 2 or not lines[0].strip().isdigit():
        raise UserError(f"{path} does not begin with a count and a line of names: download the file again")
    count, names = int(lines[0]), lines[1].split()
    values = {}
    for number, line in enumerate(lines[2:], 3):
        name, *row = line.split()
        if len(row) != len(names) or not set(row) <= {"-1", "1"}:
            raise UserError(f"{path}, line {number}: expected NAME.jpg and {len(names)} times -1 or 1")
        values[name] = [int(value) for value in row]
    if len(values) != count:
        raise UserError(f"{path} has {len(values)} pictures, its first line says {count}: download the file again")
    return names, values


def _lines(path: Path) -> list[str]:
    """The lines of a text file that is not empty, without blank ones at the end."""
    try:
        lines = path.read_text("utf-8").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    if not lines:
        raise UserError(f"{path} is empty: download it again")
    return lines


def _unreadable(path: Path, error: Exception) -> UserError:
    if isinstance(error, FileNotFoundError):
        return UserError(f"no such file: {path}")
    return UserError(f"cannot read {path} ({error or type(error).__name__}): download it again")
