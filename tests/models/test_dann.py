"""Gradient reversal, the domain loss, and class confusion."""

import math

import numpy as np
import pytest
import torch

from models.dann import class_confusion, dann_loss, domain_loss, lambda_ramp, reverse_gradient


@pytest.mark.parametrize("weight", [0.0, 0.3, torch.tensor(2.0)])
def test_reversal_against_a_gradient_worked_out_by_hand(weight):
    # With f = w x and a domain logit d = v f, the loss d² / 2 has the gradients d f for v and d v x for w.
    x, w, v = 3.0, torch.tensor(0.5, requires_grad=True), torch.tensor(-2.0, requires_grad=True)
    features = w * x
    logit = v * reverse_gradient(features, weight)
    assert logit.item() == -3.0
    (logit**2 / 2).backward()
    assert v.grad.item() == -3.0 * 1.5
    assert w.grad.item() == pytest.approx(-float(weight) * (-3.0 * -2.0 * x))


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
    assert lambda_ramp(0) == 0
    assert lambda_ramp(0.1) == pytest.approx(0.46212, abs=1e-5)  # tanh(1 / 2)
    assert lambda_ramp(1) == pytest.approx(1, abs=1e-4)


def test_class_confusion_counts_by_its_weight():
    """Of the target's logits, the last of each batch; the source's have no part in it."""
    source, target, labels = torch.randn(3, 10), torch.randn(3, 10), torch.arange(3)
    domains = torch.randn(6, 1)
    without, _ = dann_loss(torch.cat([source, target]), domains, labels)
    loss, values = dann_loss(torch.cat([source, target]), domains, labels, torch.tensor(0.5))
    assert values["confusion"] == class_confusion(target)
    assert (loss - without).item() == pytest.approx(0.5 * class_confusion(target).item(), abs=1e-6)
