"""DINOv2 features where torch.hub has its code and weights: here a network that stands in for it."""

import json
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image

from metrics import faces
from metrics.dinov2 import CODE, WEIGHTS, DINOv2

HUBCONF = """
import torch

class Means(torch.nn.Module):
    def forward(self, images):
        assert images.shape[1:] == (3, 224, 224)
        return images.mean((2, 3))

def dinov2_vitl14(pretrained=True):
    return Means()
"""


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """torch.hub's folder with the stand-in's code and a file of weights; no network can be reached."""

    def unreachable(address):
        raise URLError(address)

    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    hub = tmp_path / "torch" / "hub"
    (hub / "checkpoints").mkdir(parents=True)
    (hub / "checkpoints" / WEIGHTS).write_bytes(b"weights")
    (hub / CODE).mkdir()
    (hub / CODE / "hubconf.py").write_text(HUBCONF)
    return hub


def test_pictures_are_normalised_as_imagenets(hub):
    colours = np.array([[0, 128, 255], [10, 20, 30]], np.uint8)
    features = DINOv2("cpu").features(colours[:, None, None].repeat(20, 1).repeat(20, 2))
    expected = (colours / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(features, expected, rtol=1e-4)


def test_faces_are_scored_where_the_network_is_there(hub, folders, command, tmp_path):
    path = tmp_path / "scores.json"
    words = (folders[0], "--reference", folders[1], "--features", "dinov2", "--device", "cpu", "--json", path)
    status, out, _ = command(faces, *words)
    scores = json.loads(path.read_text())
    assert status == 0 and "Fréchet distance" in out and "bilinear to 224x224" in out
    means = [[np.asarray(Image.open(file)).mean((0, 1)) for file in sorted(folder.iterdir())] for folder in folders]
    normalised = [(np.array(side) / 255 / [0.229, 0.224, 0.225]).astype(np.float32) for side in means]
    assert scores["frechet_distance"] == pytest.approx(
        faces.fid(*normalised), rel=0.05
    )  # resizing moves means a little
    assert scores["dims"] == "dinov2"
    (hub / "checkpoints" / WEIGHTS).unlink()
    status, _, error = command(faces, *words)
    assert (status, error.count("\n")) == (1, 1) and "are not in" in error and "get them by torch.hub.load" in error
