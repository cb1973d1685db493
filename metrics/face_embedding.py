"""dlib's face embedding: who a face is, rather than how a picture looks; the second feature space for faces.

Inception features flatter generators whose discriminator looks through an ImageNet network (Kynkäänniemi et al., "The
Role of ImageNet Classes in Fréchet Inception Distance", 2023). This network has learnt to tell people apart.
"""

from importlib.util import find_spec
from pathlib import Path

import dlib
import numpy as np
from PIL import Image
from tqdm import tqdm

from metrics import Unavailable
from runtime.errors import UserError

PACKAGE = "face_recognition_models"
FILE = "dlib_face_recognition_resnet_model_v1.dat"
SIDE = 64
CROP = (12.5, 18.8, 51.5, 57.8)  # left, top, right, bottom of an aligned face as dlib cuts it, in CelebA's 64x64
CHIP = 150  # pixels that the network sees
BATCH = 50  # faces in a pass


class FaceEmbedding:
    """dlib's ResNet, which gives faces of one person embeddings less than 0.6 apart (King, 2017, dlib.net).

    Raises Unavailable when the package that carries its weights is not installed.
    """

    name = "dlib"
    resizing = "bicubic from the face to 150x150"
    dims = 128

    def __init__(self) -> None:
        self.weights = weights_file()
        self.network = dlib.face_recognition_model_v1(str(self.weights))

    def features(self, images: np.ndarray) -> np.ndarray:
        """Embeddings, float32 (N, 128), of aligned faces, uint8 RGB (N, 64, 64, 3).

        Raises UserError for another size.
        """
        if images.shape[1:] != (SIDE, SIDE, 3):
            raise UserError(f"dlib's embedding is of faces of {SIDE}x{SIDE}, not {images.shape[2]}x{images.shape[1]}")
        embeddings = []
        for start in tqdm(range(0, len(images), BATCH), "dlib", leave=False, disable=None):
            chips = [face_chip(image) for image in images[start : start + BATCH]]
            embeddings += self.network.compute_face_descriptor(chips)
        return np.array(embeddings, np.float32)


def face_chip(image: np.ndarray) -> np.ndarray:
    """The aligned face of a picture, uint8 (64, 64, 3), as the network wants it: uint8 (150, 150, 3)."""
    chip = Image.fromarray(image).resize((CHIP, CHIP), Image.Resampling.BICUBIC, CROP)
    return np.array(chip)


def weights_file() -> Path:
    """The network's weights in the package that carries them; Unavailable when it is not installed."""
    package = find_spec(PACKAGE)  # not imported: it needs a module that new versions of setuptools no longer have
    path = Path(package.submodule_search_locations[0]) / "models" / FILE if package else Path()
    if not path.is_file():
        raise Unavailable(f"dlib's embedding needs {PACKAGE}: scripts/install.sh requirements-faces.txt")
    return path
