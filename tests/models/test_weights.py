import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from models import NETWORKS
from models.generator import Generator
from models.weights import load_weights, save_weights, shrink, write_weights
from runtime.errors import UserError

ARGUMENTS = {
    "dcgan-generator": {"latent_size": 12, "width": 8, "bias": True},
    "dcgan-discriminator": {"width": 8, "spectral_norm": True},
    "pixelshuffle-generator": {"latent_size": 12, "width": 8},
    "sagan-generator": {"latent_size": 12, "width": 8},
    "sagan-discriminator": {"width": 8},
}


def make(name="dcgan-generator"):
    """A network after a call in training, so that its buffers are not the initial ones."""
    torch.manual_seed(0)
    network = NETWORKS[name](**ARGUMENTS[name])
    network(torch.randn(4, 12) if name.endswith("generator") else torch.randn(4, 3, 64, 64))
    return network


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_weights(path, make(), "dcgan-generator", ARGUMENTS["dcgan-generator"], {"recipe": "dcgan", "step": 7})
    return path


def test_equal_weights_are_equal_files(path, tmp_path):
    for number in range(8):  # the library orders the metadata of each file anew
        again = tmp_path / f"{number}.safetensors"
        save_weights(again, make(), "dcgan-generator", ARGUMENTS["dcgan-generator"], {"recipe": "dcgan", "step": 7})
        assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_network_comes_back_as_it_was(tmp_path, name):
    network, path = make(name), tmp_path / "a b" / "w.safetensors"
    save_weights(path, network, name, ARGUMENTS[name], {"recipe": "dcgan", "step": 7})
    loaded, about = load_weights(path, type(network))
    assert type(loaded) is type(network)
    assert about == {"recipe": "dcgan", "step": 7}
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    expected = network.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, expected[key]), key


def test_channels_last_weights_come_back_as_they_were(tmp_path):
    network = make().to(memory_format=torch.channels_last)
    save_weights(tmp_path / "w", network, "dcgan-generator", ARGUMENTS["dcgan-generator"], {})
    loaded, _ = load_weights(tmp_path / "w", Generator)
    assert torch.equal(loaded.layers[3].weight, network.layers[3].weight)


def test_shrinking_stores_halves_that_load_as_float32(path, tmp_path):
    small = tmp_path / "small.safetensors"
    shrink(path, small)
    assert small.stat().st_size < 0.6 * path.stat().st_size
    with safe_open(small, "pt") as file:
        assert file.get_tensor("layers.0.weight").dtype == torch.float16
        assert file.get_tensor("layers.1.num_batches_tracked").dtype == torch.int64
    network, about = load_weights(path, Generator)
    halved, about_halved = load_weights(small, Generator)
    assert about_halved == about
    for key, value in halved.state_dict().items():
        original = network.state_dict()[key]
        assert value.dtype == original.dtype
        assert torch.equal(value, original.half() if value.is_floating_point() else original)


def test_eight_bits_are_within_half_a_step_of_each_output_channel(path, tmp_path):
    tensors = dict(load_weights(path, Generator)[0].state_dict())
    tensors["layers.0.weight"][1] = 0  # a row without a scale
    tensors["layers.0.weight"][2] *= 4e-3 / tensors["layers.0.weight"][2].abs().max()  # below float16's normal numbers
    write_weights(path, tensors, "dcgan-generator", ARGUMENTS["dcgan-generator"], {"step": 7})
    shrink(path, tmp_path / "small", bits=8)
    assert (tmp_path / "small").stat().st_size < 0.35 * path.stat().st_size
    loaded, about = load_weights(tmp_path / "small", Generator)
    assert about == {"step": 7}
    for key, value in loaded.state_dict().items():
        original = tensors[key]
        assert value.dtype == original.dtype
        if original.dim() > 1:
            steps = (original.flatten(1).abs().amax(1) / 127).clamp(min=torch.finfo(torch.float16).tiny)
            error = (value - original).flatten(1).abs().amax(1)
            assert (error <= 0.51 * steps + 127 * 2**-11 * steps).all() and error.sum() > 0  # scales are float16
        else:
            assert torch.equal(value, original.half() if original.is_floating_point() else original)
    assert not loaded.layers[0].weight[1].any()


def test_scales_of_nothing_are_another_version(path, tmp_path):
    shrink(path, tmp_path / "small", bits=8)
    with safe_open(tmp_path / "small", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    del tensors["layers.0.weight"]
    save_file(tensors, path, metadata)
    with pytest.raises(UserError, match="does not fit the network dcgan-generator"):
        load_weights(path, Generator)


def write_metadata(path, **changes):
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = {**file.metadata(), **changes}
    save_file(tensors, path, {key: value for key, value in metadata.items() if value is not None})


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"no such weights file: .*none\.safetensors"):
        load_weights(tmp_path / "none.safetensors", Generator)


@pytest.mark.parametrize("content", ["empty", "text", "truncated", "pickle", "folder"])
def test_a_file_of_another_kind_is_an_error(path, content):
    match content:
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("not a safetensors file, whatever its name says")
        case "truncated":
            path.write_bytes(path.read_bytes()[:-100])
        case "pickle":
            torch.save(make(), path)
        case "folder":
            path = path.parent
    with pytest.raises(UserError, match=r"is no weights file .*: give a run's weights\.safetensors"):
        load_weights(path, Generator)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "resnet"}, "holds the network 'resnet', but a generator is needed"),
        (
            {"network": "dcgan-discriminator", "arguments": json.dumps({"width": 8})},
            "holds the network 'dcgan-discriminator', but a generator is needed",
        ),
        ({"network": None}, "holds the network None, but a generator is needed"),
        ({"network": "sagan-generator"}, "does not fit the network sagan-generator"),
        ({"arguments": json.dumps({"width": 16})}, "does not fit the network dcgan-generator"),
        ({"arguments": json.dumps({"depth": 3})}, "does not fit the network dcgan-generator"),
        ({"arguments": "no JSON"}, "does not fit the network dcgan-generator"),
        ({"arguments": None}, "does not fit the network dcgan-generator"),
    ],
)
def test_another_network_is_an_error(path, changes, message):
    write_metadata(path, **changes)
    with pytest.raises(UserError, match=message):
        load_weights(path, Generator)


def test_a_missing_tensor_is_an_error(path):
    with safe_open(path, "pt") as file:
        metadata, tensor = file.metadata(), file.get_tensor("layers.0.weight")
    save_file({"layers.0.weight": tensor}, path, metadata)
    with pytest.raises(UserError, match="does not fit the network"):
        load_weights(path, Generator)
