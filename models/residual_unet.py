"""An efficient residual U-Net for diffusion, on folded images: `residual-unet`.

The residual blocks and their conditioning are ADM's (Dhariwal, Nichol, *Diffusion Models Beat GANs on Image
Synthesis*, NeurIPS 2021, section 3 and appendix A). Images are folded by `pixel_unshuffle`, so that nearly all the work
is done by convolutions with many channels on small maps, which matrix units do fastest; the normalisation is over the
channels of each position, which is cheaper than group norm.
"""

from collections.abc import Sequence
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, pixel_shuffle, pixel_unshuffle, scaled_dot_product_attention, silu

from models.attention_unet import sinusoids
from models.consistency import Consistency
from models.diffusion import Diffusion, Schedule
from models.edm import EDM
from models.generator import check_width
from models.guidance import label_vectors
from models.samplers import DiffusionModel
from runtime.errors import UserError

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each position."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Feature maps (N, channels, H, W) of the same shape."""
        normed = layer_norm(features.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias)
        return normed.permute(0, 3, 1, 2)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions added to their input; the embedding scales and shifts the features between them."""

    def __init__(self, in_channels: int, out_channels: int, embedding_size: int):
        super().__init__()
        self.norm1 = ChannelNorm(in_channels)
        self.convolution1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.embedding = nn.Linear(embedding_size, 2 * out_channels)
        self.norm2 = ChannelNorm(out_channels)
        self.convolution2 = zeroed(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.skip = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        """(N, out_channels, H, W) from (N, in_channels, H, W) and embeddings (N, embedding_size)."""
        scale, shift = self.embedding(embedding)[:, :, None, None].chunk(2, dim=1)
        inner = self.norm2(self.convolution1(silu(self.norm1(features))))
        inner = self.convolution2(silu(torch.addcmul(shift, inner, scale + 1)))
        return self.skip(features) + inner


class SelfAttention(nn.Module):
    """Every position attends to all others; what it gathers is added to its features."""

    def __init__(self, channels: int, heads: int = 4):
        super().__init__()
        self.heads = heads
        self.norm = ChannelNorm(channels)
        self.project_in = nn.Conv2d(channels, 3 * channels, 1)
        self.project_out = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Feature maps (N, channels, H, W) of the same shape."""
        query, key, value = (
            part.flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3)  # (N, heads, HW, C / heads)
            for part in self.project_in(self.norm(features)).chunk(3, dim=1)
        )
        attended = scaled_dot_product_attention(query, key, value).transpose(2, 3)
        return features + self.project_out(attended.reshape(features.shape))


class ResidualUNet(DiffusionModel):
    """The prediction for images (N, channels, size, size), given their noise, and their labels if there are `classes`.

    `width` is the number of channels at the first size, a multiple of 2 (96: 5,816,172 parameters for digits); `fold`
    is the side of the squares of pixels that are folded into channels. With `direct`, the input times a learned
    function of the time is added to the output: noise need not pass through `width` channels to be subtracted.
    `diffusion` is the process that the network belongs to: by `sigma_data` and `sigma_min` with the prediction `edm`,
    by these and `edges` with `consistency`, and else by `steps`, `schedule` and `prediction`. Raises UserError for
    another width, a `fold` that does not fit the size, and edges that are no phases.
    """

    def __init__(
        self,
        width: int = 96,
        classes: int = 10,
        fold: int = 2,
        size: int = 28,
        direct: bool = False,
        prediction: Literal["edm", "consistency", "epsilon", "v"] = "edm",
        sigma_data: float = 0.5,
        sigma_min: float = EDM.sigma_min,
        edges: Sequence[float] = Consistency.edges,
        steps: int = 1000,
        schedule: Schedule = "linear",
        channels: int = 3,
    ):
        super().__init__()
        check_width(width, 2)
        if size % (2 * fold):
            raise UserError(f"images of {size} pixels cannot be folded by {fold}: twice as much must divide them")
        self.classes, self.image_size, self.channels, self.fold = classes, size, channels, fold
        match prediction:
            case "edm":
                self.diffusion = EDM(sigma_data, sigma_min)
            case "consistency":
                self.diffusion = Consistency(sigma_data, sigma_min, edges=tuple(edges))
            case _:
                self.diffusion = Diffusion(steps, schedule, prediction)
        self.embedding_size = 2 * width

        def block(in_channels: int, out_channels: int) -> ResidualBlock:
            return ResidualBlock(in_channels, out_channels, self.embedding_size)

        self.embedding = nn.Sequential(
            nn.Linear(self.embedding_size, self.embedding_size),
            nn.SiLU(),
            nn.Linear(self.embedding_size, self.embedding_size),
        )
        if classes:
            self.label_embedding = nn.Linear(classes, self.embedding_size, bias=False)
        self.direct = zeroed(nn.Linear(self.embedding_size, 1)) if direct else None
        self.first = nn.Conv2d(channels * fold**2, width, 3, padding=1)  # 14x14, or 16x16 of faces folded by 4
        self.down1 = nn.ModuleList(block(width, width) for _ in range(2))
        self.downsample = nn.Conv2d(width, 2 * width, 2, 2)  # half of it
        self.down2 = nn.ModuleList(block(2 * width, 2 * width) for _ in range(3))
        self.attention = SelfAttention(2 * width)
        self.middle = block(2 * width, 2 * width)
        self.up2 = block(4 * width, 2 * width)
        self.upsample = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.up1 = nn.ModuleList(block(2 * width, width) for _ in range(3))
        self.norm = ChannelNorm(width)
        self.out = zeroed(nn.Conv2d(width, channels * fold**2, 3, padding=1))

    def forward(self, images: Tensor, times: Tensor, labels: Tensor | None = None) -> Tensor:
        """The prediction for noisy images (N, channels, size, size), times or c_noise (N,) and labels (N,)."""
        # Noise levels are continuous: sinusoids fine enough for whole steps would be noise to the network.
        embedding = self.embedding(sinusoids(times / 10, self.embedding_size))
        if self.classes:
            embedding = embedding + self.label_embedding(label_vectors(labels, self.classes))
        embedding = silu(embedding)

        features = self.first(pixel_unshuffle(images, self.fold))
        skips = [features]
        for block in self.down1:
            features = block(features, embedding)
            skips.append(features)
        features = self.downsample(features)
        for block in self.down2:
            features = block(features, embedding)
        inner = self.middle(self.attention(features), embedding)
        features = self.upsample(self.up2(torch.cat([inner, features], dim=1), embedding))
        for block in self.up1:
            features = block(torch.cat([features, skips.pop()], dim=1), embedding)
        output = pixel_shuffle(self.out(silu(self.norm(features))), self.fold)
        return output if self.direct is None else output + self.direct(embedding)[:, :, None, None] * images


def zeroed(layer: Layer) -> Layer:
    """`layer` with all its parameters 0: what it is added to begins unchanged (ADM's last convolutions)."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
