"""Gradient reversal, the domain loss, and the networks' printouts."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from models import NETWORKS
from models.dann import (
    DANN_NETWORKS,
    class_confusion,
    dann,
    dann_loss,
    digit_classifier,
    domain_loss,
    network_parts,
    ramp,
    reverse_gradient,
)


@pytest.mark.parametrize("strength", [0.0, 0.3, torch.tensor(2.0)])
def test_reversal_against_a_gradient_worked_out_by_hand(strength):
    # With f = w x and a domain logit d = v f, the loss d² / 2 has the gradients d f for v and d v x for w.
    x, w, v = 3.0, torch.tensor(0.5, requires_grad=True), torch.tensor(-2.0, requires_grad=True)
    features = w * x
    logit = v * reverse_gradient(features, strength)
    assert logit.item() == -3.0
    (logit**2 / 2).backward()
    assert v.grad.item() == -3.0 * 1.5
    assert w.grad.item() == pytest.approx(-float(strength) * (-3.0 * -2.0 * x))


def test_reversal_leaves_other_paths_alone():
    features = torch.randn(4, 3, requires_grad=True)
    (features.sum() + reverse_gradient(features, 0.5).sum()).backward()
    assert torch.allclose(features.grad, torch.full((4, 3), 0.5))


def test_domain_loss_and_accuracy():
    logits = torch.tensor([[-1.0], [2.0], [3.0], [0.5]])  # two of the source, two of the target
    loss, accuracy = domain_loss(logits)
    terms = [math.log(1 + math.exp(value)) for value in (-1.0, 2.0, -3.0, -0.5)]
    assert loss.item() == pytest.approx(sum(terms) / 4)
    assert accuracy.item() == 0.75


def test_class_confusion_against_the_formulas():
    """Jin et al. 2020, equations 3 to 7, written out in numpy."""
    logits = torch.randn(7, 4, generator=torch.Generator().manual_seed(0)) * 3
    p = np.exp(logits.double().numpy() / 2.5)
    p /= p.sum(1, keepdims=True)
    certainty = 1 + np.exp((p * np.log(p)).sum(1))
    weights = len(p) * certainty / certainty.sum()
    matrix = np.zeros((4, 4))
    for row, weight in zip(p, weights, strict=True):
        matrix += weight * np.outer(row, row)
    matrix /= matrix.sum(1, keepdims=True)
    confusion = (matrix.sum() - np.trace(matrix)) / 4
    assert class_confusion(logits).item() == pytest.approx(confusion, rel=1e-5)


def test_a_class_that_underflows_has_no_confusion():
    logits = torch.tensor([[300.0, 0.0, 0.0], [300.0, 0.0, 0.0]], requires_grad=True)
    loss = class_confusion(logits)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


def test_sure_predictions_are_not_confused():
    assert class_confusion(1000 * torch.eye(4)) < 1e-6
    assert class_confusion(torch.zeros(5, 4)).item() == pytest.approx(0.75)


def test_class_confusion_takes_certainty_as_given():
    """A change of the logits that keeps the pictures' certainty fixed is all that the gradient sees."""
    logits = torch.tensor([[5.0, 0.0, -1.0], [0.0, 1.0, -1.0], [1.0, 0.0, 2.0]], requires_grad=True)
    class_confusion(logits).backward()

    certainty = 1 + torch.special.entr((logits.detach() / 2.5).softmax(1)).sum(1).neg().exp()

    def fixed(values):
        p = (values / 2.5).softmax(1)
        matrix = p.T @ (p * certainty[:, None])
        return 1 - (matrix.diagonal() / matrix.sum(1)).mean()

    for place in ((0, 0), (1, 1), (2, 0)):
        nudge = torch.zeros(3, 3, dtype=torch.float64)
        nudge[place] = 1e-4
        values = logits.detach().double()
        slope = (fixed(values + nudge) - fixed(values - nudge)) / 2e-4
        assert logits.grad[place].item() == pytest.approx(slope.item(), rel=1e-3)


def test_ramp():
    assert ramp(0) == 0
    assert ramp(0.1) == pytest.approx(0.46212, abs=1e-5)  # tanh(1 / 2)
    assert ramp(1) == pytest.approx(1, abs=1e-4)


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
    "dann28-kernel5": dann28_shapes(32, 48, 5, 100),
    "dann28-strided": dann28_shapes(32, 48, 3, 100),
    "dann28-wide": dann28_shapes(64, 128, 3, 200),
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


def test_class_confusion_counts_by_its_weight():
    """Of the target's logits, the last of each batch; the source's have no part in it."""
    source, target, labels = torch.randn(3, 10), torch.randn(3, 10), torch.arange(3)
    domains = torch.randn(6, 1)
    without, values = dann_loss(torch.cat([source, target]), domains, labels)
    loss, _ = dann_loss(torch.cat([source, target]), domains, labels, 0.5)
    assert values["confusion"] == class_confusion(target)
    assert (loss - without).item() == pytest.approx(0.5 * class_confusion(target).item(), abs=1e-6)
