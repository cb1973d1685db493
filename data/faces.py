"""Faces: `ROOT/face/{train,val}` of the data tree, or a folder of anybody's own pictures."""

from pathlib import Path

import numpy as np

from data import DataError
from data.decoded import decode_folder, image_names


def face_folder(root: Path, split: str = "train") -> Path:
    """`root/face/split` where that exists, else `root` itself, taken as a plain folder of pictures."""
    in_tree = root / "face" / split
    if in_tree.is_dir():
        return in_tree
    if not root.is_dir():
        raise DataError(f"no such data folder: {root} (make one with scripts/prepare.sh, or give --data FOLDER)")
    return root


def load_faces(root: Path, split: str = "train", size: int = 64) -> np.ndarray:
    """All faces of a split as uint8 RGB (N, size, size, 3), in file-name order, memory-mapped from the cache.

    Pictures of another size are cut to their centred square and resized (Lanczos).
    Raises DataError when there is no such folder, no picture in it, or one that cannot be read.
    """
    folder = face_folder(root, split)
    return decode_folder(folder, image_names(folder), size, resize=True)
