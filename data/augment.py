"""Random changes to pictures on the device, a whole batch at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

DRAWS = 18  # uniform numbers that `augment` needs for each picture
CHANNEL_ORDERS = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
NOISE_OFFSETS = 64  # places, down as across, where a picture's noise is cut from


@dataclass(frozen=True)
class Augmentation:
    """How far images are changed at random, each by itself. Digits are never mirrored: they would be other signs."""

    shift: float = 0.1
    """Largest shift, as a share of the image's size."""
    rotation: float = 15.0
    """Largest rotation to either side, in degrees."""
    scale: float = 0.15
    """Largest change of size, as a share of it."""
    jitter: float = 0.4
    """Largest change of contrast, as a share of it, and of each channel's brightness."""
    inversion: float = 0.5
    """Probability of a negative."""
    permutation: float = 0.5
    """Probability that the colour channels are exchanged."""
    blur: float = 0.0
    """Largest weight of the mean over 5x5 pixels."""
    cutout: float = 0.0
    """Largest side of a square that is lost, as a share of the image's size."""
    noise: float = 0.0
    """Largest standard deviation of noise, images being in [-1, 1]."""


UNCHANGED = Augmentation(shift=0, rotation=0, scale=0, jitter=0, inversion=0, permutation=0)
WEAK = replace(UNCHANGED, shift=2 / 28)
ROUGH = Augmentation(blur=0.5, cutout=0.3, noise=0.05)
STRONG = Augmentation(shift=0.2, rotation=23.0, scale=0.25, blur=1.0, cutout=0.4, noise=0.1)
# By name, what the images of a batch undergo by turns. Digits are learnt slowly from strong augmentation alone.
AUGMENTATIONS = {"off": (UNCHANGED,), "weak": (WEAK,), "rough": (ROUGH,), "strong": (STRONG,), "mixed": (WEAK, STRONG)}


def augment(images: Tensor, draws: Tensor, limits: Augmentation) -> Tensor:
    """Changed images (N, 3, H, W) in [-1, 1], by `draws` (N, DRAWS) uniform in [0, 1) on the same device."""
    signed = 2 * draws - 1
    if limits.shift or limits.rotation or limits.scale:
        images = move(images, signed[:, 0:4], limits)
    if limits.jitter:
        images = recolour(images, signed[:, 4:8], limits)
    if limits.inversion:
        images = torch.where((draws[:, 8] < limits.inversion)[:, None, None, None], -images, images)
    if limits.permutation:
        images = permute_channels(images, draws[:, 9] < limits.permutation, draws[:, 10])
    if limits.blur:
        images = blur(images, limits.blur * draws[:, 11])
    if limits.cutout:
        images = cut_out(images, draws[:, 12:15], limits)
    if limits.noise:
        images = add_noise(images, draws[:, 15:18], limits)
    return images


def augment_by_turns(images: Tensor, draws: Tensor, kinds: Sequence[Augmentation]) -> Tensor:
    """Images (N, 3, H, W), the i-th changed by kind i modulo their number, by `draws` (N, DRAWS)."""
    changed = torch.empty_like(images)
    for turn, limits in enumerate(kinds):
        mine = slice(turn, None, len(kinds))
        changed[mine] = augment(images[mine], draws[mine], limits)
    return changed


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
    orders = _channel_orders(images.device)
    order = orders[torch.where(permuted, (len(orders) * draws).long(), 0)]
    return images.gather(1, order[:, :, None, None].expand_as(images))


@lru_cache
def _channel_orders(device: torch.device) -> Tensor:
    """All orders of three channels (6, 3); kept on the device, for a copy to a GPU makes it wait."""
    return torch.tensor(CHANNEL_ORDERS, device=device)


def blur(images: Tensor, shares: Tensor) -> Tensor:
    """Images mixed, by `shares` (N,) in [0, 1], with their means over 5x5 pixels, fewer at the edges."""
    rows, columns = (_means_of_five(size, images.device) for size in images.shape[2:])
    return torch.lerp(images, rows @ images @ columns.T, shares[:, None, None, None])


@lru_cache
def _means_of_five(size: int, device: torch.device) -> Tensor:
    """The matrix (size, size) that makes pixels of a line their means; two such products outrun pooling."""
    places = torch.arange(size)
    near = ((places[:, None] - places).abs() <= 2).float()
    return (near / near.sum(1, keepdim=True)).to(device)


def cut_out(images: Tensor, draws: Tensor, limits: Augmentation) -> Tensor:
    """Images with a square of gray, its side and its centre by `draws` (N, 3), partly outside where it falls so.

    (DeVries, Taylor, *Improved Regularization of Convolutional Neural Networks with Cutout*, 2017, section 3.)
    """
    half = limits.cutout / 2 * draws[:, :1]

    def outside(size: int, centres: Tensor) -> Tensor:
        return ((torch.arange(size, device=images.device) + 0.5) / size - centres).abs() >= half

    down, across = outside(images.shape[2], draws[:, 1:2]), outside(images.shape[3], draws[:, 2:3])
    return images * (down[:, None, :, None] | across[:, None, None, :])


def add_noise(images: Tensor, draws: Tensor, limits: Augmentation) -> Tensor:
    """Images with normal noise, kept in [-1, 1], its deviation and where it is cut from by `draws` (N, 3)."""
    windows = _noise(*images.shape[1:], images.device)
    top, left = (NOISE_OFFSETS * draws[:, 1:]).long().unbind(1)
    noise = windows[:, top, left].transpose(0, 1)
    return (images + (limits.noise * draws[:, 0])[:, None, None, None] * noise).clamp(-1, 1)


@lru_cache
def _noise(channels: int, height: int, width: int, device: torch.device) -> Tensor:
    """Standard normal noise, always the same: (channels, 64, 64, height, width), windows at 64 x 64 offsets of one.

    Cutting a picture's noise from a stored one takes less than drawing it, and two numbers say which it was.
    """
    shape = (channels, height + NOISE_OFFSETS - 1, width + NOISE_OFFSETS - 1)
    stored = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)
    return stored.unfold(1, height, 1).unfold(2, width, 1)
