"""A variational autoencoder: Kingma, Welling, *Auto-Encoding Variational Bayes*, ICLR 2014."""

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from models.generator import Generator

PRIOR_RANK = 128  # directions in which the fitted prior is not merely scaled
COARSEST = 2  # pixels to a side of the last feature maps


class VAE(Generator):
    """Images (N, channels, size, size) in [-1, 1] to latents and back: at 64, by five strided convolutions each way.

    `width` is the number of channels at half the size (32 as reported), `latent_size` that of latent components. New
    faces are decoded from a normal prior: the standard one, until `fit_prior` makes it that of the faces' latents.
    `noise_size` normal numbers make a face.
    """

    def __init__(self, latent_size: int = 1024, width: int = 32, size: int = 64, channels: int = 3):
        super().__init__()
        self.latent_size, self.image_size, self.channels = latent_size, size, channels
        self.noise_size = latent_size + PRIOR_RANK
        widths = [width * 2**halvings for halvings in range(int(math.log2(size / COARSEST)))]  # from size / 2 to 2x2
        features = widths[-1] * COARSEST**2

        def normalised(layer: nn.Module) -> list[nn.Module]:
            return [layer, nn.BatchNorm2d(layer.out_channels), nn.LeakyReLU(0.01, inplace=True)]

        def down(in_channels: int, out_channels: int) -> list[nn.Module]:
            return normalised(nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1))

        def up(in_channels: int, out_channels: int) -> list[nn.Module]:
            return normalised(nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1))

        self.encoder = nn.Sequential(
            *(layer for pair in pairwise([channels, *widths]) for layer in down(*pair)),
            nn.Flatten(),
        )
        self.mean = nn.Linear(features, latent_size)
        self.log_variance = nn.Linear(features, latent_size)
        self.decoder = nn.Sequential(
            nn.Linear(latent_size, features),
            nn.Unflatten(1, (widths[-1], COARSEST, COARSEST)),
            *(layer for pair in pairwise(widths[::-1]) for layer in up(*pair)),
            *up(width, width),  # the image's size
            nn.Conv2d(width, channels, 3, padding=1),
            nn.Tanh(),
        )
        self.register_buffer("prior_mean", torch.zeros(latent_size))
        self.register_buffer("prior_deviation", torch.ones(latent_size))
        self.register_buffer("prior_factor", torch.zeros(latent_size, PRIOR_RANK))

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each (N, latent_size), of the posterior of images (N, channels, size, size)."""
        features = self.encoder(images)
        return self.mean(features), self.log_variance(features)

    def decode(self, latents: Tensor) -> Tensor:
        """Images (N, channels, size, size) in [-1, 1] of latents (N, latent_size)."""
        return self.decoder(latents)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """That of the noise which draws a latent from the prior."""
        return (self.noise_size,)

    def generate(self, noise: Tensor, labels: None = None) -> Tensor:
        """New images (N, channels, size, size) in [-1, 1] drawn from the prior by normal noise (N, noise_size)."""
        own, common = noise.split([self.latent_size, PRIOR_RANK], dim=1)
        return self.decode(self.prior_mean + self.prior_deviation * own + common @ self.prior_factor.T)

    @torch.no_grad()
    def fit_prior(self, means: Tensor, log_variances: Tensor) -> None:
        """Make the prior the normal distribution that the posteriors (N, latent_size) of many images have in all.

        A lightly weighted KL leaves them far from the standard normal, whose points the decoder then has never seen
        (Ghosh et al., *From Variational to Deterministic Autoencoders*, ICLR 2020, section 4). The covariance is kept
        as that of its PRIOR_RANK main directions, and the variance of each component that these leave.
        """
        self.prior_mean.copy_(means.mean(0))
        covariance = means.T.cov()
        values, vectors = torch.linalg.eigh(covariance)  # in ascending order
        rank = min(PRIOR_RANK, self.latent_size)
        factor = vectors[:, -rank:] * values[-rank:].clamp_min(0).sqrt()
        self.prior_factor[:, :rank] = factor
        left = covariance.diagonal() - factor.square().sum(1)
        self.prior_deviation.copy_((left.clamp_min(0) + log_variances.exp().mean(0)).sqrt())

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction of `images` from latents drawn from their posterior by `noise` (N, latent_size); mean and
        log-variance of that posterior, in float32.

        The draw is mean + deviation · noise, through which gradients flow (section 2.4).
        """
        mean, log_variance = (value.float() for value in self.encode(images))
        latents = mean + (log_variance / 2).exp() * noise
        return self.decode(latents), mean, log_variance


def reconstruction_error(reconstructions: Tensor, images: Tensor) -> Tensor:
    """Mean squared error (N,) of each image (N, C, H, W), both given in [-1, 1] and measured on the scale [0, 1]."""
    return ((reconstructions.float() - images) / 2).square().flatten(1).mean(1)


def kl_divergence(mean: Tensor, log_variance: Tensor, reduction: Literal["mean", "sum"] = "mean") -> Tensor:
    """KL divergence in nats of the posteriors (N, D) from the standard normal prior (appendix B).

    It is averaged over the batch, and over the components averaged or summed.
    """
    divergence = (mean.square() + log_variance.exp() - 1 - log_variance) / 2
    return divergence.mean() if reduction == "mean" else divergence.sum(1).mean()
