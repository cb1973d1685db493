"""Differentiable augmentation: Zhao et al., *Differentiable Augmentation for Data-Efficient GAN Training*, 2020."""

import torch
from torch import Tensor

DRAWS = 5  # uniform numbers that `diff_augment` needs for each image
TRANSLATION = 1 / 8  # the largest, as a share of the image's size


def diff_augment(images: Tensor, draws: Tensor) -> Tensor:
    """Images (N, C, H, W) in [-1, 1], colours changed and moved, by `draws` (N, DRAWS) uniform in [0, 1).

    Brightness changes by up to 0.5, saturation by a factor of 0 to 2, contrast of 0.5 to 1.5; then the image is moved
    by whole pixels, up to an eighth of its size, and filled up with 0 (section 3.3). Real and generated images must go
    through it alike, and gradients go through it to the generator. The result may leave [-1, 1].
    """
    brightness, saturation, contrast = (draws[:, index, None, None, None] for index in range(3))
    images = images + (brightness - 0.5)
    gray = images.mean(1, keepdim=True)
    images = torch.lerp(gray, images, 2 * saturation)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = torch.lerp(mean, images, contrast + 0.5)
    down, across = (_translation(size, draws[:, 3 + axis]) for axis, size in enumerate(images.shape[2:]))
    return down[:, None] @ images @ across[:, None].transpose(2, 3)


def _translation(size: int, draws: Tensor) -> Tensor:
    """Matrices (N, size, size) that move lines of `size` pixels: products with them outrun indexing, both ways."""
    largest = int(size * TRANSLATION)
    shifts = (draws * (2 * largest + 1)).floor() - largest
    places = torch.arange(size, device=draws.device)
    return (places[:, None] - places == shifts[:, None, None]).to(draws.dtype)
