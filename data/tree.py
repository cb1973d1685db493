"""Writing the data tree: each part (`face`, `digits/DOMAIN`) appears complete or not at all."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from data.digits import SPLITS, write_labels
from data.tables import write_table
from runtime.errors import UserError
from runtime.files import naming
from runtime.threads import in_threads

FACE_ENTRIES = ("train", "val")
DOMAIN_ENTRIES = ("data", "train.csv", "val.csv", "test.csv")
SPLIT_SEED = 0


@contextmanager
def building(part: Path) -> Iterator[Path]:
    """A fresh folder beside `part` to write into, renamed to `part` at the end and removed when anything fails.

    Raises UserError when `part` has come to hold something meanwhile; nothing in it is touched.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    temporary = part.with_name(f".{part.name}.{os.getpid()}.building")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        with naming(part):
            yield temporary
        if _holds_something(part):
            raise UserError(f"{part} appeared while it was being built; it is left as it is, the new one is dropped")
        temporary.rename(part)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_complete(part: Path, entries: Sequence[str]) -> bool:
    """Whether `part` is there already, which is then said; False when it is missing or an empty folder.

    Raises UserError when it holds something but lacks one of `entries`, so that nothing is mixed with what lies there.
    """
    if not _holds_something(part):
        return False
    for entry in entries:
        if not (part / entry).exists():
            raise UserError(f"{part} exists but is incomplete (no {entry}): remove it and run this again")
    print(f"{part} is there already and left as it is")
    return True


def picture_names(count: int) -> list[str]:
    """`count` names 00000.png, 00001.png …, with more digits where five would not sort."""
    digits = max(5, len(str(count - 1)))
    return [f"{index:0{digits}d}.png" for index in range(count)]


def split_counts(total: int) -> tuple[int, int, int]:
    """How many of `total` digits are for training, validation and testing: 64, 16 and 20 %.

    Rounded such that full downloads give the course's counts: 99,289 are 63,544, 15,887 and 19,858.
    """
    train, test = total * 64 // 100, (total + 2) // 5
    return train, total - train - test, test


def write_domain(part: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write a domain: `part/data/NNNNN.png` in the order given, split at random into `{train,val,test}.csv`.

    images: uint8 (N, 28, 28) or (N, 28, 28, 3); labels: (N,), 0 to 9. The split is the same for the same N.
    """
    names = picture_names(len(images))
    shuffled = np.random.RandomState(SPLIT_SEED).permutation(len(images))  # RandomState's stream is frozen
    train, val, _ = split_counts(len(images))
    with building(part) as folder:
        (folder / "data").mkdir()
        paths = (folder / "data" / name for name in names)
        list(in_threads(lambda pair: write_picture(*pair), zip(paths, images, strict=True), part.name))
        for split, members in zip(SPLITS, np.split(shuffled, [train, train + val]), strict=True):
            members = np.sort(members)
            write_labels(folder / f"{split}.csv", [names[index] for index in members], labels[members])


def write_faces(
    part: Path,
    face: Callable[[int], np.ndarray],
    train: int,
    val: int,
    columns: Sequence[str],
    attributes: Mapping[int, Sequence[int]],
) -> None:
    """Write faces: `part/{train,val}/NNNNN.png` and, of those that have `attributes`, attributes.csv with `columns`.

    face(i), for i below train + val: uint8 (64, 64, 3). Validation numbering goes on after training.
    """
    names = picture_names(train + val)
    with building(part) as folder:
        for split in FACE_ENTRIES:
            (folder / split).mkdir()

        def write(index: int) -> None:
            write_picture(folder / ("train" if index < train else "val") / names[index], face(index))

        list(in_threads(write, range(train + val), "faces"))
        if attributes:
            rows = [[names[index], *values] for index, values in attributes.items()]
            write_table(folder / "attributes.csv", ["image_name", *columns], rows)


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write a uint8 array, (H, W) gray or (H, W, 3) RGB, as a PNG file."""
    Image.fromarray(pixels).save(path, "PNG")


def resize_digits(images: np.ndarray, size: int = 28) -> np.ndarray:
    """uint8 images (N, H, W) or (N, H, W, 3) brought to `size` by antialiased bilinear filtering."""
    resized = [np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)) for image in images]
    return np.stack(resized)


def _holds_something(path: Path) -> bool:
    return path.exists() and (not path.is_dir() or any(path.iterdir()))
