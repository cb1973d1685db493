"""DSN: its losses against their formulas in numpy, and what its parts see."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from models.digit_classifiers import DANN_NETWORKS
from models.dsn import (
    DSN,
    DSNOutput,
    difference_loss,
    dsn_classifier,
    dsn_loss,
    reconstruction_loss,
    reported_difference_loss,
    reported_reconstruction_loss,
)


@pytest.fixture
def pictures():
    random = np.random.RandomState(0)
    return random.randn(5, 3, 4, 4), random.randn(5, 3, 4, 4)


@pytest.fixture
def features():
    random = np.random.RandomState(1)
    return random.randn(6, 7) + 2, random.randn(6, 7) - 1


def value(loss, arrays):
    return loss(*map(torch.from_numpy, arrays)).item()


def test_scale_invariant_error(pictures):
    decoded, images = pictures
    terms = []
    for one, other in zip(decoded, images, strict=True):
        error, k = (one - other).ravel(), one.size
        terms.append((error @ error) / k - error.sum() ** 2 / k**2)
    assert value(reconstruction_loss, pictures) == pytest.approx(np.mean(terms))
    assert value(reconstruction_loss, (images + 0.7, images)) == pytest.approx(0, abs=1e-12)


def test_reported_reconstruction_adds_its_second_term(pictures):
    error = (pictures[0] - pictures[1]).ravel()
    n = error.size
    assert value(reported_reconstruction_loss, pictures) == pytest.approx(
        (error**2).sum() / n + error.sum() ** 2 / n**2
    )
    images = pictures[1]
    assert value(reported_reconstruction_loss, (images + 0.7, images)) == pytest.approx(2 * 0.49)


def correlations(private, shared):
    private = private / np.sqrt((private**2).sum(1, keepdims=True))
    shared = shared / np.sqrt((shared**2).sum(1, keepdims=True))
    return np.array([[private[:, i] @ shared[:, j] for j in range(shared.shape[1])] for i in range(private.shape[1])])


def test_difference_of_centred_features(features):
    private, shared = features
    expected = (correlations(private - private.mean(0), shared - shared.mean(0)) ** 2).mean()
    assert value(difference_loss, features) == pytest.approx(expected)
    assert value(difference_loss, (private + 5, shared - 3)) == pytest.approx(expected)  # means do not matter


def test_reported_difference_is_not_centred(features):
    assert value(reported_difference_loss, features) == pytest.approx((correlations(*features) ** 2).mean(), rel=1e-5)


def test_reported_difference_takes_lengths_as_given(features):
    """With P and S the rows by their lengths and C = P^T S, the loss |C|^2 / F^2 has the gradient 2 S C^T / F^2 for P.

    The length is constant: the gradient for the features is that for P over their length.
    """
    private, shared = (torch.from_numpy(part).requires_grad_() for part in features)
    reported_difference_loss(private, shared).backward()
    lengths = [np.linalg.norm(part, axis=1, keepdims=True) + 1e-6 for part in features]
    p, s = (part / length for part, length in zip(features, lengths, strict=True))
    c, size = p.T @ s, p.shape[1]
    assert private.grad.numpy() == pytest.approx(2 * s @ c.T / size**2 / lengths[0])
    assert shared.grad.numpy() == pytest.approx(2 * p @ c / size**2 / lengths[1])


def test_difference_of_the_paper_has_the_gradient_of_its_value(features):
    """Through means and lengths alike."""
    assert torch.autograd.gradcheck(difference_loss, [torch.from_numpy(part).requires_grad_() for part in features])


def test_orthogonal_features_differ():
    private, shared = torch.zeros(8, 4), torch.zeros(8, 4)
    private[:4, 0], private[4:, 0] = 1, -1
    shared[::2, 1], shared[1::2, 1] = 1, -1
    assert difference_loss(private, shared) == 0
    assert difference_loss(private, private) > 0


def test_parameters_are_the_printed_ones():
    network = DSN()
    encoder = [tuple(value.shape) for value in network.classifier.feature_extractor.parameters()]
    assert encoder[0] == (64, 3, 3, 3) and encoder[-4] == (512, 256, 3, 3)
    for private in (network.private_source_encoder, network.private_target_encoder):
        assert [tuple(value.shape) for value in private.parameters()] == encoder
    kernels = [tuple(value.shape) for value in network.decoder.parameters() if value.dim() == 4]
    channels = [1024, 512, 256, 128, 64, 3]
    assert kernels == [(before, after, 4, 4) for before, after in pairwise(channels)]
    heads = [network.classifier.label_classifier, network.domain_classifier]
    matrices = [[tuple(value.shape) for value in head.parameters() if value.dim() == 2] for head in heads]
    assert matrices == [[(512, 512), (10, 512)], [(512, 512), (1, 512)]]


@pytest.mark.parametrize("name", DANN_NETWORKS)
def test_outputs(name):
    torch.manual_seed(0)
    network, images = DSN(name, 8).eval(), torch.rand(4, 3, 28, 28) * 2 - 1
    output = network(images, 0.1)
    assert output.class_logits.shape == (4, 10) and output.domain_logits.shape == (4, 1)
    assert output.shared.shape == output.private.shape
    assert output.decoded.shape == (4, 3, 32, 32)
    alone = dsn_classifier(name, 8).eval()
    alone.load_state_dict(network.classifier.state_dict())
    assert torch.equal(alone(images), output.class_logits)


def test_each_domain_has_its_private_encoder():
    torch.manual_seed(0)
    network, images = DSN(width=8).eval(), torch.rand(4, 3, 28, 28) * 2 - 1
    before = network(images).private
    with torch.no_grad():
        network.private_target_encoder[0].weight.add_(0.1)
    after = network(images).private
    assert torch.equal(before[:2], after[:2]) and not torch.equal(before[2:], after[2:])


def test_reconstructions_show_what_each_feature_restores():
    torch.manual_seed(0)
    network, images = DSN(width=8).eval(), torch.rand(4, 3, 32, 32) * 2 - 1
    original, both, shared, private = network.reconstructions(images).unbind(1)
    assert torch.equal(original, images)
    output = network(images)
    nothing = torch.zeros_like(output.shared)
    for shown, pair in (
        (both, (output.shared, output.private)),
        (shared, (output.shared, nothing)),
        (private, (nothing, output.private)),
    ):
        assert torch.allclose(shown, network.decode(*pair), atol=1e-5)


def cross_entropy_of(logits, labels):
    return np.mean(np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(labels)), labels])


def reconstruction_of(decoded, images, reported):
    errors = (decoded - images).reshape(len(images), -1)
    if reported:
        return (errors**2).mean() + errors.mean() ** 2
    return ((errors**2).mean(1) - errors.mean(1) ** 2).mean()


def difference_of(private, shared, reported):
    if not reported:
        private, shared = private - private.mean(0), shared - shared.mean(0)
    private, shared = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (private, shared))
    return ((private.T @ shared) ** 2).mean()


@pytest.mark.parametrize("reported", [False, True])
def test_dsn_loss_is_the_weighted_sum_over_both_domains(reported):
    random = np.random.RandomState(0)
    labels, images = np.array([3, 0, 7]), random.randn(6, 3, 32, 32)
    output = DSNOutput(
        class_logits=random.randn(6, 10),
        domain_logits=random.randn(6, 1),
        shared=random.randn(6, 5) + 2,
        private=random.randn(6, 5) - 1,
        decoded=random.randn(6, 3, 32, 32) + 0.5,
    )
    tensors = DSNOutput(*map(torch.from_numpy, output))
    loss, values = dsn_loss(tensors, torch.from_numpy(images), torch.from_numpy(labels), 0.3, 0.07, reported)

    class_loss = cross_entropy_of(output.class_logits[:3], labels)
    domain_loss = np.logaddexp(0, output.domain_logits * [[1], [1], [1], [-1], [-1], [-1]]).mean()
    halves = slice(3), slice(3, 6)
    reconstruction = sum(reconstruction_of(output.decoded[half], images[half], reported) for half in halves)
    difference = sum(difference_of(output.private[half], output.shared[half], reported) for half in halves)
    assert values["reconstruction_loss"].item() == pytest.approx(reconstruction, rel=1e-4)
    assert values["difference_loss"].item() == pytest.approx(difference, rel=1e-4)
    expected = class_loss + domain_loss + 0.3 * reconstruction + 0.07 * difference
    assert loss.item() == pytest.approx(expected, rel=1e-5)
