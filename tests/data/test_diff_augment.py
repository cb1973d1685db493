"""Augmentation of what discriminators see: differentiable, and the same for real and generated images."""

import pytest
import torch

from data.diff_augment import DRAWS, diff_augment


@pytest.fixture
def images():
    return torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def draws():
    return torch.rand(6, DRAWS, generator=torch.Generator().manual_seed(1))


def test_middling_draws_change_nothing(images):
    torch.testing.assert_close(diff_augment(images, torch.full((6, DRAWS), 0.5)), images, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("place", "draw", "expected"),
    [
        (0, 0.9, lambda x: x + 0.4),
        (1, 0.0, lambda x: x.mean(1, keepdim=True).expand_as(x)),
        (1, 0.75, lambda x: x.mean(1, keepdim=True) + 1.5 * (x - x.mean(1, keepdim=True))),
        (2, 0.0, lambda x: (x + x.mean((1, 2, 3), keepdim=True)) / 2),
        (3, 0.0, lambda x: torch.cat([x[:, :, 2:], torch.zeros(6, 3, 2, 16)], 2)),  # up by an eighth
        (4, 0.99, lambda x: torch.cat([torch.zeros(6, 3, 16, 2), x[..., :-2]], 3)),  # to the right by an eighth
    ],
    ids=["brightness", "gray", "saturation", "contrast", "up", "right"],
)
def test_each_change_by_hand(images, place, draw, expected):
    draws = torch.full((6, DRAWS), 0.5)
    draws[:, place] = draw
    torch.testing.assert_close(diff_augment(images, draws), expected(images), atol=1e-6, rtol=1e-6)


def test_every_shift_is_as_frequent():
    image = torch.zeros(1, 3, 16, 16)
    image[..., 8, 8] = 1.0
    draws = torch.full((500, DRAWS), 0.5)
    draws[:, 4] = torch.linspace(0, 0.9999, 500)
    columns = diff_augment(image.expand(500, -1, -1, -1), draws)[:, 0, 8].argmax(1)
    assert columns.bincount()[6:11].tolist() == [100] * 5


def test_real_and_generated_images_go_through_alike(images, draws):
    both = diff_augment(torch.cat([images, images.flip(0)]), torch.cat([draws, draws.flip(0)]))
    torch.testing.assert_close(both[:6], both[6:].flip(0))
    torch.testing.assert_close(diff_augment(images[2:4], draws[2:4]), both[2:4])  # each by its own draws alone
    assert not torch.allclose(both[:6], images, atol=0.1)


def test_gradients_go_through_to_the_images(images, draws):
    small = images[:2, :, :8, :8].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: diff_augment(x, draws[:2].double()), small)
