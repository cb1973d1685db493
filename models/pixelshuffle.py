"""A generator that upsamples by PixelShuffle (Shi et al., *Real-Time Single Image Super-Resolution*, CVPR 2016)."""

import math
from itertools import pairwise

from torch import Tensor, nn

from models.dcgan import initialise_dcgan
from models.generator import Generator, check_width


class PixelShuffleGenerator(Generator):
    """Latents (N, latent_size) to images (N, channels, size, size) in [-1, 1].

    The latent is repeated over 4x4 positions; each stage, four for 64 pixels, convolves and moves channels into space,
    which avoids the checkerboards of transposed convolutions. `width` is the channels of the first stage's output (64).
    Its partner is `DCGANDiscriminator(spectral_norm=True)`.
    """

    def __init__(
        self, latent_size: int = 100, width: int = 64, dropout: float = 0.2, size: int = 64, channels: int = 3
    ):
        super().__init__()
        check_width(width, 2)
        self.latent_size, self.image_size, self.channels = latent_size, size, channels
        widths = [latent_size, width, width] + [width // 2] * int(math.log2(size / 16))

        def up(in_channels: int, out_channels: int) -> list[nn.Module]:
            return [
                nn.Conv2d(in_channels, 4 * out_channels, 3, padding="same"),
                nn.BatchNorm2d(4 * out_channels),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.PixelShuffle(2),
            ]

        self.layers = nn.Sequential(
            nn.Upsample(scale_factor=4, mode="nearest"),  # 4x4
            *(layer for pair in pairwise(widths) for layer in up(*pair)),  # 8x8, 16x16, 32x32, 64x64
            nn.Conv2d(width // 2, channels, 3, padding="same"),
            nn.Tanh(),
        )
        initialise_dcgan(self)

    def forward(self, latents: Tensor) -> Tensor:
        """Images (N, channels, size, size) in [-1, 1] from latents (N, latent_size)."""
        return self.layers(latents[:, :, None, None])
