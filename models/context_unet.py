"""A small U-Net for diffusion that multiplies by the label and adds the time: `context-unet`.

As in Pearce's *Conditional Diffusion MNIST* (github.com/TeaPearce/Conditional_Diffusion_MNIST), a U-Net after
Ronneberger et al., *U-Net*, 2015, with two levels and convolutions only.
"""

import math

import torch
from torch import Tensor, nn

from models.diffusion import Diffusion, Prediction, Schedule
from models.generator import check_width
from models.guidance import label_vectors
from models.samplers import DiffusionModel


def convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    """A 3x3 convolution that keeps the size, batch norm, GELU."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, 1, 1), nn.BatchNorm2d(out_channels), nn.GELU())


def double_convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two such convolutions."""
    return nn.Sequential(convolution(in_channels, out_channels), convolution(out_channels, out_channels))


def embedding(in_features: int, out_features: int) -> nn.Sequential:
    """Two linear layers with a GELU between."""
    return nn.Sequential(nn.Linear(in_features, out_features), nn.GELU(), nn.Linear(out_features, out_features))


class Up(nn.Module):
    """Features and a skip connection, joined, to `out_channels` at twice the size."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(in_channels, out_channels, 2, 2),
            double_convolution(out_channels, out_channels),
            double_convolution(out_channels, out_channels),
        )

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """(N, out_channels, 2H, 2W) from two maps (N, in_channels / 2, H, W)."""
        return self.layers(torch.cat([features, skip], dim=1))


class ContextUNet(DiffusionModel):
    """The noise (or velocity) in images (N, channels, size, size), given their times and labels.

    `width` is the number of channels at full size, a multiple of 8 (128: 6,590,211 parameters for digits); `size` is a
    multiple of 4. `steps`, `schedule` and `prediction` make `diffusion`, the process that the network belongs to.
    """

    def __init__(
        self,
        width: int = 128,
        classes: int = 10,
        steps: int = 500,
        schedule: Schedule = "linear",
        prediction: Prediction = "epsilon",
        size: int = 28,
        channels: int = 3,
    ):
        super().__init__()
        check_width(width, 8)
        self.classes, self.image_size, self.channels = classes, size, channels
        self.diffusion = Diffusion(steps, schedule, prediction)
        self.first = convolution(channels, width)
        self.second = convolution(width, width)
        self.down1 = nn.Sequential(double_convolution(width, width), nn.MaxPool2d(2))  # 14x14
        self.down2 = nn.Sequential(double_convolution(width, 2 * width), nn.MaxPool2d(2))  # 7x7
        self.to_vector = nn.Sequential(nn.AvgPool2d(size // 4), nn.GELU())  # 1x1
        self.time1, self.time2 = embedding(1, 2 * width), embedding(1, width)
        self.label1, self.label2 = embedding(classes, 2 * width), embedding(classes, width)
        self.up0 = nn.Sequential(
            nn.ConvTranspose2d(2 * width, 2 * width, size // 4, size // 4), nn.GroupNorm(8, 2 * width), nn.ReLU()
        )  # 7x7
        self.up1 = Up(4 * width, width)  # 14x14
        self.up2 = Up(2 * width, width)  # 28x28
        self.out = nn.Sequential(
            nn.Conv2d(2 * width, width, 3, 1, 1), nn.GroupNorm(8, width), nn.ReLU(), nn.Conv2d(width, channels, 3, 1, 1)
        )

    def forward(self, images: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        """The prediction for noisy images (N, channels, size, size), times (N,) in (0, 1] and labels (N,)."""
        with torch.autocast(images.device.type, enabled=False):  # bfloat16 cannot tell 499/500 from 500/500
            times = times[:, None].to(self.time1[0].weight.dtype)
            time1, time2 = self.time1(times)[:, :, None, None], self.time2(times)[:, :, None, None]
        vectors = label_vectors(labels, self.classes).to(times.dtype)
        label1, label2 = self.label1(vectors)[:, :, None, None], self.label2(vectors)[:, :, None, None]

        first = self.first(images)
        first = (first + self.second(first)) / math.sqrt(2)
        down1 = self.down1(first)
        down2 = self.down2(down1)
        up = self.up0(self.to_vector(down2))
        up = self.up1(label1 * up + time1, down2)
        up = self.up2(label2 * up + time2, down1)
        return self.out(torch.cat([up, first], dim=1))
