"""A U-Net for diffusion with self-attention at every size: `attention-unet`.

As in the *Diffusion-Models-pytorch* of github.com/dome272, after the network of Ho et al., *DDPM*, NeurIPS 2020,
appendix B.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, scaled_dot_product_attention

from models.diffusion import Diffusion, Prediction, Schedule
from models.generator import check_width
from models.guidance import label_vectors
from models.samplers import DiffusionModel

SNAPSHOTS = (1, 0.8, 0.6, 0.4, 0.2, 0)  # shares of T, as reported


class DoubleConvolution(nn.Module):
    """Two 3x3 convolutions with group norm, GELU between; with `residual` added to the input, and a GELU after it."""

    def __init__(self, in_channels: int, out_channels: int, middle_channels: int = 0, residual: bool = False):
        super().__init__()
        middle_channels = middle_channels or out_channels
        self.residual = residual
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, middle_channels, 3, padding=1, bias=False),
            nn.GroupNorm(1, middle_channels),
            nn.GELU(),
            nn.Conv2d(middle_channels, out_channels, 3, padding=1, bias=False),
            nn.GroupNorm(1, out_channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, out_channels, H, W) from (N, in_channels, H, W)."""
        return gelu(features + self.layers(features)) if self.residual else self.layers(features)


class SelfAttention(nn.Module):
    """Every position attends to all others, then a small network acts on each; both are added to their input."""

    def __init__(self, channels: int, heads: int = 4):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.project_in = nn.Linear(channels, 3 * channels)
        self.project_out = nn.Linear(channels, channels)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, channels), nn.GELU(), nn.Linear(channels, channels)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Feature maps (N, channels, H, W) of the same shape."""
        tokens = features.flatten(2).transpose(1, 2)  # (N, HW, C)
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (N, heads, HW, C / heads)
            for part in self.project_in(self.norm(tokens)).chunk(3, dim=2)
        )
        attended = scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + self.project_out(attended)
        tokens = tokens + self.feed_forward(tokens)
        return tokens.transpose(1, 2).reshape(features.shape)


class Block(nn.Module):
    """Two double convolutions, the first residual; the embedding of time and label added; self-attention."""

    def __init__(self, in_channels: int, out_channels: int, middle_channels: int, embedding_size: int):
        super().__init__()
        self.convolutions = nn.Sequential(
            DoubleConvolution(in_channels, in_channels, residual=True),
            DoubleConvolution(in_channels, out_channels, middle_channels),
        )
        self.embedding = nn.Sequential(nn.SiLU(), nn.Linear(embedding_size, out_channels))
        self.attention = SelfAttention(out_channels)

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        """(N, out_channels, H, W) from (N, in_channels, H, W) and embeddings (N, embedding_size)."""
        return self.attention(self.convolutions(features) + self.embedding(embedding)[:, :, None, None])


class AttentionUNet(DiffusionModel):
    """The noise (or velocity) in images (N, channels, size, size), given their times and labels.

    `width` is the number of channels at full size, a multiple of 4 (64: 23,335,299 parameters). `steps`, `schedule`
    and `prediction` make `diffusion`, the process that the network belongs to.
    """

    def __init__(
        self,
        width: int = 64,
        classes: int = 10,
        steps: int = 1000,
        schedule: Schedule = "linear",
        prediction: Prediction = "epsilon",
        size: int = 28,
        channels: int = 3,
    ):
        super().__init__()
        check_width(width, 4)
        self.classes, self.image_size, self.channels = classes, size, channels
        self.embedding_size = 4 * width
        self.diffusion = Diffusion(steps, schedule, prediction, SNAPSHOTS)
        self.label_embedding = nn.Embedding(classes, self.embedding_size)

        def block(in_channels: int, out_channels: int, middle_channels: int = 0) -> Block:
            return Block(in_channels, out_channels, middle_channels, self.embedding_size)

        self.first = DoubleConvolution(channels, width)
        self.halve = nn.MaxPool2d(2)
        self.down1 = block(width, 2 * width)  # 14x14
        self.down2 = block(2 * width, 4 * width)  # 7x7
        self.down3 = block(4 * width, 4 * width)  # 3x3
        self.bottleneck = nn.Sequential(
            DoubleConvolution(4 * width, 8 * width),
            DoubleConvolution(8 * width, 8 * width),
            DoubleConvolution(8 * width, 4 * width),
        )
        self.up1 = block(8 * width, 2 * width, 4 * width)  # 7x7
        self.up2 = block(4 * width, width, 2 * width)  # 14x14
        self.up3 = block(2 * width, width, width)  # 28x28
        self.out = nn.Conv2d(width, channels, 1)

    def forward(self, images: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        """The prediction for noisy images (N, channels, size, size), times (N,) in (0, 1] and labels (N,)."""
        embedding = sinusoids(times, self.embedding_size)
        embedding = embedding + label_vectors(labels, self.classes).to(embedding) @ self.label_embedding.weight

        first = self.first(images)
        down1 = self.down1(self.halve(first), embedding)
        down2 = self.down2(self.halve(down1), embedding)
        features = self.bottleneck(self.down3(self.halve(down2), embedding))
        for up, skip in ((self.up1, down2), (self.up2, down1), (self.up3, first)):
            features = interpolate(features, size=skip.shape[2:], mode="bilinear", align_corners=True)
            features = up(torch.cat([skip, features], dim=1), embedding)
        return self.out(features)


def sinusoids(times: Tensor, size: int) -> Tensor:
    """Sines and cosines (N, size) of 1000·times (N,), at frequencies falling from 1 to 1/10000.

    Vaswani et al., *Attention Is All You Need*, 2017, section 3.5; 1000 is the usual number of diffusion steps.
    """
    exponents = torch.arange(0, size, 2, device=times.device) / size
    angles = 1000 * times[:, None] * torch.exp(-math.log(10000) * exponents)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
