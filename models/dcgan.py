"""DCGAN: Radford, Metz, Chintala, *Unsupervised Representation Learning with Deep Convolutional GANs*, ICLR 2016."""

import math
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm as normalise_spectrally

from models.generator import Generator


def stage_widths(width: int, size: int) -> list[int]:
    """Channels of the feature maps at 4, 8, … size / 2 pixels: `width` at the last, twice as many at half of it."""
    return [width * 2**doublings for doublings in reversed(range(int(math.log2(size)) - 2))]


class DCGANGenerator(Generator):
    """Latents (N, latent_size) to images (N, channels, size, size) in [-1, 1]: at 64, five transposed convolutions.

    `width` is the number of channels before the last layer (64 in the paper); `bias` gives every layer a bias.
    `linear_stem` makes the first 4x4 feature maps by a linear layer, `leaky` has the discriminator's activations, and
    without `initialise` the weights are PyTorch's.
    """

    def __init__(
        self,
        latent_size: int = 100,
        width: int = 64,
        bias: bool = False,
        linear_stem: bool = False,
        leaky: bool = False,
        initialise: bool = True,
        size: int = 64,
        channels: int = 3,
    ):
        super().__init__()
        self.latent_size, self.linear_stem = latent_size, linear_stem
        self.image_size, self.channels = size, channels
        widths = stage_widths(width, size)

        def activated(layer: nn.Module, out_channels: int) -> list[nn.Module]:
            activation = nn.LeakyReLU(0.2, inplace=True) if leaky else nn.ReLU(inplace=True)
            return [layer, nn.BatchNorm2d(out_channels), activation]

        def up(in_channels: int, out_channels: int, stride: int, padding: int) -> list[nn.Module]:
            layer = nn.ConvTranspose2d(in_channels, out_channels, 4, stride, padding, bias=bias)
            return activated(layer, out_channels)

        def linear(in_channels: int, out_channels: int) -> list[nn.Module]:
            layer = nn.Linear(in_channels, 16 * out_channels, bias=bias)
            return activated(nn.Sequential(layer, nn.Unflatten(1, (out_channels, 4, 4))), out_channels)

        self.layers = nn.Sequential(
            *(linear(latent_size, widths[0]) if linear_stem else up(latent_size, widths[0], 1, 0)),  # 4x4
            *(layer for pair in pairwise(widths) for layer in up(*pair, 2, 1)),  # 8x8, 16x16, 32x32
            nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=bias),  # 64x64
            nn.Tanh(),
        )
        if initialise:
            initialise_dcgan(self)

    def forward(self, latents: Tensor) -> Tensor:
        """Images (N, channels, size, size) in [-1, 1] from latents (N, latent_size)."""
        return self.layers(latents if self.linear_stem else latents[:, :, None, None])


class DCGANDiscriminator(nn.Module):
    """Images (N, channels, size, size) in [-1, 1] to logits (N, outputs): at 64, five strided convolutions.

    `spectral_norm` normalises every convolution (Miyato et al., *Spectral Normalization for GANs*, ICLR 2018);
    batch norm stays. Without `initialise` the weights are PyTorch's.
    """

    def __init__(
        self,
        width: int = 64,
        bias: bool = False,
        spectral_norm: bool = False,
        outputs: int = 1,
        initialise: bool = True,
        size: int = 64,
        channels: int = 3,
    ):
        super().__init__()
        widths = stage_widths(width, size)[::-1]

        def convolution(in_channels: int, out_channels: int, stride: int, padding: int) -> nn.Module:
            layer = nn.Conv2d(in_channels, out_channels, 4, stride, padding, bias=bias)
            return normalise_spectrally(layer) if spectral_norm else layer

        def down(in_channels: int, out_channels: int) -> list[nn.Module]:
            return [
                convolution(in_channels, out_channels, 2, 1),
                nn.BatchNorm2d(out_channels),
                nn.LeakyReLU(0.2, inplace=True),
            ]

        self.layers = nn.Sequential(
            convolution(channels, width, 2, 1),  # 32x32
            nn.LeakyReLU(0.2, inplace=True),
            *(layer for pair in pairwise(widths) for layer in down(*pair)),  # 16x16, 8x8, 4x4
            convolution(widths[-1], outputs, 1, 0),  # 1x1
        )
        if initialise:
            initialise_dcgan(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, outputs), positive for real, of images (N, channels, size, size) in [-1, 1]."""
        return self.layers(images).flatten(1)


def initialise_dcgan(network: nn.Module) -> None:
    """Convolutions N(0, 0.02); batch norm scales N(1, 0.02), offsets 0 (DCGAN, section 4)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            # A spectrally normalised weight is computed from this parameter; a plain one is this parameter.
            normalised = getattr(module, "parametrizations", None)
            nn.init.normal_(normalised.weight.original if normalised else module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
