"""A generator that upsamples by PixelShuffle (Shi et al., *Real-Time Single Image Super-Resolution*, CVPR 2016)."""

from torch import Tensor, nn

from models.dcgan import initialise_dcgan
from models.generator import Generator


class PixelShuffleGenerator(Generator):
    """Latents (N, latent_size) to images (N, 3, 64, 64) in [-1, 1].

    The latent is repeated over 4x4 positions; each of four stages convolves and moves channels into space, which
    avoids the checkerboards of transposed convolutions. `width` is the channels of the first stage's output (64).
    Its partner is `DCGANDiscriminator(spectral_norm=True)`.
    """

    def __init__(self, latent_size: int = 100, width: int = 64, dropout: float = 0.2):
        super().__init__()
        self.latent_size = latent_size

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
            *up(latent_size, width),  # 8x8
            *up(width, width),  # 16x16
            *up(width, width // 2),  # 32x32
            *up(width // 2, width // 2),  # 64x64
            nn.Conv2d(width // 2, 3, 3, padding="same"),
            nn.Tanh(),
        )
        initialise_dcgan(self)

    def forward(self, latents: Tensor) -> Tensor:
        """Images (N, 3, 64, 64) in [-1, 1] from latents (N, latent_size)."""
        return self.layers(latents[:, :, None, None])
