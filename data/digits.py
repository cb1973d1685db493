"""Digits: the domains under `ROOT/digits` of the data tree, and their `image_name,label` tables."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from data.decoded import decode_folder, image_names
from data.tables import column, read_table, write_table
from runtime.errors import UserError

SIZE = 28  # pixels of a digit's side
SPLITS = ("train", "val", "test")


def digit_domains(root: Path) -> list[str]:
    """The sorted names of the domains: the folders under `root/digits`.

    Raises UserError when there is no such folder or nothing in it.
    """
    folder = root / "digits"
    if not folder.is_dir():
        raise UserError(f"no digits in {root}: {folder} does not exist (make it with scripts/prepare.sh)")
    domains = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not domains:
        raise UserError(f"no domains in {folder} (make them with scripts/prepare.sh)")
    return domains


def load_digits(
    root: Path, domain: str, split: str, labelled: bool | None = None, size: int = SIZE, channels: int = 3
) -> tuple[np.ndarray, np.ndarray | None]:
    """One split of a domain: uint8 images (N, size, size, channels) and int64 labels (N,), in the order of `split.csv`.

    For three channels gray is repeated, for one colours become gray; another size than 28 is resized to. The labels
    are None where the table has none, which is an error unless `labelled` is False; by default only `test.csv` may
    lack them.
    Raises UserError for an unknown domain, a missing, empty or malformed table, and a picture that is missing,
    unreadable or not 28x28.
    """
    table = split_table(root, domain, split)
    names, labels = read_labels(table, required=split != "test" if labelled is None else labelled)
    return _load_pictures(table, names, size, channels), labels


def load_unlabelled(root: Path, domain: str, split: str) -> np.ndarray:
    """The uint8 RGB images (N, 28, 28, 3) of one split, as `load_digits` gives them; no label is even read."""
    table = split_table(root, domain, split)
    header, rows = read_table(table)
    name_column = column(table, header, "image_name")
    return _load_pictures(table, [row[name_column] for _, row in rows])


def split_table(root: Path, domain: str, split: str) -> Path:
    """The path of a split's table; raises UserError for an unknown domain, naming those there are."""
    domains = digit_domains(root)
    if domain not in domains:
        raise UserError(f"no domain {domain} in {root / 'digits'} (it has {', '.join(domains)})")
    return root / "digits" / domain / f"{split}.csv"


def _load_pictures(table: Path, names: list[str], size: int = SIZE, channels: int = 3) -> np.ndarray:
    """The named pictures, uint8 (N, size, size, channels), of the folder `data` beside `table`."""
    # The three splits share one folder, so it is decoded and cached as a whole.
    folder = table.parent / "data"
    present = image_names(folder)
    position = {name: index for index, name in enumerate(present)}
    for name in names:
        if name not in position:
            raise UserError(f"{table} names {name}, which is not in {folder}")
    images = decode_folder(folder, present, size, resize=size != SIZE, channels=channels)
    return images[[position[name] for name in names]]


def read_labels(path: Path, required: bool = True) -> tuple[list[str], np.ndarray | None]:
    """The columns `image_name` and `label` of a CSV table: names, and int64 labels (N,) from 0 to 9.

    Without a column `label` the labels are None, unless they are `required`. Raises UserError for a table that is
    missing, empty or lacks a column, and for a label that is not an integer from 0 to 9, naming its line.
    """
    header, rows = read_table(path)
    name_column = column(path, header, "image_name")
    names = [row[name_column] for _, row in rows]
    if "label" not in header and not required:
        return names, None
    label_column = column(path, header, "label")
    return names, np.array([_label(path, line, row[label_column]) for line, row in rows], np.int64)


def write_labels(path: Path, names: Sequence[str], labels: Iterable[int]) -> None:
    """Write `image_name,label` lines in the order given, the file whole or not at all; parents are made.

    Raises OSError (a full disk, no permission) with a former file untouched.
    """
    write_table(path, ["image_name", "label"], zip(names, map(int, labels), strict=True))


def load_classes(root: Path, domain: str, size: int = SIZE, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """`load_digits` of the training split, for what must learn every digit; raises UserError when it lacks one."""
    images, labels = load_digits(root, domain, "train", size=size, channels=channels)
    missing = sorted(set(range(10)) - set(labels.tolist()))
    if missing:
        table = root / "digits" / domain / "train.csv"
        raise UserError(f"{table} has no image of {', '.join(map(str, missing))}: every digit needs examples")
    return images, labels


def _label(path: Path, line: int, text: str) -> int:
    if text.strip() not in set("0123456789"):
        raise UserError(f"{path}, line {line}: the label is {text!r}, expected an integer from 0 to 9")
    return int(text)
