"""AdaMatch's mathematics against numbers worked out by hand, and where its gradients flow."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from models import adamatch
from models.adamatch import ClassThresholds, Views
from runtime.batch_norm import frozen_statistics

SOURCE = torch.tensor([[0.9, 0.1], [0.3, 0.7]])  # means 0.6 and 0.4, mean top probability 0.8
TARGET = torch.tensor([[0.8, 0.2], [0.4, 0.6], [0.6, 0.4], [0.6, 0.4]])  # means 0.6 and 0.4


def four(values):
    """Views of one row each: the source's weak and strong, the target's weak and strong."""
    return Views(*torch.tensor(values)[:, None])


def test_interpolated_logits_are_the_formula():
    together = four([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
    alone = torch.tensor([[0.0, 4.0]]), torch.tensor([[5.0, 0.0]])
    shares = torch.tensor([[[0.25, 0.5]], [[0.0, 0.75]]])
    mixed = adamatch.interpolate_logits(together, alone, shares)
    assert torch.cat(mixed).tolist() == [[0.25, 3.0], [5.0, 3.0], [5.0, 6.0], [7.0, 8.0]]


def test_gradients_flow_through_both_logits():
    together = Views(*torch.zeros(4, 1, 2, requires_grad=True).unbind())
    alone = torch.zeros(1, 2, requires_grad=True), torch.zeros(1, 2, requires_grad=True)
    shares = torch.tensor([[[0.25, 0.5]], [[0.0, 0.75]]])
    mixed = adamatch.interpolate_logits(together, alone, shares)
    gradients = torch.autograd.grad(torch.cat(mixed).sum(), [*together, *alone])
    assert torch.equal(torch.cat(gradients[:4]), torch.cat([*shares, torch.ones(2, 2)]))
    assert torch.equal(torch.cat(gradients[4:]), torch.cat([*(1 - shares)]))


def test_views_go_through_a_network_as_one_batch_and_the_source_also_alone():
    """Through a network whose batch norm makes both logits differ."""
    random = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    images = torch.randn(10, 4, generator=random)
    views = Views(*images.split([3, 3, 2, 2]))
    together, alone = network(images), network(images[:6])
    assert (together[:6] - alone).abs().max() > 0.01
    logits = views.through(network)
    assert [len(view) for view in logits] == [3, 3, 2, 2]
    assert torch.equal(torch.cat(logits), together)
    found = adamatch.source_alone(network, views)
    assert torch.equal(torch.cat(found), alone)
    # It is through these, too, that the network learns.
    (wanted,) = torch.autograd.grad(alone.pow(3).sum(), network[0].weight)
    torch.testing.assert_close(torch.autograd.grad(torch.cat(found).pow(3).sum(), network[0].weight)[0], wanted)


def test_alignment_by_hand():
    # Means of the target 0.5 and 0.5, of the source 0.6 and 0.4: the ratios are 1.2 and 0.8.
    target = torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    expected = torch.tensor([[0.9 / 1.1, 0.2 / 1.1], [0.3 / 0.9, 0.6 / 0.9]])
    assert torch.allclose(adamatch.align_distribution(target, SOURCE), expected)
    assert torch.allclose(adamatch.align_distribution(TARGET, SOURCE), TARGET)  # equal means change nothing
    never = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert torch.equal(adamatch.align_distribution(never, SOURCE), never)
    # With the exponent 1/2 the ratios are 6 and 4 to their roots, with 0 nothing changes.
    some = torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    odds = adamatch.align_distribution(some, SOURCE, 0.5)
    assert (odds[:, 0] / odds[:, 1]).tolist() == pytest.approx([3 * 1.5**0.5, 1.5**0.5 / 3])
    assert torch.allclose(adamatch.align_distribution(some, SOURCE, 0.0), some)


def test_relative_threshold_by_hand():
    assert adamatch.relative_threshold(SOURCE, 0.9).item() == pytest.approx(0.72)


def test_pseudo_labels_by_hand():
    found = adamatch.pseudo_label(SOURCE.log(), TARGET.log(), 0.75)
    assert found.threshold.item() == pytest.approx(0.6)
    assert found.labels.tolist() == [0, 1, 0, 0] and found.accepted[0]
    fixed = adamatch.pseudo_label(SOURCE.log(), TARGET.log(), 0.75, relative=False)
    assert fixed.threshold.item() == 0.75 and fixed.accepted.tolist() == [True, False, False, False]
    # 3 to 2 for the first class is 1 to 1 when the target's mean is made 1 to 2 where it was 3 to 4, say.
    source, target = torch.tensor([[0.2, 0.8]]), torch.tensor([[0.55, 0.45], [0.25, 0.75]])
    for alignment, labels in ((1.0, [1, 1]), (0.5, [1, 1]), (0.2, [0, 1]), (0.0, [0, 1])):
        found = adamatch.pseudo_label(source.log(), target.log(), 0.5, alignment, relative=False)
        assert found.labels.tolist() == labels


def test_classes_that_are_seldom_predicted_have_lower_thresholds():
    thresholds = ClassThresholds(2)
    assert thresholds.factors().tolist() == [1, 1]
    thresholds.update(torch.tensor([0.9, 0.1]))
    assert thresholds.shares.tolist() == pytest.approx([0.504, 0.496])
    thresholds.shares = torch.tensor([0.8, 0.2])
    assert thresholds.factors().tolist() == pytest.approx([1, 0.4])  # of an equal share, 0.5
    assert thresholds.factors(0.5).tolist() == pytest.approx([1, 0.4**0.5])
    assert list(thresholds.state_dict()) == ["shares"]
    # At 0.6 the first class is accepted from 0.6 on, the second from 0.45.
    target = torch.tensor([[0.55, 0.45], [0.61, 0.39], [0.45, 0.55]]).log()
    labelled = partial(adamatch.pseudo_label, SOURCE.log(), target, 0.6, alignment=0.0, relative=False)
    assert labelled().accepted.tolist() == [False, True, False]
    found = labelled(factors=torch.tensor([1, 0.75]))
    assert found.accepted.tolist() == [False, True, True] and found.threshold.item() == pytest.approx(0.6)


def test_losses_by_hand():
    weak, strong = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
    assert adamatch.source_loss(weak, strong, torch.tensor([0])).item() == pytest.approx(math.log(8) / 2)
    strong = torch.tensor([[0.5, 0.5], [0.25, 0.75], [0.9, 0.1]]).log()
    loss = adamatch.pseudo_label_loss(strong, torch.tensor([0, 0, 1]), torch.tensor([True, True, False]))
    assert loss.item() == pytest.approx(math.log(8) / 3)  # over all three, of which one is not accepted


def test_ramp_up_of_mu():
    ramp = adamatch.mu_ramp
    assert [ramp(progress) for progress in (0, 0.25, 0.5, 0.75, 1)] == pytest.approx([0, 0.5, 1, 1, 1])
    assert [ramp(progress, 0.2) for progress in (0, 0.05, 0.1, 0.2)] == pytest.approx([0, 0.1464466, 0.5, 1])
    assert [ramp(progress, 0) for progress in (0, 1)] == [1, 1]


def test_no_gradient_flows_through_what_makes_the_pseudo_labels():
    random = torch.Generator().manual_seed(0)
    logits = {
        name: (3 * torch.randn(6, 10, generator=random)).requires_grad_() for name in ("source", "weak", "strong")
    }
    found = adamatch.pseudo_label(logits["source"], logits["weak"], 1.0)
    assert not any(part.requires_grad for part in found)
    assert 0 < found.accepted.sum() < 6
    adamatch.pseudo_label_loss(logits["strong"], found.labels, found.accepted).backward()
    assert logits["source"].grad is None and logits["weak"].grad is None
    moved = logits["strong"].grad.abs().sum(1) > 0
    assert torch.equal(moved, found.accepted)


def test_statistics_are_frozen_and_the_batch_still_counts():
    norm = nn.BatchNorm1d(3)
    inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)) + 5
    before = {key: value.clone() for key, value in norm.state_dict().items()}
    with frozen_statistics(norm):
        outputs = norm(inputs)
    assert outputs.mean(0).abs().max() < 1e-5  # normalised by this batch
    assert all(torch.equal(before[key], value) for key, value in norm.state_dict().items())
    norm(inputs)
    assert not torch.equal(before["running_mean"], norm.running_mean)


def test_a_teacher_sees_weak_views_in_a_batch_of_their_own_and_stays_as_it_is():
    """Its batch norm normalises by them, without a trace; its dropout, as that of any average in use, is off."""
    random = torch.Generator().manual_seed(0)
    teacher = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)).eval()
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    views = Views(*torch.randn(10, 4, generator=random).split([3, 3, 2, 2]))
    source, target = adamatch.taught(teacher, views)
    hidden = teacher[0](torch.cat([views.source_weak, views.target_weak]))
    wanted = (hidden - hidden.mean(0)) / (hidden.var(0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(torch.cat([source, target]), wanted)
    assert len(source) == 3 and not source.requires_grad and not any(part.training for part in teacher.modules())
    assert all(torch.equal(before[key], value) for key, value in teacher.state_dict().items())
    hidden = teacher(views.source_weak)  # in use again, it normalises by its running statistics
    torch.testing.assert_close(hidden, teacher[0](views.source_weak) / (1 + 1e-5) ** 0.5)
    assert [len(view) for view in views.of_student().through(teacher)] == [3, 3, 0, 2]


def sure(*predictions):
    """Logits (N, 10) of pictures that are thought to be of a class with a probability."""
    probabilities = torch.stack([torch.full((10,), (1 - confidence) / 9) for _, confidence in predictions])
    for row, (label, confidence) in zip(probabilities, predictions, strict=True):
        row[label] = confidence
    return probabilities.log()


def test_adamatch_labels_by_weak_views_and_learns_of_strong_ones():
    """Of two pictures of the source and three of the target, worked by hand."""
    source_weak, source_strong = sure((3, 0.9), (4, 0.9)), sure((3, 0.5), (4, 0.4))
    target_weak = sure((7, 0.85), (2, 0.6), (1, 0.82))  # confident enough: above 0.9 x 0.9
    target_strong = sure((7, 0.2), (5, 0.99), (1, 0.3))
    logits = Views(source_weak, source_strong, target_weak, target_strong)
    for view in logits:
        view.requires_grad_()
    found = adamatch.pseudo_label(source_weak, target_weak, 0.9, alignment=0.0)
    loss, values = adamatch.adamatch_loss(logits, torch.tensor([3, 4]), found, torch.tensor(0.5))
    class_loss = -np.log([0.9, 0.9, 0.5, 0.4]).mean()
    pseudo_loss = -np.log([0.2, 0.3]).sum() / 3
    assert values["threshold"].item() == pytest.approx(0.81)
    assert values["mask_rate"].item() == pytest.approx(2 / 3)
    assert values["pseudo"].tolist() == pytest.approx([0, 1 / 3, 0, 0, 0, 0, 0, 1 / 3, 0, 0])
    assert values["source"].tolist() == [0, 0, 0, 0.5, 0.5, 0, 0, 0, 0, 0]
    assert values["class_loss"].item() == pytest.approx(class_loss)
    assert values["pseudo_loss"].item() == pytest.approx(pseudo_loss)
    assert loss.item() == pytest.approx(class_loss + 0.5 * pseudo_loss)
    # Each view learns from its own loss; the target's weak views, which give the labels, from none.
    loss.backward()
    assert target_weak.grad is None
    learning = [(view.grad.abs().sum(1) > 1e-6).tolist() for view in (source_weak, source_strong, target_strong)]
    assert learning == [[True, True], [True, True], [True, False, True]]
