"""Faces: `ROOT/face/{train,val}` of the data tree, or a folder of anybody's own pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.decoded import decode_folder, image_names
from data.tables import column, read_table
from runtime.errors import UserError


def face_folder(root: Path, split: str = "train") -> Path:
    """`root/face/split` where that exists, else `root` itself, taken as a plain folder of pictures."""
    in_tree = root / "face" / split
    if in_tree.is_dir():
        return in_tree
    if not root.is_dir():
        raise UserError(f"no such data folder: {root} (make one with scripts/prepare.sh, or give --data FOLDER)")
    return root


def load_faces(root: Path, split: str = "train", size: int = 64, channels: int = 3) -> np.ndarray:
    """All faces of a split as uint8 (N, size, size, channels), in file-name order, memory-mapped from the cache.

    Pictures of another size are cut to their centred square and resized (Lanczos); one channel is gray.
    Raises UserError when there is no such folder, no picture in it, or one that cannot be read.
    """
    folder = face_folder(root, split)
    return decode_folder(folder, image_names(folder), size, resize=True, channels=channels)


def load_attributes(root: Path) -> tuple[list[str], list[str], np.ndarray]:
    """The table `root/face/attributes.csv`: picture names (N), attribute names (C), and int8 values (N, C), -1 or 1.

    Not every face needs a line in it. Raises UserError when the table is missing, empty or has no column
    `image_name`, and for a value that is neither -1 nor 1, naming its line.
    """
    path = root / "face" / "attributes.csv"
    header, rows = read_table(path)
    name_column = column(path, header, "image_name")
    values = np.empty((len(rows), len(header) - 1), np.int8)
    for index, (line, row) in enumerate(rows):
        fields = row[:name_column] + row[name_column + 1 :]
        if not set(fields) <= {"-1", "1"}:
            raise UserError(f"{path}, line {line}: an attribute is neither -1 nor 1")
        values[index] = fields
    return [row[name_column] for _, row in rows], header[:name_column] + header[name_column + 1 :], values


def attributes_of(root: Path, names: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Attribute names (C) of `root/face/attributes.csv` and int8 values (N, C) of the pictures `names` (N).

    A value is -1 or 1, or 0 where the table has no line for the picture; without a table, C is 0. Raises UserError as
    `load_attributes`.
    """
    if not (root / "face" / "attributes.csv").exists():
        return [], np.zeros((len(names), 0), np.int8)
    listed, columns, values = load_attributes(root)
    rows = dict(zip(listed, values, strict=True))
    unknown = np.zeros(len(columns), np.int8)
    return columns, np.stack([rows.get(name, unknown) for name in names])
