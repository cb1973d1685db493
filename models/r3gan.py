"""A residual discriminator without normalisation, after R3GAN: Huang et al., *The GAN is dead; long live the GAN!*,
NeurIPS 2024."""

from itertools import pairwise

from torch import Tensor, nn

from models.dcgan import stage_widths
from models.minibatch import minibatch_deviation


class DownBlock(nn.Module):
    """Half the resolution: 3x3 and strided 4x4 convolution beside an averaging shortcut; it starts as the shortcut."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.first = nn.Conv2d(in_channels, in_channels, 3, padding=1)
        self.second = nn.Conv2d(in_channels, out_channels, 4, 2, 1, bias=False)
        self.activation = nn.LeakyReLU(0.2)
        self.pool = nn.AvgPool2d(2)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        nn.init.zeros_(self.second.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Feature maps (N, in_channels, H, W) to (N, out_channels, H / 2, W / 2)."""
        residual = self.second(self.activation(self.first(self.activation(features))))
        return self.shortcut(self.pool(features)) + residual


class R3GANDiscriminator(nn.Module):
    """Images (N, channels, size, size) in [-1, 1] to logits (N, 1): residual blocks, no norm anywhere.

    The first convolution goes straight to half the size, where it keeps all of the image: at the whole it would cost
    as much as all the rest. Before the logits come the minibatch's deviation and one more convolution.
    """

    def __init__(self, width: int = 64, size: int = 64, channels: int = 3):
        super().__init__()
        widths = [min(stage, 4 * width) for stage in reversed(stage_widths(width, size))]
        self.stem = nn.Conv2d(channels, width, 4, 2, 1)  # 32x32
        self.blocks = nn.Sequential(*(DownBlock(*pair) for pair in pairwise(widths)))  # 16x16, 8x8, 4x4
        self.activation = nn.LeakyReLU(0.2)
        self.last = nn.Conv2d(4 * width + 1, 4 * width, 3, padding=1)
        self.to_logit = nn.Conv2d(4 * width, 1, 4)
        for convolution in (self.stem, self.last, *(block.first for block in self.blocks)):
            nn.init.kaiming_normal_(convolution.weight, 0.2)
            nn.init.zeros_(convolution.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 1), positive for real, of images (N, channels, size, size) in [-1, 1]."""
        features = minibatch_deviation(self.activation(self.blocks(self.stem(images))))
        return self.to_logit(self.activation(self.last(features))).flatten(1)
