"""ACGAN: Odena, Olah, Shlens, *Conditional Image Synthesis with Auxiliary Classifier GANs*, ICML 2017.

The generator is given a class; the discriminator predicts real or generated, and the class of either.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, one_hot

from models.dcgan import DCGANDiscriminator, DCGANGenerator, initialise_dcgan
from models.generator import Generator

DIGIT_SIZE = 28


class ACGAN28Generator(Generator):
    """Latents (N, latent_size) and labels (N,) to images (N, channels, size, size) in [-1, 1]; size is 28 or 32.

    The label enters as a one-hot vector beside the latent, with `scalar_label` as one number. `width` is the number of
    channels before the last layer.
    """

    def __init__(
        self,
        latent_size: int = 100,
        width: int = 28,
        classes: int = 10,
        scalar_label: bool = False,
        size: int = DIGIT_SIZE,
        channels: int = 3,
    ):
        super().__init__()
        self.latent_size, self.classes, self.scalar_label = latent_size, classes, scalar_label
        self.image_size, self.channels = size, channels

        def up(in_channels: int, out_channels: int, kernel: int, stride: int, padding: int) -> list[nn.Module]:
            return [
                nn.ConvTranspose2d(in_channels, out_channels, kernel, stride, padding, bias=False),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
            ]

        self.layers = nn.Sequential(
            *up(latent_size + (1 if scalar_label else classes), 8 * width, 4, 1, 0),  # 4x4
            *up(8 * width, 4 * width, 4, 2, 1),  # 8x8
            *up(4 * width, 2 * width, 4, 2, 1),  # 16x16
            *up(2 * width, width, 2, 1, 1 if size == DIGIT_SIZE else 0),  # 15x15, of 32 pixels 17x17
            nn.ConvTranspose2d(width, channels, 2, 2, 1, bias=False),  # 28x28 or 32x32
            nn.Tanh(),
        )
        initialise_dcgan(self)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Images (N, channels, size, size) in [-1, 1] from latents (N, latent_size) and int64 labels (N,)."""
        condition = encode_labels(labels, self.classes, self.scalar_label).to(latents.dtype)
        return self.layers(torch.cat([latents, condition], dim=1)[:, :, None, None])


class ACGAN28Discriminator(nn.Module):
    """Images (N, channels, H, W), 28x28 or 32x32, in [-1, 1] to logits: (N, 1), positive for real, and (N, classes)."""

    def __init__(self, width: int = 28, classes: int = 10, channels: int = 3):
        super().__init__()

        def down(in_channels: int, out_channels: int, kernel: int) -> list[nn.Module]:
            return [
                nn.Conv2d(in_channels, out_channels, kernel, 2, 1, bias=False),
                nn.BatchNorm2d(out_channels),
                nn.LeakyReLU(0.2, inplace=True),
            ]

        self.features = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1, bias=False),  # 14x14
            nn.LeakyReLU(0.2, inplace=True),
            *down(width, 2 * width, 4),  # 7x7
            *down(2 * width, 4 * width, 3),  # 4x4
        )
        self.source_head = nn.Conv2d(4 * width, 1, 4, bias=False)
        self.class_head = nn.Conv2d(4 * width, classes, 4, bias=False)
        initialise_dcgan(self)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits for real (N, 1) and for the classes (N, classes) of images (N, channels, H, W) in [-1, 1]."""
        features = self.features(images)
        return self.source_head(features).flatten(1), self.class_head(features).flatten(1)


class ACGAN64Generator(Generator):
    """Latents (N, latent_size) and labels (N,) to images (N, channels, 64, 64) in [-1, 1]: DCGAN and a label embedding.

    The embedding is of the one-hot label, with `scalar_label` of the label as one number. `generate` brings the images
    to `size`, that of the data.
    """

    def __init__(
        self,
        latent_size: int = 100,
        width: int = 64,
        classes: int = 10,
        scalar_label: bool = False,
        size: int = DIGIT_SIZE,
        channels: int = 3,
    ):
        super().__init__()
        self.latent_size, self.classes, self.scalar_label = latent_size, classes, scalar_label
        self.image_size, self.channels = size, channels
        self.embedding = nn.Linear(1 if scalar_label else classes, 2 * classes)
        self.generator = DCGANGenerator(latent_size + 2 * classes, width, bias=True, channels=channels)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Images (N, channels, 64, 64) in [-1, 1] from latents (N, latent_size) and int64 labels (N,)."""
        embedded = self.embedding(encode_labels(labels, self.classes, self.scalar_label).to(latents.dtype))
        return self.generator(torch.cat([latents, embedded], dim=1))

    def generate(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Images (N, channels, size, size) in [-1, 1], resized by antialiased bilinear filtering."""
        return interpolate(self(latents, labels).float(), self.image_size, mode="bilinear", antialias=True)


class ACGAN64Discriminator(nn.Module):
    """Images (N, channels, 64, 64) in [-1, 1] to logits, of one last layer: (N, 1), positive for real, (N, classes)."""

    def __init__(self, width: int = 64, classes: int = 10, channels: int = 3):
        super().__init__()
        self.discriminator = DCGANDiscriminator(width, bias=True, outputs=1 + classes, channels=channels)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits for real (N, 1) and for the classes (N, classes) of images (N, channels, 64, 64) in [-1, 1]."""
        logits = self.discriminator(images)
        return logits[:, :1], logits[:, 1:]


def encode_labels(labels: Tensor, classes: int, scalar: bool) -> Tensor:
    """Labels (N,) as one-hot vectors (N, classes), or as `scalar` numbers (N, 1) from 0 to classes - 1."""
    return labels[:, None] if scalar else one_hot(labels, classes)


def uniform_label_loss(classes: Tensor) -> Tensor:
    """Cross-entropy of class logits (N, classes) with the uniform distribution, least where no class is preferred.

    The discriminator minimises it on generated images (Springenberg, *Unsupervised and Semi-supervised Learning with
    Categorical GANs*, ICLR 2016, section 3.1): its classes are then learnt from real digits alone.
    """
    return -classes.log_softmax(1).mean()


def joint_logits(source: Tensor, classes: Tensor, labels: Tensor) -> Tensor:
    """Real-or-generated logits (N, 1) plus the log-probability, by class logits (N, classes), of the labels (N,)."""
    return source + classes.log_softmax(1).gather(1, labels[:, None])
