"""A small generator after FastGAN: Liu et al., *Towards Faster and Stabilized GAN Training for High-fidelity Few-shot
Image Synthesis*, ICLR 2021."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from models.dcgan import initialise_dcgan
from models.generator import DrawNoise, Generator
from models.samplers import DEFAULT, Sampling


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
    """Latents (N, latent_size) to images (N, 3, 64, 64) in [-1, 1], the latent first put on the sphere.

    Transposed convolutions with batch norm as in DCGAN; the channels at 32 and 64 pixels are weighted by the maps at
    4 and 8. `width` scales all of its layers.
    """

    def __init__(self, latent_size: int = 128, width: int = 64):
        super().__init__()
        self.latent_size = latent_size
        channels = [8 * width, 4 * width, 3 * width, 3 * width // 2, width // 2]  # at 4, 8, 16, 32, 64 pixels

        def up(in_channels: int, out_channels: int, stride: int, padding: int) -> nn.Sequential:
            return nn.Sequential(
                nn.ConvTranspose2d(in_channels, out_channels, 4, stride, padding, bias=False),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
            )

        self.start = up(latent_size, channels[0], 1, 0)
        self.ups = nn.ModuleList(up(before, after, 2, 1) for before, after in pairwise(channels))
        self.excitations = nn.ModuleList(
            [SkipLayerExcitation(channels[0], channels[3]), SkipLayerExcitation(channels[1], channels[4])]
        )
        self.to_image = nn.Sequential(nn.Conv2d(channels[4], 3, 3, padding=1), nn.Tanh())
        initialise_dcgan(self)

    def forward(self, latents: Tensor, truncation: float = 1.0) -> Tensor:
        """Images (N, 3, 64, 64) in [-1, 1] from latents (N, latent_size), `truncation` the radius."""
        latents = truncation * latents * latents.square().mean(1, keepdim=True).add(1e-8).rsqrt()
        at4 = self.start(latents[:, :, None, None])
        at8 = self.ups[0](at4)
        at32 = self.excitations[0](self.ups[2](self.ups[1](at8)), at4)
        return self.to_image(self.excitations[1](self.ups[3](at32), at8))

    def sample(self, draw_noise: DrawNoise, labels: Tensor | None = None, sampling: Sampling = DEFAULT) -> Tensor:
        """As of every generator; the latent must be scaled after it was put on the sphere."""
        self.check(sampling)
        return self(draw_noise(), sampling.truncation)
