"""HOG face rate: the share of pictures in which a face detector finds exactly one face."""

from collections.abc import Iterable

import dlib
import numpy as np
from tqdm import tqdm


def count_faces(images: Iterable[np.ndarray]) -> np.ndarray:
    """How many faces dlib's frontal detector finds in each uint8 RGB picture (H, W, 3), as int (N,).

    The detector slides a linear classifier over histograms of oriented gradients (Dalal and Triggs, "Histograms of
    Oriented Gradients for Human Detection", 2005). Pictures are doubled in size once, since it looks for faces of about
    80 pixels. One process: dlib does not release Python's lock, and 1000 faces of 64x64 take seconds.
    """
    detect = dlib.get_frontal_face_detector()
    # A copy, because the pictures may be a read-only memory map, which dlib refuses.
    return np.array([len(detect(np.array(image), 1)) for image in tqdm(images, "HOG", leave=False, disable=None)], int)


def hog_face_rate(images: Iterable[np.ndarray]) -> float:
    """The share, in [0, 1], of uint8 RGB pictures (H, W, 3) in which exactly one face is found; needs at least one."""
    return float((count_faces(images) == 1).mean())
