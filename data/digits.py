"""Digits, and classes of anybody's own: domains of pictures with labels.

The domains of the data tree are the folders under `ROOT/digits`; a folder ROOT without `digits` holds domains itself,
or is one. A domain has tables `image_name,label` beside its folder `data`, or a folder for each class (`data.classes`).
The labels of tables are digits, or else the names that `classes.txt` lists, a line each.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from data.classes import checked_classes, folder_classes, load_folders, split_folder, subfolders
from data.decoded import decode_folder, image_names
from data.tables import column, read_table, write_table
from runtime.errors import UserError

DIGITS = tuple("0123456789")  # the names of their classes
SIZE = 28  # pixels of a digit's side
DOMAIN = "mnistm"  # what is learnt by default
SPLITS = ("train", "val", "test")


def digit_domains(root: Path) -> list[str]:
    """The sorted names of the domains: the folders under `root/digits`, or under `root` where that is not there.

    Raises UserError when there is no such folder or nothing in it.
    """
    folder = root / "digits"
    if folder.is_dir():
        if domains := subfolders(folder):
            return domains
        raise UserError(f"no domains in {folder} (make them with scripts/prepare.sh)")
    if root.is_dir() and (domains := [name for name in subfolders(root) if name != "face"]):
        return domains
    raise UserError(
        f"no digits in {root}: {folder} does not exist (make it with scripts/prepare.sh; of your own: docs/data.md)"
    )


def domain_folder(root: Path, domain: str) -> Path:
    """The folder of a domain: under `root/digits` or `root`, or `root` itself where that lacks the default domain.

    Raises UserError for another unknown domain, naming those there are.
    """
    domains, tree = digit_domains(root), root / "digits"
    place = tree if tree.is_dir() else root
    if domain in domains:
        return place / domain
    if place == root and domain == DOMAIN:
        return root
    raise UserError(f"no domain {domain} in {place} (it has {', '.join(domains)})")


def has_tables(folder: Path) -> bool:
    """Whether a domain's labels are in tables; else its classes are folders."""
    return (folder / "data").is_dir() or (folder / "train.csv").is_file()


def picture_folder(root: Path, domain: str) -> Path:
    """A folder of pictures of a domain: all of them, or where classes are folders those of the first."""
    folder = domain_folder(root, domain)
    if has_tables(folder):
        return folder / "data"
    place = split_folder(folder, "val")
    return next((place / name for name in subfolders(place)), place)


def class_names(root: Path, domain: str) -> tuple[str, ...]:
    """The names of a domain's classes, in the order of their labels; none where its pictures have no labels."""
    folder = domain_folder(root, domain)
    return table_classes(folder) if has_tables(folder) else folder_classes(folder)


def table_classes(folder: Path) -> tuple[str, ...]:
    """The classes of the tables in `folder`, in the order of their labels: those of `classes.txt`, or the digits."""
    path = folder / "classes.txt"
    if not path.exists():
        return DIGITS
    return checked_classes(
        path, [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    )


def load_digits(
    root: Path, domain: str, split: str, labelled: bool | None = None, size: int = SIZE, channels: int = 3
) -> tuple[np.ndarray, np.ndarray | None]:
    """One split of a domain: uint8 images (N, size, size, channels) and int64 labels (N,), in the order of `split.csv`.

    For three channels gray is repeated, for one colours become gray; another size than 28 is resized to. The labels
    are None where the table has none, which is an error unless `labelled` is False; by default only `test.csv` may
    lack them.
    Raises UserError for an unknown domain, a missing, empty or malformed table, and a picture that is missing,
    unreadable or, of a digit, not 28x28.
    """
    folder = domain_folder(root, domain)
    required = split != "test" if labelled is None else labelled
    if not has_tables(folder):
        images, labels = load_folders(folder, split, size, channels)
        if labels is None and required:
            raise UserError(f"{folder} has no folders of classes: its pictures have no labels")
        return images, labels
    table = folder / f"{split}.csv"
    names, labels = read_labels(table, required, table_classes(folder))
    return _load_pictures(table, names, size, channels), labels


def load_unlabelled(root: Path, domain: str, split: str, size: int = SIZE) -> np.ndarray:
    """The uint8 RGB images (N, size, size, 3) of one split, as `load_digits` gives them; no label is used."""
    folder = domain_folder(root, domain)
    if not has_tables(folder):
        return load_folders(folder, split, size, channels=3)[0]
    table = folder / f"{split}.csv"
    header, rows = read_table(table)
    name_column = column(table, header, "image_name")
    return _load_pictures(table, [row[name_column] for _, row in rows], size, channels=3)


def _load_pictures(table: Path, names: list[str], size: int, channels: int) -> np.ndarray:
    """The named pictures, uint8 (N, size, size, channels), of the folder `data` beside `table`."""
    # The three splits share one folder, so it is decoded and cached as a whole.
    folder = table.parent / "data"
    present = image_names(folder)
    position = {name: index for index, name in enumerate(present)}
    for name in names:
        if name not in position:
            raise UserError(f"{table} names {name}, which is not in {folder}")
    resize = size != SIZE or table_classes(table.parent) != DIGITS
    images = decode_folder(folder, present, size, resize, channels)
    return images[[position[name] for name in names]]


def read_labels(
    path: Path, required: bool = True, classes: Sequence[str] = DIGITS
) -> tuple[list[str], np.ndarray | None]:
    """The columns `image_name` and `label` of a CSV table: names, and int64 labels (N,), places in `classes`.

    Without a column `label` the labels are None, unless they are `required`. Raises UserError for a table that is
    missing, empty or lacks a column, and for a label that is none of `classes`, naming its line.
    """
    header, rows = read_table(path)
    name_column = column(path, header, "image_name")
    names = [row[name_column] for _, row in rows]
    if "label" not in header and not required:
        return names, None
    label_column = column(path, header, "label")
    return names, np.array([_label(path, line, row[label_column], classes) for line, row in rows], np.int64)


def write_labels(path: Path, names: Sequence[str], labels: Iterable[int | str]) -> None:
    """Write `image_name,label` lines in the order given, the file whole or not at all; parents are made.

    Raises OSError (a full disk, no permission) with a former file untouched.
    """
    write_table(path, ["image_name", "label"], zip(names, map(str, labels), strict=True))


def load_classes(
    root: Path, domain: str, size: int = SIZE, channels: int = 3
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """`load_digits` of the training split, and the names of the classes, for what must learn every class.

    Raises UserError when one has no picture.
    """
    images, labels = load_digits(root, domain, "train", size=size, channels=channels)
    names = class_names(root, domain)
    missing = [name for label, name in enumerate(names) if label not in labels]
    if missing:
        table = domain_folder(root, domain) / "train.csv"
        raise UserError(f"{table} has no image of {', '.join(missing)}: every class needs examples")
    return images, labels, names


def _label(path: Path, line: int, text: str, classes: Sequence[str]) -> int:
    if text.strip() not in classes:
        expected = "an integer from 0 to 9" if classes == DIGITS else f"one of {', '.join(classes)}"
        raise UserError(f"{path}, line {line}: the label is {text!r}, expected {expected}")
    return classes.index(text.strip())
