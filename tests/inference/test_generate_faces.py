import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from inference.generate_faces import Config, main
from inference.sampling import interpolate_noise
from models.dcgan import DCGANDiscriminator, DCGANGenerator
from models.fastgan import FastGANGenerator
from models.generator import Generator, Sampling
from models.residual_unet import ResidualUNet
from models.weights import load_weights, save_weights
from runtime.device import Execution
from runtime.images import to_uint8
from tests.latents import image_latents
from training.ema import estimate_batch_norm


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A generator, untrained, but with weights large enough for pictures that are not all gray."""
    torch.manual_seed(0)
    arguments = {"latent_size": 16, "width": 8}
    generator = DCGANGenerator(**arguments)
    torch.nn.init.normal_(generator.layers[-2].weight, 0, 0.2)
    estimate_batch_norm(generator, torch.randn(2, 64, 16), Execution(torch.device("cpu")))
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_weights(path, generator, "dcgan-generator", arguments, {})
    return path


def generate(weights, out, **options):
    main(Config(weights, out, device="cpu", **options))
    return {name: (out / name).read_bytes() for name in sorted(os.listdir(out))}


def test_a_face_does_not_depend_on_how_many_there_are(weights, tmp_path):
    """Faces are made in chunks of 50: the last face of 60 and of 111 stand in other places of other chunks."""
    many = generate(weights, tmp_path / "many", count=111)
    assert list(many) == [f"{number:04d}.png" for number in range(111)]
    assert len(set(many.values())) == 111
    for count in (1, 40, 60):
        few = generate(weights, tmp_path / f"{count}", count=count)
        assert few == {name: many[name] for name in list(many)[:count]}
    other = generate(weights, tmp_path / "other seed", count=40, seed=1)
    assert not set(other.values()) & set(many.values())


def test_faces_are_the_generator_s(weights, tmp_path):
    generate(weights, tmp_path / "faces", count=3, seed=5)
    generator, _ = load_weights(weights, Generator)
    expected = to_uint8(generator(image_latents(5, range(3), 16)))
    assert expected.std() > 20
    for index, picture in enumerate(expected):
        with Image.open(tmp_path / "faces" / f"{index:04d}.png") as image:
            assert (image.mode, image.size, image.format) == ("RGB", (64, 64), "PNG")
            np.testing.assert_allclose(np.asarray(image).astype(int), picture.astype(int), atol=1)


def test_a_grid_shows_the_first_32_faces(weights, tmp_path):
    generate(weights, tmp_path / "faces", count=33, grid=tmp_path / "new" / "grid.png")
    page = np.asarray(Image.open(tmp_path / "new" / "grid.png"))
    assert page.shape == (4 * 66 + 2, 8 * 66 + 2, 3)
    last = np.asarray(Image.open(tmp_path / "faces" / "0031.png"))
    np.testing.assert_array_equal(page[-66:-2, -66:-2], last)


def test_faces_can_be_made_again_in_their_place(weights, tmp_path):
    first = generate(weights, tmp_path / "faces", count=5)
    assert generate(weights, tmp_path / "faces", count=5) == first


def test_a_folder_with_other_files_is_refused(weights, tmp_path, error_of):
    out = tmp_path / "faces"
    before = generate(weights, out, count=5)
    line = error_of(lambda: generate(weights, out, count=3))
    assert line == f"error: {out} holds other files (0003.png …): give an empty or new folder"
    assert {name: (out / name).read_bytes() for name in os.listdir(out)} == before


@pytest.mark.parametrize("count", [0, -1, 1_000_001])
def test_counts_have_bounds(weights, tmp_path, error_of, count):
    line = error_of(lambda: generate(weights, tmp_path / "faces", count=count))
    assert line == "error: --count must be from 1 to 1e+06"
    assert not (tmp_path / "faces").exists()


def test_other_weights_are_refused_before_anything_is_written(tmp_path, error_of):
    path = tmp_path / "weights.safetensors"
    assert f"no such weights file: {path}" in error_of(lambda: generate(path, tmp_path / "faces"))
    path.write_text("no weights")
    assert f"{path} is no weights file" in error_of(lambda: generate(path, tmp_path / "faces"))
    save_weights(path, DCGANDiscriminator(8), "dcgan-discriminator", {"width": 8}, {})
    line = error_of(lambda: generate(path, tmp_path / "faces"))
    assert line == f"error: {path} holds the network 'dcgan-discriminator', but a generator is needed"
    assert not (tmp_path / "faces").exists()


def test_what_cannot_be_written_is_named(weights, tmp_path, error_of):
    (tmp_path / "file").write_text("mine")
    line = error_of(lambda: generate(weights, tmp_path / "file" / "faces", count=2))
    assert line.startswith("error: Not a directory: ")
    assert str(tmp_path / "file") in line
    assert (tmp_path / "file").read_text() == "mine"


def test_the_command_runs_from_another_folder_and_says_what_is_wrong(run, weights, tmp_path, root):
    shutil.copy(weights, tmp_path / "w.safetensors")
    module = ("-P", "-m", "inference.generate_faces", "--weights", "w.safetensors", "--device", "cpu")
    there = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(root)}}
    done = run(*module, "--out", "some faces", "--count", 2, **there)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(os.listdir(tmp_path / "some faces")) == ["0000.png", "0001.png"]
    refused = run(*module, "--out", ".", "--count", 2, **there)
    assert refused.returncode == 1
    assert refused.stderr == "error: . holds other files (some faces …): give an empty or new folder\n"


@pytest.fixture(scope="module")
def spherical(tmp_path_factory):
    """Weights of a generator that puts its noise on the sphere."""
    torch.manual_seed(0)
    arguments = {"latent_size": 16, "width": 8}
    generator = FastGANGenerator(**arguments)
    estimate_batch_norm(generator, torch.randn(2, 64, 16), Execution(torch.device("cpu")))
    path = tmp_path_factory.mktemp("spherical") / "weights.safetensors"
    save_weights(path, generator, "fastgan-generator", arguments, {})
    return path


def test_truncation_scales_the_noise(weights, spherical, tmp_path):
    generate(weights, tmp_path / "faces", count=3, seed=5, sampling=Sampling(truncation=0.5))
    generator, _ = load_weights(weights, Generator)
    expected = to_uint8(generator(image_latents(5, range(3), 16) / 2))
    for index, picture in enumerate(expected):
        with Image.open(tmp_path / "faces" / f"{index:04d}.png") as image:
            np.testing.assert_allclose(np.asarray(image).astype(int), picture.astype(int), atol=1)

    generator, _ = load_weights(spherical, Generator)
    latents = image_latents(5, range(3), 16)
    on_sphere = latents / latents.square().mean(1, keepdim=True).sqrt()
    seen = []
    generator.start.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0][:, :, 0, 0]))
    generator(latents, truncation=0.5)
    torch.testing.assert_close(seen[0], on_sphere / 2)
    whole, half = (
        generate(spherical, tmp_path / f"{part}", count=3, sampling=Sampling(truncation=part)) for part in (1.0, 0.5)
    )
    assert not set(whole.values()) & set(half.values())


@pytest.fixture(scope="module")
def diffusion(tmp_path_factory):
    """Weights of a diffusion network of faces that minds its inputs, which a new one does not."""
    torch.manual_seed(0)
    arguments = {"width": 4, "classes": 0, "fold": 4, "size": 64, "prediction": "edm"}
    network = ResidualUNet(**arguments)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.1)
    path = tmp_path_factory.mktemp("diffusion") / "weights.safetensors"
    save_weights(path, network, "residual-unet", arguments, {})
    return path


def test_diffusion_makes_faces_alike(diffusion, tmp_path):
    quick = {"sampling": Sampling(steps=2)}
    many = generate(diffusion, tmp_path / "many", count=53, **quick)
    assert len(set(many.values())) == 53
    few = generate(diffusion, tmp_path / "few", count=3, **quick)
    assert few == {name: many[name] for name in few}
    way = list(generate(diffusion, tmp_path / "way", count=2, interpolate=(2, 0), **quick).values())
    assert way == [few["0002.png"], few["0000.png"]]
    slower = generate(diffusion, tmp_path / "slower", count=1, sampling=Sampling(steps=3))
    assert slower["0000.png"] != few["0000.png"]


def test_settings_that_do_nothing_to_these_weights(weights, diffusion, tmp_path, error_of):
    for file, sampling, message in (
        (weights, Sampling(steps=5), "steps is for diffusion networks: these weights make an image in one step"),
        (weights, Sampling(eta=0.5), "eta is for diffusion networks: these weights make an image in one step"),
        (diffusion, Sampling(guidance=2.0), "guidance needs classes, which these weights have not: leave it out"),
    ):
        line = error_of(lambda file=file, sampling=sampling: generate(file, tmp_path / "faces", sampling=sampling))
        assert line == f"error: {message}"
    assert not (tmp_path / "faces").exists()


def test_interpolation_begins_and_ends_at_its_faces(weights, tmp_path):
    faces = list(generate(weights, tmp_path / "faces", count=8).values())
    gif, png = tmp_path / "way.gif", tmp_path / "way.png"
    way = list(generate(weights, tmp_path / "way", count=5, interpolate=(7, 2), grid=gif).values())
    generate(weights, tmp_path / "again", count=5, interpolate=(7, 2), grid=png)
    assert (way[0], way[-1], len(set(way))) == (faces[7], faces[2], 5)
    with Image.open(gif) as animation, Image.open(png) as strip:
        assert animation.n_frames == 5 and strip.width == 8 * 66 + 2


def test_latents_between_two_turn_at_equal_angles():
    first, last = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([0.0, 2.0, 0.0])
    way = interpolate_noise(first, last, 4)
    expected = [[2 * np.cos(angle), 2 * np.sin(angle), 0] for angle in np.linspace(0, np.pi / 2, 4)]
    torch.testing.assert_close(way, torch.tensor(expected, dtype=torch.float32))
    torch.testing.assert_close(interpolate_noise(first, first, 3), first.expand(3, -1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interpolate": (0, 1)}, "--interpolate needs two numbers from 0 up and a --count from 2 to 200"),
        ({"interpolate": (-1, 1), "count": 5}, "--interpolate needs two numbers from 0 up"),
    ],
)
def test_truncation_and_interpolation_that_cannot_be(weights, tmp_path, error_of, options, message):
    assert message in error_of(lambda: generate(weights, tmp_path / "faces", **options))
    assert not (tmp_path / "faces").exists()
