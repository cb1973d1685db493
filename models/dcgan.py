"""DCGAN: Radford, Metz, Chintala, *Unsupervised Representation Learning with Deep Convolutional GANs*, ICLR 2016."""

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm as normalise_spectrally

from models.generator import Generator


class DCGANGenerator(Generator):
    """Latents (N, latent_size) to images (N, 3, 64, 64) in [-1, 1]: five transposed convolutions.

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
    ):
        super().__init__()
        self.latent_size, self.linear_stem = latent_size, linear_stem

        def activated(layer: nn.Module, channels: int) -> list[nn.Module]:
            activation = nn.LeakyReLU(0.2, inplace=True) if leaky else nn.ReLU(inplace=True)
            return [layer, nn.BatchNorm2d(channels), activation]

        def up(in_channels: int, out_channels: int, stride: int, padding: int) -> list[nn.Module]:
            layer = nn.ConvTranspose2d(in_channels, out_channels, 4, stride, padding, bias=bias)
            return activated(layer, out_channels)

        def linear(in_channels: int, out_channels: int) -> list[nn.Module]:
            layer = nn.Linear(in_channels, 16 * out_channels, bias=bias)
            return activated(nn.Sequential(layer, nn.Unflatten(1, (out_channels, 4, 4))), out_channels)

        self.layers = nn.Sequential(
            *(linear(latent_size, 8 * width) if linear_stem else up(latent_size, 8 * width, 1, 0)),  # 4x4
            *up(8 * width, 4 * width, 2, 1),  # 8x8
            *up(4 * width, 2 * width, 2, 1),  # 16x16
            *up(2 * width, width, 2, 1),  # 32x32
            nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=bias),  # 64x64
            nn.Tanh(),
        )
        if initialise:
            initialise_dcgan(self)

    def forward(self, latents: Tensor) -> Tensor:
        """Images (N, 3, 64, 64) in [-1, 1] from latents (N, latent_size)."""
        return self.layers(latents if self.linear_stem else latents[:, :, None, None])


class DCGANDiscriminator(nn.Module):
    """Images (N, 3, 64, 64) in [-1, 1] to logits (N, outputs): five strided convolutions.

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
    ):
        super().__init__()

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
            convolution(3, width, 2, 1),  # 32x32
            nn.LeakyReLU(0.2, inplace=True),
            *down(width, 2 * width),  # 16x16
            *down(2 * width, 4 * width),  # 8x8
            *down(4 * width, 8 * width),  # 4x4
            convolution(8 * width, outputs, 1, 0),  # 1x1
        )
        if initialise:
            initialise_dcgan(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, outputs), positive for real, of images (N, 3, 64, 64) in [-1, 1]."""
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
