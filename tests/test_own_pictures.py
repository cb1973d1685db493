"""Pictures of anybody's own: other sizes than the reports', gray ones, and other classes than digits."""

import numpy as np
import pytest
import torch
from PIL import Image

import train_dcgan
import train_ddpm
import train_vae
from data.faces import load_faces
from inference import Autoencoder, Faces, generate
from models import NETWORKS
from models.samplers import Sampling
from models.weights import load_weights
from runtime.images import sheet
from training.config import parse_command_line

TINY = ("--batch-size", 4, "--max-steps", 2, "--device", "cpu", "--precision", "float32")
FACES = {
    "dcgan": (train_dcgan, ("--width", 8, "--latent-size", 8)),
    "sagan": (train_dcgan, ("--width", 8, "--latent-size", 8)),
    "pixelshuffle": (train_dcgan, ("--width", 8, "--latent-size", 8)),
    "projected-pixel": (train_dcgan, ("--width", 4, "--latent-size", 8)),
    "vae-pca": (train_vae, ("--width", 8, "--latent-size", 8)),
    "edm-faces": (train_ddpm, ("--width", 4, "--fold", 4, "--sample-steps", 1)),
}


def colours(seed, width, height):
    """A smooth, colourful picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of ten pictures, 150x140."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(10):
        colours(number, 150, 140).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def train(tmp_path):
    """Train a recipe in this process; gives the run directory."""

    def train(script, recipe, *options):
        words = (recipe, "--runs", tmp_path / "runs", *TINY, *options)
        config = parse_command_line(script.RECIPES, list(map(str, words)))
        script.main(config)
        return config.folder

    return train


def modes_and_sizes(folder):
    """Pillow's modes and sizes of the pictures in a folder."""
    return {(image.mode, image.size) for image in map(Image.open, folder.glob("*.png"))}


@pytest.mark.parametrize(
    ("recipe", "size", "channels"),
    [
        *((recipe, 128, 3) for recipe in ("dcgan", "vae-pca", "edm-faces")),
        *((recipe, 32, 1) for recipe in FACES),
    ],
)
def test_faces_of_another_size_and_in_gray(train, pictures, tmp_path, capsys, recipe, size, channels):
    script, options = FACES[recipe]
    shape = ("--size", size, "--channels", channels)
    folder = train(script, recipe, "--data", pictures, *shape, *options)
    mode = {1: "L", 3: "RGB"}[channels]
    grid = Image.open(folder / "samples" / "0000002.png")
    assert (grid.mode, grid.width) == (mode, 8 * (size + 2) + 2)

    quick = Sampling(steps=1) if script is train_ddpm else Sampling()
    generate.main(generate.Config(folder, tmp_path / "out", count=3, sampling=quick, device="cpu"))
    assert "3 faces are in" in capsys.readouterr().out
    assert modes_and_sizes(tmp_path / "out") == {(mode, (size, size))}
    assert Faces.load(folder, "cpu").sample(1, **vars(quick)).shape == (1, size, size, channels)
    if script is train_vae:
        generate.main(generate.Config(folder, tmp_path / "restored", images=pictures, device="cpu"))
        assert modes_and_sizes(tmp_path / "restored") == {(mode, (size, size))}
        given = np.zeros((2, size, size, channels), np.uint8)
        assert Autoencoder.load(folder, "cpu").reconstruct(given)[0].shape == given.shape


@pytest.mark.parametrize("name", [name for name in NETWORKS if name.endswith(("-generator", "vae", "unet"))])
def test_a_network_of_another_shape_says_so(name):
    """The last layer makes the pictures' channels; the size and the channels are known without one."""
    size = 64 if name == "acgan64-generator" else 32
    network = NETWORKS[name](width=8, size=size, channels=1).eval()
    assert (network.image_size, network.channels) == (size, 1)
    labels = torch.tensor([0, 1]) if network.classes else None
    sampling = Sampling(steps=2) if network.diffusion else Sampling()
    images = network.sample(lambda: torch.randn(2, *network.latent_shape), labels, sampling)
    assert images.shape == (2, 1, size, size)


def test_files_of_the_reported_shape_do_not_name_it(train, pictures):
    """They are those of earlier versions, which knew no other shape."""
    folder = train(train_dcgan, "dcgan", "--data", pictures, *FACES["dcgan"][1])
    text = (folder / "weights.safetensors").read_bytes()[:2000]
    assert b"latent_size" in text and b"channels" not in text and b'size\\": 64' not in text
    assert load_weights(folder / "weights.safetensors", torch.nn.Module)[0].image_size == 64


@pytest.mark.parametrize(
    ("script", "words", "message"),
    [
        (train_dcgan, ("dcgan", "--size", 48), "--size must be 32, 64 or 128"),
        (train_dcgan, ("dcgan", "--channels", 2), "--channels must be 1 or 3"),
        (train_vae, ("vae-pca", "--channels", 1, "--width", 1), "--width must be at least 2 for a linear start"),
        (train_ddpm, ("edm-faces", "--size", 28), "--fold must be 1 or 2: folded"),
        (train_ddpm, ("edm-faces", "--size", 96), "--size must be 0, 28, 32, 64 or 128"),
    ],
)
def test_unknown_shapes_end_in_one_line(train, pictures, error_of, tmp_path, script, words, message):
    assert message in error_of(lambda: train(script, *words, "--data", pictures))
    assert not (tmp_path / "runs").exists()


def test_sheets_are_gray_of_gray_pictures():
    assert sheet(np.zeros((3, 4, 4, 1), np.uint8), columns=2).shape == (14, 14, 1)


def test_pictures_are_taken_upright_and_on_white(tmp_path):
    """As an upload to the page is: cameras say in EXIF how a picture was held."""
    (tmp_path / "in").mkdir()
    held = colours(0, 64, 64)
    turned = held.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    turned.save(tmp_path / "in" / "turned.png", exif=exif)
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(tmp_path / "in" / "white.png")
    upright, white = load_faces(tmp_path / "in")
    assert np.array_equal(upright, np.asarray(held))
    assert (white == 255).all()
    gray, _ = load_faces(tmp_path / "in", channels=1)
    assert np.array_equal(gray[..., 0], np.asarray(held.convert("L")))


def test_pictures_of_16_bits_are_refused(tmp_path, error_of):
    Image.fromarray(np.full((64, 64), 1000, np.uint16)).save(tmp_path / "deep.png")
    assert "it has more than 8 bits a channel): replace" in error_of(lambda: load_faces(tmp_path))
