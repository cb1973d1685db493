"""dlib's embedding: its crop, its scores, and distances to the nearest training face."""

import json

import numpy as np
import pytest
from PIL import Image

from metrics import Unavailable, face_embedding, faces, memorisation
from metrics.face_embedding import FaceEmbedding, face_chip
from runtime.figures import COLOURS

REMEDY = "dlib's embedding needs face_recognition_models: scripts/install.sh requirements-faces.txt"


class Means:
    """Stands in for dlib's network: three numbers a face, the means of its channels."""

    name = "dlib"
    dims = 3
    resizing = "none"

    def __init__(self):
        self.weights = face_embedding.Path(__file__)

    def features(self, images):
        return images.mean((1, 2)).astype(np.float32)


def test_the_crop_is_the_face():
    ramp = np.broadcast_to(4 * np.arange(64, dtype=np.uint8)[None, :, None], (64, 64, 3))
    across, down = face_chip(ramp)[75, :, 0], face_chip(ramp.transpose(1, 0, 2))[:, 75, 0]
    # Pixel x covers [x, x + 1): at the left edge of the crop, 12.5, the ramp has 4 · 12, at the right, 51.5, 4 · 51.
    np.testing.assert_allclose([across[0], across[-1]], [48, 204], atol=1)
    np.testing.assert_allclose([down[0], down[-1]], [4 * 18.3, 4 * 57.3], atol=1)
    assert face_chip(ramp).shape == (150, 150, 3)


def test_embeddings_are_dlibs():
    """Each picture by itself through dlib's own call for one chip."""
    try:
        embedding = FaceEmbedding()
    except Unavailable:
        pytest.skip(REMEDY)
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    vectors = embedding.features(images)
    assert vectors.shape == (3, 128) and vectors.dtype == np.float32
    for image, vector in zip(images, vectors, strict=True):
        alone = embedding.network.compute_face_descriptor(face_chip(image))
        np.testing.assert_allclose(vector, np.array(alone), atol=1e-5)


def test_other_sizes_and_a_missing_package_are_named(folders, command, monkeypatch):
    monkeypatch.setattr(face_embedding, "find_spec", lambda _: None)
    for module, options in ((faces, ("--features", "dlib")), (memorisation, ("--training", folders[1]))):
        status, _, error = command(module, folders[0], "--reference", folders[1], *options)
        assert (status, error) == (1, f"error: {REMEDY}\n")


def test_scores_in_the_embedding(folders, command, monkeypatch, tmp_path):
    monkeypatch.setattr(faces, "FaceEmbedding", Means)
    path = tmp_path / "scores.json"
    status, out, _ = command(faces, folders[0], "--reference", folders[1], "--features", "dlib", "--json", path)
    scores = json.loads(path.read_text())
    assert status == 0 and "Fréchet distance" in out
    generated, real = (Means().features(faces.read_generated(folder)) for folder in folders)
    assert scores["frechet_distance"] == pytest.approx(faces.fid(generated, real))
    assert (scores["images"], scores["reference_images"], scores["dims"]) == (6, 5, "dlib")
    between = [np.linalg.norm(generated[i] - generated[j]) for i in range(6) for j in range(i)]
    assert scores["median_distance"] == pytest.approx(np.median(between), rel=1e-5)


def test_distances_to_the_nearest_training_face_by_hand():
    training = np.array([[0, 0], [10, 0], [0, 8]], np.float32)
    generated = np.array([[3, 4], [10, 0], [9, 0]], np.float32)
    np.testing.assert_allclose(memorisation.nearest_distances(generated, training), [5, 0, 1], atol=1e-6)


def test_copies_are_found(folders, command, monkeypatch, tmp_path):
    """Generated pictures that are training pictures lie at distance 0, other real ones do not."""
    monkeypatch.setattr(memorisation, "FaceEmbedding", Means)
    path, figure = tmp_path / "distances.json", tmp_path / "distances.png"
    options = ("--training", folders[0], "--reference", folders[1], "--json", path, "--figure", figure)
    status, out, _ = command(memorisation, folders[0], *options)
    result = json.loads(path.read_text())
    assert status == 0 and "5th percentile" in out
    assert result["generated"] == [0] * 6 and result["generated_percentile_5"] == 0
    assert result["passport"]["training"].startswith("6 pictures ") and "training 6 pictures" in out
    assert min(result["reference"]) > 0
    assert result["reference_percentile_5"] == pytest.approx(np.percentile(result["reference"], 5))
    pixels = np.asarray(Image.open(figure).convert("RGB")).reshape(-1, 3)
    for colour in COLOURS[:2]:  # both histograms are drawn
        assert (pixels == [int(colour[place : place + 2], 16) for place in (1, 3, 5)]).all(1).sum() > 100
