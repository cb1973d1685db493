"""Samplers: a diffusion process run backwards, from pure noise to images.

At each time t a noisy image is x_t = a_t·x_0 + s_t·noise with a_t² + s_t² = 1 (variance-preserving), where
a_t² = alpha_bar(t). What a sampler needs of a process is a `Process`: the times to visit, alpha_bar, and the clean
image and the noise that the network sees in x_t. `models.diffusion` and `models.edm` hold the processes.
"""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar

from torch import Tensor

from models.generator import DEFAULT, DrawNoise, Generator, Sampling
from models.guidance import Denoiser
from runtime.errors import UserError


class DiffusionModel(Generator):
    """A denoiser of images (N, channels, image_size, image_size), times (N,) and labels, with its process."""

    diffusion: "Process"

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """That of the image."""
        return (self.channels, self.image_size, self.image_size)

    def sample(self, draw_noise: DrawNoise, labels: Tensor | None = None, sampling: Sampling = DEFAULT) -> Tensor:
        """As of every generator: where the reverse process ends."""
        ((_, images),) = deque(self.reverse(draw_noise, labels, sampling), maxlen=1)
        return images

    def reverse(
        self, draw_noise: DrawNoise, labels: Tensor | None = None, sampling: Sampling = DEFAULT
    ) -> Iterator[tuple[float, Tensor]]:
        """The reverse process of the arguments of `sample`: (t, x_t) from pure noise to (0, images)."""
        self.check(sampling)
        return self.diffusion.reverse(self, sampling.truncation * draw_noise(), labels, sampling, draw_noise)

    def check(self, sampling: Sampling) -> None:
        """Raise UserError for settings that this process, or a network without classes, cannot be sampled with."""
        self.diffusion.check(sampling)
        if not self.classes and sampling.is_guided:
            raise UserError("guidance needs classes, which these weights have not: leave it out")


class Process(ABC):
    """A diffusion process as the samplers see it."""

    default_sampler: ClassVar[str] = "dpm++"
    default_guidance: ClassVar[float]
    default_interval: ClassVar[tuple[float, float]]
    default_parallel: ClassVar[float]
    default_clip: ClassVar[bool] = False

    @property
    @abstractmethod
    def most_steps(self) -> int:
        """As many sampling steps as there are, or are of use."""

    @property
    @abstractmethod
    def snapshot_times(self) -> tuple[float, ...]:
        """Six times, or fewer where there are not as many, from the first to 0, that show how an image comes about."""

    @abstractmethod
    def times(self, sampling: Sampling) -> list[float]:
        """The times that `sampling` visits, from pure noise to 0; raises UserError as `check`."""

    @abstractmethod
    def alpha_bar_at(self, time: float) -> float:
        """The squared share of the image at one time; 1 at time 0."""

    @abstractmethod
    def predict(
        self, network: Denoiser, x: Tensor, time: float, labels: Tensor | None, sampling: Sampling
    ) -> tuple[Tensor, Tensor]:
        """The clean image and the noise in x, each (N, C, H, W), as the guided network sees them at `time`."""

    @abstractmethod
    def check(self, sampling: Sampling) -> None:
        """Raise UserError for settings that cannot work with this process."""

    def guidance_at(self, position: float, sampling: Sampling) -> float:
        """The guidance scale at a position that `guidance_interval` counts in.

        Guidance only between two noise levels: Kynkäänniemi et al., *Applying Guidance in a Limited Interval*, 2024.
        """
        low, high = sampling.guidance_interval or self.default_interval
        scale = self.default_guidance if sampling.guidance is None else sampling.guidance
        return scale if low <= position <= high else 1.0

    def parallel_share(self, sampling: Sampling) -> float:
        """The share kept of the part of guidance that is parallel to the predicted image."""
        return self.default_parallel if sampling.guidance_parallel is None else sampling.guidance_parallel

    def levels(self, time: float) -> tuple[float, float]:
        """a_t and s_t, the shares of image and noise at one time."""
        alpha_bar = self.alpha_bar_at(time)
        return math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)

    def reverse(
        self, network: Denoiser, noise: Tensor, labels: Tensor | None, sampling: Sampling, draw_noise: DrawNoise
    ) -> Iterator[tuple[float, Tensor]]:
        """The process run backwards: (t, x_t) from the first time, where x is `noise`, to (0, images).

        Every x_t is (N, C, H, W). `draw_noise` returns fresh standard normal noise of that shape for the samplers that
        add some in a step.
        """
        times = self.times(sampling)
        x, older = noise, None
        yield times[0], x
        for time, next_time in pairwise(times):
            clean, predicted_noise = self._seen(network, x, time, labels, sampling)
            match sampling.sampler or self.default_sampler:
                case "ddpm":
                    x = self._ddpm_step(x, clean, time, next_time, sampling.variance, draw_noise)
                case "ddim":
                    x = self._ddim_step(clean, predicted_noise, time, next_time, sampling.eta, draw_noise)
                case "heun":
                    x = self._ddim_step(clean, predicted_noise, time, next_time, 0.0, draw_noise)
                    if next_time > 0:
                        _, next_noise = self._seen(network, x, next_time, labels, sampling)
                        x = self._heun_step(clean, predicted_noise, next_noise, time, next_time)
                case "dpm++":
                    x = self._dpm_step(x, clean, older, time, next_time)
                    older = time, clean
            yield next_time, x

    def _seen(
        self, network: Denoiser, x: Tensor, time: float, labels: Tensor | None, sampling: Sampling
    ) -> tuple[Tensor, Tensor]:
        """What `predict` sees; with `sampling.clip` no value of the clean image is brighter or darker than images have.

        Static thresholding: Saharia et al., *Photorealistic Text-to-Image Diffusion Models*, NeurIPS 2022, section 2.3.
        The noise is then what is left of x.
        """
        clean, noise = self.predict(network, x, time, labels, sampling)
        clips = self.default_clip and labels is not None if sampling.clip is None else sampling.clip
        if not clips:
            return clean, noise
        image_level, noise_level = self.levels(time)
        clean = clean.clamp(-1, 1)
        return clean, (x - image_level * clean) / noise_level

    def _ddpm_step(
        self, x: Tensor, clean: Tensor, time: float, next_time: float, variance: str, draw_noise: DrawNoise
    ) -> Tensor:
        """x at `next_time`, drawn from the posterior given x and the clean image.

        Ho, Jain, Abbeel, *Denoising Diffusion Probabilistic Models*, NeurIPS 2020, equation 7 and section 3.2.
        """
        alpha_bar, next_alpha_bar = self.alpha_bar_at(time), self.alpha_bar_at(next_time)
        beta = 1 - alpha_bar / next_alpha_bar  # of the whole stride
        mean = (
            math.sqrt(next_alpha_bar) * beta / (1 - alpha_bar) * clean
            + math.sqrt(1 - beta) * (1 - next_alpha_bar) / (1 - alpha_bar) * x
        )
        if next_time == 0:
            return mean  # a last image is not made noisy (DDPM, algorithm 2)
        if variance == "fixed_small":
            beta *= (1 - next_alpha_bar) / (1 - alpha_bar)
        return mean + math.sqrt(beta) * draw_noise()

    def _ddim_step(
        self, clean: Tensor, noise: Tensor, time: float, next_time: float, eta: float, draw_noise: DrawNoise
    ) -> Tensor:
        """x at `next_time`, made of the same clean image and noise, a share `eta` of it fresh.

        Song, Meng, Ermon, *Denoising Diffusion Implicit Models*, ICLR 2021, equations 12 and 16.
        """
        alpha_bar, next_alpha_bar = self.alpha_bar_at(time), self.alpha_bar_at(next_time)
        fresh = eta**2 * (1 - next_alpha_bar) / (1 - alpha_bar) * (1 - alpha_bar / next_alpha_bar)
        x = math.sqrt(next_alpha_bar) * clean + math.sqrt(1 - next_alpha_bar - fresh) * noise
        return x + math.sqrt(fresh) * draw_noise() if fresh > 0 else x

    def _heun_step(self, clean: Tensor, noise: Tensor, next_noise: Tensor, time: float, next_time: float) -> Tensor:
        """x at `next_time`, along the mean of the noise seen before the step and after Euler's (`next_noise`).

        Karras et al., *Elucidating the Design Space of Diffusion-Based Generative Models*, NeurIPS 2022, algorithm 1,
        where x_t / a_t moves along the noise as sigma = s_t / a_t falls.
        """
        (image_level, noise_level), (next_image_level, next_noise_level) = self.levels(time), self.levels(next_time)
        sigma, next_sigma = noise_level / image_level, next_noise_level / next_image_level
        return next_image_level * (clean + sigma * noise + (next_sigma - sigma) * (noise + next_noise) / 2)

    def _dpm_step(
        self, x: Tensor, clean: Tensor, older: tuple[float, Tensor] | None, time: float, next_time: float
    ) -> Tensor:
        """x at `next_time` by a second-order step from this clean image and the one of the step before (`older`).

        Lu et al., *DPM-Solver++*, 2022, algorithm 2; the first and the last step are of first order.
        """
        if next_time == 0:
            return clean  # what the first-order step becomes as the noise vanishes
        (_, sigma), (next_alpha, next_sigma) = self.levels(time), self.levels(next_time)
        step = self._log_snr(next_time) - self._log_snr(time)
        if older is not None:
            older_time, older_clean = older
            ratio = (self._log_snr(time) - self._log_snr(older_time)) / step
            clean = clean + (clean - older_clean) / (2 * ratio)
        return next_sigma / sigma * x - next_alpha * math.expm1(-step) * clean

    def _log_snr(self, time: float) -> float:
        """lambda_t = log(a_t / s_t), half the logarithm of the signal-to-noise ratio."""
        image_level, noise_level = self.levels(time)
        return math.log(image_level / noise_level)
