"""SAGAN: Zhang, Goodfellow, Metaxas, Odena, *Self-Attention Generative Adversarial Networks*, ICML 2019."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from models.dcgan import stage_widths
from models.generator import Generator, check_width


class SelfAttention(nn.Module):
    """Every position attends to all others; feature maps (N, channels, H, W) keep their shape (SAGAN, section 3).

    The result is added with weight `gamma`, which starts at 0, so the network first learns from its neighbourhood.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, 1)
        self.key = nn.Conv2d(channels, channels // 8, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        """`features + gamma * attention`, of the shape of `features` (N, channels, H, W)."""
        query, key, value = (
            projection(features).flatten(2).transpose(1, 2)  # (N, HW, C)
            for projection in (self.query, self.key, self.value)
        )
        attended = torch.softmax(query @ key.transpose(1, 2), dim=-1) @ value  # the paper does not scale the scores
        return features + self.gamma * attended.transpose(1, 2).reshape(features.shape)


class SAGANGenerator(Generator):
    """Latents (N, latent_size) to images (N, channels, size, size) in [-1, 1], with attention at 16x16 and 32x32.

    Spectral norm on every transposed convolution but the last (SAGAN, section 4.1); `width` as in DCGAN.
    """

    def __init__(self, latent_size: int = 128, width: int = 64, size: int = 64, channels: int = 3):
        super().__init__()
        check_width(width, 8)  # attention's queries have an eighth of the channels
        self.latent_size, self.image_size, self.channels = latent_size, size, channels
        widths = stage_widths(width, size)

        def up(in_channels: int, out_channels: int, stride: int, padding: int) -> list[nn.Module]:
            return [
                spectral_norm(nn.ConvTranspose2d(in_channels, out_channels, 4, stride, padding)),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
            ]

        layers, side = up(latent_size, widths[0], 1, 0), 4
        for before, after in pairwise(widths):
            layers, side = layers + up(before, after, 2, 1), 2 * side
            if side in (16, 32):
                layers.append(SelfAttention(after))
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 4, 2, 1), nn.Tanh())

    def forward(self, latents: Tensor) -> Tensor:
        """Images (N, channels, size, size) in [-1, 1] from latents (N, latent_size)."""
        return self.layers(latents[:, :, None, None])


class SAGANDiscriminator(nn.Module):
    """Images (N, channels, size, size) in [-1, 1] to logits (N, 1), with attention at 8x8 and 4x4; no batch norm."""

    def __init__(self, width: int = 64, size: int = 64, channels: int = 3):
        super().__init__()
        widths = stage_widths(width, size)[::-1]

        def down(in_channels: int, out_channels: int) -> list[nn.Module]:
            return [spectral_norm(nn.Conv2d(in_channels, out_channels, 4, 2, 1)), nn.LeakyReLU(0.1)]

        layers, side = [], size
        for before, after in pairwise([channels, *widths]):
            layers, side = layers + down(before, after), side // 2
            if side in (8, 4):
                layers.append(SelfAttention(after))
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 0))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 1), positive for real, of images (N, channels, size, size) in [-1, 1]."""
        return self.layers(images).flatten(1)
