"""The networks' printouts, and what training and inference take of them."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from models import NETWORKS
from models.dann import dann, domain_loss
from models.digit_classifiers import DANN_NETWORKS, digit_classifier, network_parts


def conv(before, after, kernel, bias=True):
    return [(after, before, kernel, kernel)] + [(after,)] * bias


def linear(before, after, bias=True):
    return [(after, before)] + [(after,)] * bias


def norm(size):
    return [(size,), (size,)]


def dann28_shapes(first, second, kernel, hidden):
    size = second * 49
    return (
        [*conv(3, first, kernel), *conv(first, second, kernel), *norm(second)],
        [*linear(size, hidden), *linear(hidden, hidden), *norm(hidden), *linear(hidden, 10)],
        [*linear(size, hidden), *norm(hidden), *linear(hidden, 1)],
    )


def convolutions(channels):
    return [shape for before, after in pairwise([3, *channels]) for shape in (*conv(before, after, 3), *norm(after))]


FIVE_NORMED = [shape for _ in range(4) for shape in (*linear(512, 512), *norm(512))]
SHAPES = {
    "dann64": (
        convolutions([64, 128, 256, 512, 1024]),
        [*linear(1024, 1024), *linear(1024, 1024), *linear(1024, 10)],
        [*linear(1024, 1024), *linear(1024, 1024), *linear(1024, 1)],
    ),
    "dann28": dann28_shapes(32, 48, 3, 100),
    "dann28-no-dropout": dann28_shapes(32, 48, 3, 100),
    "dann28-wide": dann28_shapes(64, 128, 3, 200),
    "dann28-strided": dann28_shapes(32, 48, 3, 100),
    "dann28-linear": dann28_shapes(32, 48, 3, 400),
    "dann28-kernel5": dann28_shapes(32, 48, 5, 100),
    "dann32": (
        convolutions([64, 128, 256, 256, 512]),
        [*linear(512, 512), *linear(512, 512), *linear(512, 10)],
        [*FIVE_NORMED, *linear(512, 1)],
    ),
    "dann-cnn": (
        convolutions([64, 128, 256, 256, 512]),
        [*linear(512, 512), *linear(512, 10)],
        [*linear(512, 512), *norm(512), *linear(512, 1)],
    ),
    "dann-cnn-wide": (
        convolutions([64, 128, 256, 256, 512]),
        [*linear(2048, 512), *linear(512, 10)],
        [*linear(2048, 512), *norm(512), *linear(512, 1)],
    ),
    "dann-lenet": (
        [*conv(3, 32, 5), *norm(32), *conv(32, 48, 5), *norm(48)],
        [*linear(768, 384), *norm(384), *linear(384, 192), *norm(192), *linear(192, 10)],
        [*linear(768, 384), *norm(384), *linear(384, 2)],
    ),
    "dann-acgan": (
        [*conv(3, 28, 4, False), *conv(28, 56, 4, False), *norm(56), *conv(56, 112, 3, False), *norm(112)],
        linear(112 * 4 * 4, 10, False),
        linear(112 * 4 * 4, 1, False),
    ),
}


@pytest.mark.parametrize("name", DANN_NETWORKS)
def test_parameters_are_the_printed_ones(name):
    parts = network_parts(name)
    for module, expected in zip(
        (parts.feature_extractor, parts.label_classifier, parts.domain_classifier), SHAPES[name], strict=True
    ):
        assert [tuple(parameter.shape) for parameter in module.parameters()] == expected


@pytest.mark.parametrize("name", DANN_NETWORKS)
def test_own_picture_size_and_outputs(name):
    size = {"dann64": 64, "dann32": 32}.get(name, 28)
    network = NETWORKS[name](width=8)
    assert network.classifier.image_size == size
    seen = []
    network.classifier.feature_extractor.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    class_logits, domain_logits = network(torch.rand(4, 3, 28, 28) * 2 - 1, 0.5)
    assert seen == [(4, 3, size, size)]
    assert class_logits.shape == (4, 10) and domain_logits.shape == (4, 1)


@pytest.mark.parametrize("name", DANN_NETWORKS)
def test_inference_takes_a_part_of_what_was_trained(name):
    torch.manual_seed(0)
    network, images = dann(name, 8).eval(), torch.rand(3, 3, 28, 28) * 2 - 1
    alone = digit_classifier(name, 8).eval()
    alone.load_state_dict(network.classifier.state_dict())
    assert torch.equal(alone(images), network(images, 1.0)[0])
    assert type(NETWORKS[f"{name}-classifier"](width=8)) is type(alone)


@pytest.mark.parametrize("name", DANN_NETWORKS)
def test_one_step_changes_every_parameter(name):
    torch.manual_seed(0)
    network = dann(name, 8)
    before = {key: value.detach().clone() for key, value in network.named_parameters()}
    class_logits, domain_logits = network(torch.rand(16, 3, 28, 28) * 2 - 1, 1.0)
    (class_logits.square().sum() + domain_loss(domain_logits)[0]).backward()
    torch.optim.SGD(network.parameters(), 10).step()
    unchanged = [key for key, value in network.named_parameters() if torch.equal(value, before[key])]
    assert [key for key in unchanged if not shifts_nothing(network, key)] == []


def shifts_nothing(network, key):
    """Whether a parameter is a bias before batch norm, which takes it away, so that only rounding changes it."""
    path, _, kind = key.rpartition(".")
    layers, _, number = path.rpartition(".")
    following = network.get_submodule(layers)[int(number) + 1 :]
    return kind == "bias" and any(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) for layer in following[:1])


def test_the_acgans_discriminator_begins_as_a_dcgan():
    torch.manual_seed(0)
    parts = network_parts("dann-acgan", 64)
    for module in (*parts.feature_extractor, parts.label_classifier, parts.domain_classifier):
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.05) and module.weight.mean().abs() < 1e-3
        elif isinstance(module, nn.BatchNorm2d):
            assert module.weight.mean().item() == pytest.approx(1, abs=0.01)
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.2) and not module.bias.any()


def test_wide_features_are_maps_of_2x2():
    features = network_parts("dann-cnn-wide", 8).feature_extractor[:-1]
    assert features(torch.zeros(2, 3, 28, 28)).shape == (2, 64, 2, 2)


def test_the_variants_of_dann28():
    dropped = {name: [type(layer) for layer in network_parts(name).feature_extractor] for name in DANN_NETWORKS}
    assert nn.Dropout2d in dropped["dann28"] and nn.Dropout2d not in dropped["dann28-no-dropout"]
    convolutions = [
        layer for layer in network_parts("dann28-strided").feature_extractor if isinstance(layer, nn.Conv2d)
    ]
    assert [layer.stride for layer in convolutions] == [(2, 2), (2, 2)]
    assert nn.MaxPool2d not in dropped["dann28-strided"]
