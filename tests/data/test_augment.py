"""Random changes of pictures, each against what it should do to a picture that shows it."""

import pytest
import torch

from data.augment import (
    AUGMENTATIONS,
    DRAWS,
    Augmentation,
    add_noise,
    augment,
    augment_by_turns,
    blur,
    cut_out,
    move,
    permute_channels,
    recolour,
)

NOTHING = Augmentation(shift=0, rotation=0, scale=0, jitter=0, inversion=0, permutation=0)


@pytest.fixture
def images():
    return torch.rand(6, 3, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def draws():
    return torch.rand(6, DRAWS, generator=torch.Generator().manual_seed(1))


def test_no_change_without_limits(images, draws):
    assert torch.allclose(augment(images, draws, NOTHING), images, atol=1e-5)


def test_the_draws_decide_each_picture_by_itself(images, draws):
    changed = augment(images, draws, Augmentation())
    assert changed.shape == images.shape and changed.abs().max() <= 1
    assert torch.allclose(augment(images[2:4], draws[2:4], Augmentation()), changed[2:4], atol=1e-6)
    assert not torch.allclose(augment(images, draws.flip(0), Augmentation()), changed, atol=0.1)


def test_shift(images):
    draw = torch.tensor([[1.0, 0, 0, 0]])
    shifted = move(images[:1], draw, Augmentation(shift=2 / 28, rotation=0, scale=0))
    assert torch.allclose(shifted[..., :-2], images[:1, ..., 2:], atol=1e-5)


def test_shift_down(images):
    shifted = move(images[:1], torch.tensor([[0, -1.0, 0, 0]]), Augmentation(shift=2 / 28, rotation=0, scale=0))
    assert torch.allclose(shifted[..., 2:, :], images[:1, ..., :-2, :], atol=1e-5)
    assert torch.allclose(shifted[..., :2, :], images[:1, ..., :2, :].flip(2), atol=1e-5)  # mirrored beyond the edge


def test_rotation(images):
    turned = move(images[:1], torch.tensor([[0, 0, 1.0, 0]]), Augmentation(shift=0, rotation=90, scale=0))
    assert torch.allclose(turned, images[:1].rot90(1, (2, 3)), atol=1e-4)


def test_scale():
    square = torch.full((1, 3, 28, 28), -1.0)
    square[..., 9:19, 9:19] = 1  # 100 of the pixels
    larger = move(square, torch.tensor([[0, 0, 0, 1.0]]), Augmentation(shift=0, rotation=0, scale=0.5))
    assert ((larger + 1) / 2).sum(dtype=torch.float64) / 3 == pytest.approx(225, rel=0.05)


def test_colours(images):
    brighter = recolour(0.1 * images[:1], torch.tensor([[0, 1.0, 0, -1]]), Augmentation(jitter=0.5))
    assert torch.allclose(
        brighter - 0.1 * images[:1], torch.tensor([0.5, 0, -0.5])[:, None, None].expand(3, 28, 28), atol=1e-6
    )
    contrasty = recolour(0.1 * images[:1], torch.tensor([[1.0, 0, 0, 0]]), Augmentation(jitter=0.5))
    assert torch.allclose(contrasty, 0.15 * images[:1])
    assert recolour(images, torch.ones(6, 4), Augmentation(jitter=0.5)).abs().max() == 1


def test_negatives_as_often_as_asked(images):
    draws = torch.rand(6, DRAWS)
    draws[:, 8] = torch.tensor([0.1, 0.29, 0.3, 0.5, 0.9, 0.2])
    changed = augment(images, draws, Augmentation(0, 0, 0, 0, inversion=0.3, permutation=0))
    signs = torch.tensor([-1, -1, 1, 1, 1, -1])[:, None, None, None]
    assert torch.allclose(changed, signs * images, atol=1e-5)


def test_channels_are_exchanged_where_asked(images):
    order = permute_channels(images, torch.tensor([True] * 5 + [False]), torch.tensor([0, 0.2, 0.4, 0.6, 0.99, 0.99]))
    expected = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 1, 0], [0, 1, 2]]
    assert all(torch.equal(order[index], images[index, channels]) for index, channels in enumerate(expected))


def test_blur_is_a_mean_over_five_pixels(images):
    means = torch.nn.functional.avg_pool2d(images, 5, 1, 2, count_include_pad=False)
    blurred = blur(images, torch.tensor([0.0, 1, 0.5, 0, 0, 0]))
    assert torch.equal(blurred[0], images[0])
    assert torch.allclose(blurred[1], means[1], atol=1e-6)
    assert torch.allclose(blurred[2], (images[2] + means[2]) / 2, atol=1e-6)


def test_every_change_has_draws_of_its_own(images, draws):
    """All of them, one after the other, each by the numbers that are its."""
    signed, limits = 2 * draws - 1, AUGMENTATIONS["strong"][0]
    expected = recolour(move(images, signed[:, 0:4], limits), signed[:, 4:8], limits)
    expected = expected * torch.where(draws[:, 8] < 0.5, -1, 1)[:, None, None, None]
    expected = permute_channels(expected, draws[:, 9] < 0.5, draws[:, 10])
    expected = cut_out(blur(expected, 1.0 * draws[:, 11]), draws[:, 12:15], limits)
    expected = add_noise(expected, draws[:, 15:18], limits)
    assert torch.allclose(augment(images, draws, limits), expected, atol=1e-6)


def test_cutout_is_a_gray_square():
    draws = torch.tensor([[1.0, 0.5, 0.25], [0.5, 0, 0], [0, 0.5, 0.5]])
    gray = (cut_out(torch.ones(3, 3, 28, 28), draws, Augmentation(cutout=0.5)) == 0).all(1)
    expected = torch.zeros(28, 28, dtype=torch.bool)
    expected[7:21, 0:14] = True  # side 14, centre in the middle of the height and a quarter of the width
    assert torch.equal(gray[0], expected)
    assert gray[1, :3, :3].all() and gray[1].sum() in (9, 16)  # side 7, in the corner, all but a quarter outside
    assert not gray[2].any()


def test_noise_is_normal_and_another_for_each_picture():
    draws = torch.tensor([[1.0, 0.1, 0.1], [1.0, 0.5, 0.1], [0.5, 0.1, 0.1], [0, 0.9, 0.9]])
    noise = add_noise(torch.zeros(4, 3, 28, 28), draws, Augmentation(noise=0.1))
    assert noise[0].std().item() == pytest.approx(0.1, rel=0.1) and noise[0].mean().abs() < 0.01
    assert torch.allclose(noise[2], noise[0] / 2)
    assert torch.corrcoef(noise[:2].flatten(1))[0, 1].abs() < 0.1
    assert not noise[3].any()


def test_the_named_augmentations(images, draws):
    assert torch.equal(augment_by_turns(images, draws, AUGMENTATIONS["off"]), images)
    # Weak: a shift by at most two pixels, and nothing else.
    draws[0, :2] = torch.tensor([1.0, 0.5])
    weak = augment_by_turns(images, draws, AUGMENTATIONS["weak"])
    assert torch.allclose(weak[0, ..., :-2], images[0, ..., 2:], atol=1e-5)
    strong = augment_by_turns(images, draws, AUGMENTATIONS["strong"])
    assert strong.abs().max() <= 1 and not torch.allclose(strong, weak, atol=0.1)
    # Mixed: weak and strong by turns.
    mixed = augment_by_turns(images, draws, AUGMENTATIONS["mixed"])
    assert torch.equal(mixed[::2], weak[::2]) and torch.equal(mixed[1::2], strong[1::2])
