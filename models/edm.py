"""Diffusion over continuous noise levels: EDM's preconditioning, loss and noise levels.

A noisy image is y = x_0 + sigma·noise, and time is sigma itself, from 80 down to 0. The denoiser
D(y) = c_skip·y + c_out·F(c_in·y, ln(sigma) / 4) is made of a network F whose input and target have unit variance at
every noise level (Karras, Aittala, Aila, Laine, *Elucidating the Design Space of Diffusion-Based Generative Models*
[EDM], NeurIPS 2022, table 1).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from models.generator import Sampling
from models.guidance import Denoiser, guided
from models.samplers import Process
from runtime.errors import UserError


@dataclass(frozen=True)
class EDM(Process):
    """Noise levels and preconditioning for images whose pixels have the standard deviation `sigma_data`."""

    default_guidance: ClassVar[float] = 5.0
    default_interval: ClassVar[tuple[float, float]] = (0.4, 12.0)
    default_parallel: ClassVar[float] = 0.5
    default_clip: ClassVar[bool] = True

    sigma_data: float = 0.5
    sigma_min: float = 0.002
    """The last noise level that sampling visits: the image is what the network sees there."""
    sigma_max: float = 80.0
    rho: float = 7.0
    """How densely low noise levels are sampled (EDM, equation 5)."""
    log_mean: float = -1.2
    log_deviation: float = 1.2
    """Of ln(sigma) in training, which is normal (EDM, table 1)."""

    def preconditioning(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """c_skip, c_out, c_in and c_noise, each of the shape of `sigma` (EDM, table 1)."""
        total = (sigma**2 + self.sigma_data**2).sqrt()
        return (self.sigma_data / total) ** 2, sigma * self.sigma_data / total, 1 / total, sigma.log() / 4

    # Training.

    def random_times(self, shape: tuple[int], generator: torch.Generator) -> Tensor:
        """Noise levels float32 to train at, on the CPU, log-normal."""
        return (self.log_mean + self.log_deviation * torch.randn(shape, generator=generator)).exp()

    def inputs(self, images: Tensor, noise: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """What the network is given of images and noise (N, C, H, W) at `times` (N,): c_in·y, and c_noise (N,)."""
        sigma = times.to(images)
        _, _, c_in, c_noise = self.preconditioning(sigma)
        return _per_image(c_in) * (images + _per_image(sigma) * noise), c_noise

    def target(self, images: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """What the network should predict for `inputs` of the same arguments: (x_0 - c_skip·y) / c_out."""
        sigma = _per_image(times.to(images))
        c_skip, c_out, _, _ = self.preconditioning(sigma)
        return (images - c_skip * (images + sigma * noise)) / c_out

    def loss(self, network: Denoiser, images: Tensor, labels: Tensor | None, times: Tensor, noise: Tensor) -> Tensor:
        """Mean squared error of the network; one scalar. It weights the denoiser's by 1 / c_out² (EDM, equation 8).

        images and noise (N, C, H, W), images in [-1, 1]; labels (N,) or none; times (N,) above 0.
        """
        predicted = network(*self.inputs(images, noise, times), labels)
        return mse_loss(predicted.to(images.dtype), self.target(images, noise, times))

    # Sampling.

    def times(self, sampling: Sampling) -> list[float]:
        """The noise levels that `sampling` visits, from sigma_max to sigma_min, and 0; raises UserError as `check`.

        Evenly spaced in sigma^(1 / rho) (EDM, equation 5).
        """
        self.check(sampling)
        steps = self._sampling_steps(sampling)
        first, last = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        return [(first + (last - first) * step / max(steps - 1, 1)) ** self.rho for step in range(steps)] + [0.0]

    def alpha_bar_at(self, time: float) -> float:
        """1 / (1 + sigma²): x = y / √(1 + sigma²) preserves the variance."""
        return 1 / (1 + time**2)

    def check(self, sampling: Sampling) -> None:
        """Raise UserError for settings that cannot work with continuous noise levels."""
        low, high = sampling.guidance_interval or self.default_interval
        if low > high:
            raise UserError(f"guidance interval {low} {high}: give two noise levels sigma, the smaller first")

    def _sampling_steps(self, sampling: Sampling) -> int:
        return sampling.steps or (self.most_steps if sampling.sampler == "ddpm" else 14)

    @property
    def most_steps(self) -> int:
        """Finer noise levels change nothing that could be seen."""
        return 100

    @property
    def snapshot_times(self) -> tuple[float, ...]:
        """Layout comes first, then strokes, then texture."""
        return self.sigma_max, 4.0, 1.5, 0.7, 0.3, 0.0

    def predict(
        self, network: Denoiser, x: Tensor, time: float, labels: Tensor | None, sampling: Sampling
    ) -> tuple[Tensor, Tensor]:
        """The clean image and the noise in x, each (N, C, H, W), as the guided network sees them at `time`."""
        noisy = math.sqrt(1 + time**2) * x
        sigma = x.new_full(x.shape[:1], time)
        scale, parallel = self.guidance_at(time, sampling), self.parallel_share(sampling)
        clean = self.denoise(network, noisy, sigma, labels, scale, parallel)
        return clean, (noisy - clean) / time

    def denoise(
        self,
        network: Denoiser,
        noisy: Tensor,
        sigma: Tensor,
        labels: Tensor | None,
        scale: float | Tensor = 1.0,
        parallel: float = 1.0,
    ) -> Tensor:
        """D(y), the clean images (N, C, H, W) that the network sees in y (N, C, H, W) at noise levels (N,).

        `scale` and `parallel` as in `models.guidance.guided`.
        """
        c_skip, c_out, c_in, c_noise = self.preconditioning(sigma)

        def clean_of(output: Tensor) -> Tensor:
            return _per_image(c_skip) * noisy + _per_image(c_out) * output

        return clean_of(guided(network, _per_image(c_in) * noisy, c_noise, labels, scale, parallel, clean_of))

    def heun_step(
        self, network: Denoiser, noisy: Tensor, sigma: Tensor, next_sigma: Tensor, labels: Tensor, sampling: Sampling
    ) -> Tensor:
        """y (N, C, H, W) at `next_sigma` (N,) from `noisy` at `sigma` (N,) by Heun's method (EDM, algorithm 1).

        Both noise levels are above 0, each image's its own; guidance is that of `sampling`.
        """

        def slope(noisy: Tensor, sigma: Tensor) -> Tensor:
            low, high = sampling.guidance_interval or self.default_interval
            scale = self.guidance_at(low, sampling)
            scales = torch.where((low <= sigma) & (sigma <= high), scale, 1.0).to(noisy)
            clean = self.denoise(network, noisy, sigma, labels, scales, self.parallel_share(sampling))
            return (noisy - clean) / _per_image(sigma)

        step, first = _per_image(next_sigma - sigma), slope(noisy, sigma)
        second = slope(noisy + step * first, next_sigma)
        return noisy + step * (first + second) / 2


def pixel_deviation(images: np.ndarray) -> float:
    """Standard deviation of all values of uint8 images, as they are in [-1, 1]: `EDM.sigma_data` for them."""
    counts, values = np.bincount(images.ravel(), minlength=256), np.arange(256) / 127.5 - 1
    mean = np.average(values, weights=counts)
    return float(np.sqrt(np.average((values - mean) ** 2, weights=counts)))


def _per_image(values: Tensor) -> Tensor:
    """(N, 1, 1, 1) from (N,)."""
    return values[:, None, None, None]
