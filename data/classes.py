"""Pictures of anybody's own in a folder for each class: `DOMAIN/CLASS/*.png`, or `DOMAIN/{train,val,test}/CLASS/*.png`.

Where a split has no folder, its pictures are those of `train`, and without any such folder all of the domain's.
"""

from pathlib import Path

import numpy as np

from data.decoded import IMAGE_SUFFIXES, decode_folder, image_names
from data.tables import is_formula
from runtime.errors import UserError


def subfolders(folder: Path) -> list[str]:
    """The sorted names of the folders in `folder` but those that begin with a dot."""
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def split_folder(folder: Path, split: str) -> Path:
    """Where the pictures of a split of the domain `folder` are."""
    return next((folder / name for name in (split, "train") if (folder / name).is_dir()), folder)


def folder_classes(folder: Path) -> tuple[str, ...]:
    """The sorted names of the classes of a domain, none where its training pictures lie in no folders of classes."""
    return checked_classes(split_folder(folder, "train"), subfolders(split_folder(folder, "train")))


def checked_classes(place: Path, names: list[str]) -> tuple[str, ...]:
    """`names` of classes, which are to be parts of file names and cells of tables; raises UserError naming `place`."""
    for name in names:
        if is_formula(name) or "/" in name or name.startswith(".") or names.count(name) > 1:
            raise UserError(f"{place}: {name!r} cannot be the name of a class: rename it")
    return tuple(names)


def load_folders(folder: Path, split: str, size: int, channels: int) -> tuple[np.ndarray, np.ndarray | None]:
    """One split of a domain: uint8 images (N, size, size, channels) and int64 labels (N,), in the order of the names.

    Pictures of another size are cut to their centred square and resized. Labels are places in `folder_classes`, or
    None where there are none. Raises UserError for a class without pictures and one that training lacks.
    """
    classes, place = folder_classes(folder), split_folder(folder, split)
    if unknown := set(subfolders(place)) - set(classes):
        raise UserError(f"{place} has the class {min(unknown)}, which {split_folder(folder, 'train')} has not")
    if len(classes) == 1:
        raise UserError(f"{place} has one class alone, {classes[0]}: there must be two at least")
    if not classes:
        return decode_folder(place, image_names(place), size, resize=True, channels=channels), None
    if stray := [path.name for path in place.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]:
        raise UserError(f"{place / min(stray)} is of no class: move it into the folder of one")
    names, labels = [], []
    for label, name in enumerate(classes):
        if (place / name).is_dir():
            pictures = image_names(place / name)
            names += [f"{name}/{picture}" for picture in pictures]
            labels += [label] * len(pictures)
    return decode_folder(place, names, size, resize=True, channels=channels), np.array(labels, np.int64)
