"""Random changes to pictures on the device, a whole batch at once."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

DRAWS = 11  # uniform numbers that `augment` needs for each picture
CHANNEL_ORDERS = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]


@dataclass
class Augmentation:
    """How far pictures are changed at random, each by itself."""

    shift: float = 0.1
    """Largest shift of an augmented picture, as a share of its size."""
    rotation: float = 15.0
    """Largest rotation of an augmented picture to either side, in degrees."""
    scale: float = 0.15
    """Largest change of an augmented picture's size, as a share of it."""
    jitter: float = 0.4
    """Largest change of an augmented picture's contrast, as a share of it, and of each channel's brightness."""
    inversion: float = 0.5
    """Probability that an augmented picture is a negative."""
    permutation: float = 0.5
    """Probability that an augmented picture's colour channels are exchanged."""


def augment(images: Tensor, draws: Tensor, limits: Augmentation) -> Tensor:
    """Changed images (N, 3, H, W) in [-1, 1], by `draws` (N, DRAWS) uniform in [0, 1) on the same device."""
    signed = 2 * draws - 1
    images = move(images, signed[:, 0:4], limits)
    images = recolour(images, signed[:, 4:8], limits)
    images = torch.where((draws[:, 8] < limits.inversion)[:, None, None, None], -images, images)
    return permute_channels(images, draws[:, 9] < limits.permutation, draws[:, 10])


def move(images: Tensor, draws: Tensor, limits: Augmentation) -> Tensor:
    """Images shifted, rotated and scaled, mirrored beyond their edges, by `draws` (N, 4) in [-1, 1)."""
    turn, size = torch.deg2rad(limits.rotation * draws[:, 2]), 1 + limits.scale * draws[:, 3]
    cosine, sine = turn.cos() / size, turn.sin() / size
    across, down = 2 * limits.shift * draws[:, 0], 2 * limits.shift * draws[:, 1]  # grid_sample's picture is 2 wide
    sources = torch.stack([cosine, -sine, across, sine, cosine, down], 1).unflatten(1, (2, 3))
    grid = affine_grid(sources, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def recolour(images: Tensor, draws: Tensor, limits: Augmentation) -> Tensor:
    """Images of other contrast and, by channel, brightness, kept in [-1, 1], by `draws` (N, 4) in [-1, 1)."""
    contrast, brightness = 1 + limits.jitter * draws[:, :1], limits.jitter * draws[:, 1:]
    return (images * contrast[:, :, None, None] + brightness[:, :, None, None]).clamp(-1, 1)


def permute_channels(images: Tensor, permuted: Tensor, draws: Tensor) -> Tensor:
    """Images (N, 3, H, W) with their channels, where `permuted` (N,) says so, in the order that `draws` (N,) choose."""
    orders = torch.tensor(CHANNEL_ORDERS, device=images.device)
    order = orders[torch.where(permuted, (len(orders) * draws).long(), 0)]
    return images.gather(1, order[:, :, None, None].expand_as(images))
