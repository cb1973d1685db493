"""A small generator after FastGAN: Liu et al., *Towards Faster and Stabilized GAN Training for High-fidelity Few-shot
Image Synthesis*, ICLR 2021."""

import math
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from models.dcgan import initialise_dcgan
from models.generator import DEFAULT, DrawNoise, Generator, Sampling, check_width


class SkipLayerExcitation(nn.Module):
    """Weights the channels of a fine feature map by a coarse one (section 3.1, equation 1)."""

    def __init__(self, coarse_channels: int, fine_channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(coarse_channels, fine_channels, 4, bias=False),  # 1x1
            nn.LeakyReLU(0.2),
            nn.Conv2d(fine_channels, fine_channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """`fine` (N, fine_channels, H, W), each channel times its weight from `coarse` (N, coarse_channels, h, w)."""
        return fine * self.layers(adaptive_avg_pool2d(coarse, 4))


class FastGANGenerator(Generator):
    """Latents (N, latent_size) to images (N, channels, size, size) in [-1, 1], the latent first put on the sphere.

    Transposed convolutions with batch norm as in DCGAN; the channels at 32 pixels and above are weighted by the maps
    of an eighth of the size. `width` scales all of its layers.
    """

    def __init__(self, latent_size: int = 128, width: int = 64, size: int = 64, channels: int = 3):
        super().__init__()
        check_width(width, 2)
        self.latent_size, self.image_size, self.channels = latent_size, size, channels
        widths = [8 * width, 4 * width, 3 * width, 3 * width // 2]  # at 4, 8, 16, 32 pixels
        widths += [width // 2] * int(math.log2(size / 32))  # at 64, 128

        def up(in_channels: int, out_channels: int, stride: int, padding: int) -> nn.Sequential:
            return nn.Sequential(
                nn.ConvTranspose2d(in_channels, out_channels, 4, stride, padding, bias=False),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
            )

        self.start = up(latent_size, widths[0], 1, 0)
        self.ups = nn.ModuleList(up(before, after, 2, 1) for before, after in pairwise(widths))
        self.excitations = nn.ModuleList(SkipLayerExcitation(*pair) for pair in zip(widths, widths[3:], strict=False))
        self.to_image = nn.Sequential(nn.Conv2d(widths[-1], channels, 3, padding=1), nn.Tanh())
        initialise_dcgan(self)

    def forward(self, latents: Tensor, truncation: float = 1.0) -> Tensor:
        """Images (N, channels, size, size) in [-1, 1] from latents (N, latent_size), `truncation` the radius."""
        latents = truncation * latents * latents.square().mean(1, keepdim=True).add(1e-8).rsqrt()
        maps = [self.start(latents[:, :, None, None])]  # at 4, 8, … size pixels
        for number, up in enumerate(self.ups):
            features = up(maps[-1])
            maps.append(features if number < 2 else self.excitations[number - 2](features, maps[number - 2]))
        return self.to_image(maps[-1])

    def sample(self, draw_noise: DrawNoise, labels: Tensor | None = None, sampling: Sampling = DEFAULT) -> Tensor:
        """As of every generator; the latent must be scaled after it was put on the sphere."""
        self.check(sampling)
        return self(draw_noise(), sampling.truncation)
