"""SAGAN: Zhang, Goodfellow, Metaxas, Odena, *Self-Attention Generative Adversarial Networks*, ICML 2019."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from models.generator import Generator


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
    """Latents (N, latent_size) to images (N, 3, 64, 64) in [-1, 1], with attention at 16x16 and 32x32.

    Spectral norm on every transposed convolution but the last (SAGAN, section 4.1); `width` as in DCGAN.
    """

    def __init__(self, latent_size: int = 128, width: int = 64):
        super().__init__()
        self.latent_size = latent_size

        def up(in_channels: int, out_channels: int, stride: int, padding: int) -> list[nn.Module]:
            return [
                spectral_norm(nn.ConvTranspose2d(in_channels, out_channels, 4, stride, padding)),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
            ]

        self.layers = nn.Sequential(
            *up(latent_size, 8 * width, 1, 0),  # 4x4
            *up(8 * width, 4 * width, 2, 1),  # 8x8
            *up(4 * width, 2 * width, 2, 1),  # 16x16
            SelfAttention(2 * width),
            *up(2 * width, width, 2, 1),  # 32x32
            SelfAttention(width),
            nn.ConvTranspose2d(width, 3, 4, 2, 1),  # 64x64
            nn.Tanh(),
        )

    def forward(self, latents: Tensor) -> Tensor:
        """Images (N, 3, 64, 64) in [-1, 1] from latents (N, latent_size)."""
        return self.layers(latents[:, :, None, None])


class SAGANDiscriminator(nn.Module):
    """Images (N, 3, 64, 64) in [-1, 1] to logits (N, 1), with attention at 8x8 and 4x4; no batch norm."""

    def __init__(self, width: int = 64):
        super().__init__()

        def down(in_channels: int, out_channels: int) -> list[nn.Module]:
            return [spectral_norm(nn.Conv2d(in_channels, out_channels, 4, 2, 1)), nn.LeakyReLU(0.1)]

        self.layers = nn.Sequential(
            *down(3, width),  # 32x32
            *down(width, 2 * width),  # 16x16
            *down(2 * width, 4 * width),  # 8x8
            SelfAttention(4 * width),
            *down(4 * width, 8 * width),  # 4x4
            SelfAttention(8 * width),
            nn.Conv2d(8 * width, 1, 4, 1, 0),  # 1x1
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 1), positive for real, of images (N, 3, 64, 64) in [-1, 1]."""
        return self.layers(images).flatten(1)
