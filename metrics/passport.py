"""What a score depends on, written beside it: scores for which that differs do not compare.

Hashes are the first twelve digits of a SHA-256: of pictures, that of their pixels, so that two folders with the same
pictures have the same hash, however their files are written.
"""

import hashlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Passport = dict[str, Any]
OF_FEATURES = ("count", "resizing", "extractor", "reference")
# What each score depends on beside the pictures themselves; of other scores, on everything in the passport.
DEPENDS_ON = {
    **dict.fromkeys(("fid", "kid", "frechet_distance", "precision", "recall"), OF_FEATURES),
    "inception_score": OF_FEATURES[:-1],
    "hog_face_rate": ("count",),
    "accuracy": ("count", "classifier"),
}


class Extractor(Protocol):
    """What makes features of pictures."""

    name: str
    dims: int
    resizing: str
    weights: Path

    def features(self, images: np.ndarray) -> np.ndarray:
        """Features float32 (N, dims) of pictures uint8 RGB (N, H, W, 3)."""


def pictures_hash(images: np.ndarray) -> str:
    """The hash of pictures uint8 (N, H, W, 3)."""
    return hashlib.sha256(f"{images.shape}".encode() + np.ascontiguousarray(images).data).hexdigest()[:12]


def file_hash(path: Path) -> str:
    """The hash of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def of_pictures(images: np.ndarray, seed: int | None = None) -> Passport:
    """The passport of scores of generated pictures uint8 (N, H, W, 3); the seed they were made with, where known."""
    count, height, width, _ = images.shape
    about = {"count": count, "size": f"{width}x{height}", "pictures": pictures_hash(images)}
    return about | ({} if seed is None else {"seed": seed})


def of_reference(images: np.ndarray) -> str:
    """What generated pictures are compared with: real ones, uint8 (N, H, W, 3)."""
    return f"{len(images)} pictures {pictures_hash(images)}"


def of_extractor(extractor: Extractor) -> Passport:
    """The part about features: how pictures are resized, and the network with its weights."""
    name = f"{extractor.name}-{extractor.dims} {file_hash(extractor.weights)}"
    return {"resizing": extractor.resizing, "extractor": name}


def basis(passport: Passport, score: str) -> str:
    """What a score depends on, as one text: two scores compare where it is the same."""
    names = DEPENDS_ON.get(score, passport)
    return ", ".join(f"{name} {passport[name]}" for name in names if name in passport)


def line(passport: Passport) -> str:
    """The passport as one line."""
    return "passport: " + ", ".join(f"{name} {value}" for name, value in passport.items())
