"""Losses against formulas in NumPy."""

import math

import numpy as np
import pytest
import torch

from models import adversarial

REAL = torch.tensor([[0.3], [-2.0], [5.0]])
FAKE = torch.tensor([[-0.7], [1.5], [0.0]])


def cross_entropy(logits, labels):
    probability = 1 / (1 + np.exp(-logits.double().numpy()))
    labels = np.asarray(labels, float)
    return -np.mean(labels * np.log(probability) + (1 - labels) * np.log(1 - probability))


def test_cross_entropy_losses():
    real_labels, fake_labels = torch.tensor([[1.0], [0.9], [0.2]]), torch.tensor([[0.0], [0.1], [0.33]])
    loss = adversarial.bce_discriminator_loss(REAL, FAKE, real_labels, fake_labels)
    assert loss.item() == pytest.approx(cross_entropy(REAL, real_labels) + cross_entropy(FAKE, fake_labels), rel=1e-5)
    assert adversarial.bce_generator_loss(FAKE).item() == pytest.approx(cross_entropy(FAKE, np.ones((3, 1))), rel=1e-5)


def test_hinge_and_wasserstein_losses():
    real, fake = REAL.numpy(), FAKE.numpy()
    hinge = np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + fake).mean()
    assert adversarial.hinge_discriminator_loss(REAL, FAKE).item() == pytest.approx(hinge)
    difference = fake.mean() - real.mean()
    assert adversarial.wasserstein_discriminator_loss(REAL, FAKE).item() == pytest.approx(difference)
    assert adversarial.critic_generator_loss(FAKE).item() == pytest.approx(-fake.mean())


@pytest.mark.parametrize("loss", ["bce", "hinge", "wasserstein"])
def test_losses_fall_as_the_discriminator_is_right(loss):
    wrong, right = -3 * torch.ones(2, 1), 3 * torch.ones(2, 1)
    labels = (torch.ones(2, 1), torch.zeros(2, 1)) if loss == "bce" else ()
    compute = getattr(adversarial, f"{loss}_discriminator_loss")
    assert compute(right, -right, *labels) < compute(wrong, -wrong, *labels)
    generator_loss = adversarial.bce_generator_loss if loss == "bce" else adversarial.critic_generator_loss
    assert generator_loss(right) < generator_loss(wrong)


def test_gradient_penalty_of_a_linear_discriminator():
    """D(x) = w·x has the gradient w everywhere: the penalty is (|w| - 1)², its gradient 2 (|w| - 1) w / |w|."""
    weight = torch.randn(3 * 4 * 4, requires_grad=True)
    real, fake = torch.randn(2, 5, 3, 4, 4)
    penalty = adversarial.gradient_penalty(lambda x: x.flatten(1) @ weight[:, None], real, fake, torch.rand(5))
    length = weight.detach().norm()
    torch.testing.assert_close(penalty, (length - 1) ** 2)
    penalty.backward()
    torch.testing.assert_close(weight.grad, 2 * (length - 1) * weight.detach() / length)


def test_gradient_penalty_is_taken_between_the_images_of_each_pair():
    """D(x) = |x|² / 2 has the gradient x."""
    real, fake = torch.randn(2, 5, 3, 4, 4)
    mixing = torch.tensor([0.0, 1.0, 0.3, 0.5, 0.9])
    penalty = adversarial.gradient_penalty(lambda x: x.flatten(1).square().sum(1) / 2, real, fake, mixing)
    between = [share * r + (1 - share) * f for share, r, f in zip(mixing, real, fake, strict=True)]
    expected = np.mean([(point.norm().item() - 1) ** 2 for point in between])
    assert penalty.item() == pytest.approx(expected, rel=1e-5)


def test_labels_are_drawn_from_their_range():
    uniform = torch.linspace(0, 1, 1001)[:, None]
    labels = adversarial.draw_labels(0.7, 1.03, uniform, clip=False)
    torch.testing.assert_close(labels[[0, 500, 1000], 0], torch.tensor([0.7, 0.865, 1.03]))
    clipped = adversarial.draw_labels(0.7, 1.03, uniform, clip=True)
    assert clipped.max() == 1
    assert torch.equal(clipped, labels.clamp(max=1))
    assert torch.equal(adversarial.draw_labels(1.0, 1.0, uniform, clip=True), torch.ones(1001, 1))


def test_flips_exchange_the_labels_of_the_chosen_images():
    real, fake = torch.tensor([[1.0], [0.9], [0.8]]), torch.tensor([[0.0], [0.1], [0.2]])
    flipped = adversarial.flip_labels(real, fake, torch.tensor([[False], [True], [False]]))
    assert torch.equal(flipped[0], torch.tensor([[1.0], [0.1], [0.8]]))
    assert torch.equal(flipped[1], torch.tensor([[0.0], [0.9], [0.2]]))


def test_r1_penalty_is_taken_at_the_real_images():
    """D(x) = |x|²/2 has the gradient x, so that the penalty is |x|²; that of D's scale is differentiable."""
    real = torch.randn(5, 3, 4, 4, requires_grad=True)
    scale = torch.tensor(2.0, requires_grad=True)
    penalty = adversarial.r1_penalty(scale * real.flatten(1).square().sum(1, keepdim=True) / 2, real)
    expected = real.detach().flatten(1).square().sum(1).mean()
    torch.testing.assert_close(penalty, 4 * expected)
    penalty.backward()
    torch.testing.assert_close(scale.grad, 4 * expected)


def test_the_relativistic_loss_by_hand():
    real, fake = torch.tensor([[1.0, -2.0], [0.5, 0.0]]), torch.tensor([[0.0, 1.0], [0.5, 2.0]])
    margins = [1.0, -3.0, 0.0, -2.0]  # of real ahead of fake
    expected = sum(math.log(1 + math.exp(-margin)) for margin in margins) / 4
    assert adversarial.relativistic_loss(real, fake).item() == pytest.approx(expected, rel=1e-5)
    expected = sum(math.log(1 + math.exp(margin)) for margin in margins) / 4
    assert adversarial.relativistic_loss(fake, real).item() == pytest.approx(expected, rel=1e-5)
    assert adversarial.relativistic_loss(real, real).item() == pytest.approx(math.log(2), rel=1e-5)


def test_relativistic_gradients_are_those_of_differences():
    real, fake = (torch.randn(3, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(adversarial.relativistic_loss, (real, fake))
    adversarial.relativistic_loss(real, fake).backward()
    torch.testing.assert_close(fake.grad, torch.sigmoid(fake - real).detach() / 6)
    torch.testing.assert_close(real.grad, -fake.grad)


def test_the_penalty_is_per_logit_and_image():
    """Two logits an image, 3 and 5 times the sum of its 4 pixels: the gradient of their sum is 8 everywhere."""
    judged = torch.randn(2, 1, 2, 2, requires_grad=True)
    sums = judged.flatten(1).sum(1, keepdim=True)
    penalty = adversarial.per_logit_penalty(torch.cat([3 * sums, 5 * sums], 1), judged)
    assert penalty.item() == pytest.approx(4 * 8**2 / 2)


def test_the_penalty_can_be_trained_on():
    torch.manual_seed(0)
    judged = torch.randn(3, 2, 4, 4, dtype=torch.float64, requires_grad=True)

    def penalty(first, second):
        hidden = torch.nn.functional.softplus(torch.nn.functional.conv2d(judged, first, padding=1))
        return adversarial.per_logit_penalty(torch.nn.functional.conv2d(hidden, second).flatten(1), judged)

    weights = [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((3, 2, 3, 3), (1, 3, 3, 3))]
    assert torch.autograd.gradcheck(penalty, weights)
