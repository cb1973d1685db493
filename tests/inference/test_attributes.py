"""Attribute directions of a VAE's latents: what they are, where they lie, and what cannot be measured."""

import numpy as np
import pytest
import torch

from data.faces import load_faces
from data.tree import write_faces
from inference import Autoencoder
from inference.attributes import Config, directions_file, main, read_directions
from models import NETWORKS
from models.weights import save_weights

FACES = np.random.default_rng(0).integers(0, 256, (7, 64, 64, 3), np.uint8)
VALUES = {0: (1, 1), 1: (-1, 1), 2: (1, 1), 4: (-1, 1)}  # smiling or not; all young; of the others nothing is known


@pytest.fixture
def run(tmp_path):
    """A run directory with the weights of an untrained VAE."""
    torch.manual_seed(0)
    arguments = {"latent_size": 6, "width": 4}
    save_weights(tmp_path / "run" / "weights.safetensors", NETWORKS["vae"](**arguments), "vae", arguments, {})
    return tmp_path / "run"


def write_tree(root, values):
    write_faces(root / "face", FACES.__getitem__, 5, 2, ["Smiling", "Young"], values)
    return root


def test_a_direction_leads_from_faces_without_to_faces_with_the_attribute(run, tmp_path):
    root = write_tree(tmp_path / "tree", VALUES)
    main(Config(run, root, device="cpu"))
    latents = Autoencoder.load(run, device="cpu").encode(np.array(load_faces(root)))
    expected = (latents[0] + latents[2]) / 2 - (latents[1] + latents[4]) / 2
    directions = read_directions(run / "weights.safetensors")
    assert list(directions) == ["Smiling"]  # of Young there is no other side
    np.testing.assert_allclose(directions["Smiling"], expected, rtol=2e-3, atol=1e-4)


def test_what_cannot_be_measured_or_read_ends_in_a_line(run, tmp_path, error_of):
    line = error_of(lambda: main(Config(run, write_tree(tmp_path / "plain", {}), device="cpu")))
    assert "have no attributes (face/attributes.csv)" in line
    root = write_tree(tmp_path / "tree", VALUES)
    line = error_of(lambda: main(Config(run, root, only=("Smiling", "Bald"), device="cpu")))
    assert line == "error: no attribute Bald: there are Smiling"
    weights = run / "weights.safetensors"
    assert read_directions(weights) == {}
    directions_file(weights).write_bytes(b"damaged")
    assert "is damaged: remove it" in error_of(lambda: read_directions(weights))
