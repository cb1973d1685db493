"""Faces through a VAE and back, as files."""

import csv
import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from inference import generate_faces
from inference.reconstruct_faces import Config, main
from models.dcgan import DCGANGenerator
from models.vae import VAE
from models.weights import load_weights, save_weights
from tests.latents import image_latents


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A VAE, untrained, but with weights large enough for pictures that are not all gray."""
    torch.manual_seed(0)
    arguments = {"latent_size": 16, "width": 8}
    network = VAE(**arguments)
    torch.nn.init.normal_(network.decoder[-2].weight, 0, 0.2)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_weights(path, network, "vae", arguments, {})
    return path


def reconstruct(weights, images, out, **options):
    main(Config(weights, images, out, device="cpu", **options))
    return {name: np.asarray(Image.open(out / name)) for name in sorted(os.listdir(out))}


def test_reconstructions_and_errors_are_the_network_s(weights, faces, tmp_path):
    files = {"csv": tmp_path / "new" / "errors.csv", "json": tmp_path / "errors.json", "grid": tmp_path / "grid.png"}
    pictures = reconstruct(weights, faces, tmp_path / "out", **files)
    names = sorted(os.listdir(faces))
    assert list(pictures) == names
    network, _ = load_weights(weights, VAE)
    originals = np.stack([np.asarray(Image.open(faces / name)) for name in names]) / 255
    with torch.inference_mode():
        means, _ = network.encode(torch.from_numpy(originals * 2 - 1).permute(0, 3, 1, 2).float())
        decoded = network.decode(means).permute(0, 2, 3, 1).numpy() / 2 + 0.5
    assert decoded.std() > 0.05
    for name, expected in zip(names, decoded, strict=True):
        np.testing.assert_allclose(pictures[name], expected * 255, atol=1)
    errors = ((decoded - originals) ** 2).mean((1, 2, 3))
    with open(files["csv"], newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["image_name", "mse"]
    assert [row[0] for row in rows] == names
    np.testing.assert_allclose([float(row[1]) for row in rows], errors, atol=1e-6)
    scores = json.loads(files["json"].read_text())
    assert scores == {"images": 48, "mse": pytest.approx(errors.mean()), "mse_std": pytest.approx(errors.std())}
    grid = np.asarray(Image.open(files["grid"]))
    assert grid.shape == (2 * 66 + 2, 10 * 66 + 2, 3)
    np.testing.assert_array_equal(grid[2:66, 68:132], np.asarray(Image.open(faces / names[1])))
    np.testing.assert_array_equal(grid[68:132, 68:132], pictures[names[1]])


def test_a_reconstruction_does_not_depend_on_the_other_pictures(weights, faces, tmp_path):
    few = tmp_path / "a few"
    few.mkdir()
    for name in ("00007.png", "00030.png"):
        shutil.copy(faces / name, few)
    many = reconstruct(weights, faces, tmp_path / "many")
    for name, picture in reconstruct(weights, few, tmp_path / "out").items():
        np.testing.assert_array_equal(picture, many[name])


def test_pictures_of_any_size_and_kind(weights, tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    Image.new("L", (100, 80), 90).save(folder / "a.jpg")
    Image.new("RGB", (64, 64), "red").save(folder / "b.bmp")
    pictures = reconstruct(weights, folder, tmp_path / "out")
    assert {name: picture.shape for name, picture in pictures.items()} == dict.fromkeys(("a.png", "b.png"), (64, 64, 3))


def test_a_vae_samples_faces(weights, tmp_path):
    generate_faces.main(generate_faces.Config(weights, tmp_path / "faces", count=3, seed=5, device="cpu"))
    network, _ = load_weights(weights, VAE)
    with torch.inference_mode():
        expected = network.generate(image_latents(5, range(3), 16 + 128)).permute(0, 2, 3, 1).numpy()
    for number, image in enumerate(expected):
        picture = np.asarray(Image.open(tmp_path / "faces" / f"{number:04d}.png"))
        np.testing.assert_allclose(picture, (image + 1) * 127.5, atol=1)


def test_mistakes_end_in_one_line(weights, faces, tmp_path, error_of):
    out = tmp_path / "out"
    assert "no such folder" in error_of(lambda: reconstruct(weights, tmp_path / "none", out))
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no pictures" in error_of(lambda: reconstruct(weights, empty, out))
    twins = tmp_path / "twins"
    twins.mkdir()
    for name in ("a.png", "a.jpg"):
        Image.new("RGB", (64, 64)).save(twins / name)
    assert "would become a.png: rename them" in error_of(lambda: reconstruct(weights, twins, out))
    other = tmp_path / "gan.safetensors"
    save_weights(other, DCGANGenerator(width=8), "dcgan-generator", {"width": 8}, {})
    assert "holds the network 'dcgan-generator', but a vae is needed" in error_of(
        lambda: reconstruct(other, faces, out)
    )
    assert not out.exists()
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert "holds other files (notes.txt" in error_of(lambda: reconstruct(weights, faces, out))
    assert os.listdir(out) == ["notes.txt"]
