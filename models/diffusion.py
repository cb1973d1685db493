"""Diffusion: noise schedules, the training loss, guidance, and the samplers that run the process backwards.

Time is a whole number t: 0 is a clean image, T pure noise, and between them x_t = a_t·x_0 + s_t·noise, where
a_t² = alpha_bar_t falls from 1 and s_t² = 1 - alpha_bar_t grows from 0 (Ho, Jain, Abbeel, *Denoising Diffusion
Probabilistic Models* [DDPM], NeurIPS 2020, equation 4). A denoiser is `network(x, t / T, labels)`, of x (N, C, H, W),
times (N,) in (0, 1] and labels (N,), where NO_LABEL stands for none; it predicts the noise, or the velocity v.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

Schedule = Literal["linear", "cosine"]
Prediction = Literal["epsilon", "v"]
Denoiser = Callable[[Tensor, Tensor, Tensor], Tensor]

NO_LABEL = -1


@dataclass(frozen=True)
class Sampling:
    """How images are made from noise by a diffusion network."""

    sampler: Literal["ddpm", "ddim", "dpm++"] = "dpm++"
    """Ancestral DDPM, DDIM, or the second-order multistep DPM-Solver++(2M)."""
    steps: int = 0
    """Steps of the sampler, a divisor of the training's (0: all of them for ddpm, 20 for the others)."""
    guidance: float = 2.0
    """Guidance scale s in eps_uncond + s·(eps_cond - eps_uncond); 1 is plain conditional sampling."""
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    """Times t/T between which guidance acts; outside, sampling is plain conditional and costs half."""
    eta: float = 0.0
    """Noise of ddim, from 0 (deterministic) to 1 (as much as ddpm with fixed_small)."""
    variance: Literal["fixed_small", "fixed_large"] = "fixed_large"
    """Variance of ddpm's noise: that of the posterior, or the forward step's beta."""


@dataclass(frozen=True)
class Diffusion:
    """A noise schedule over `steps` times and what the network predicts; a network is of use only with its own."""

    steps: int = 1000
    schedule: Schedule = "linear"
    prediction: Prediction = "epsilon"

    @cached_property
    def alpha_bar(self) -> Tensor:
        """alpha_bar_t for t = 0 … T, float64 (T + 1,), falling from 1.

        linear: betas from 1e-4 to 0.02 (DDPM, section 4). cosine: alpha_bar follows a squared cosine, betas at most
        0.999 (Nichol, Dhariwal, *Improved Denoising Diffusion Probabilistic Models*, ICML 2021, equation 17).
        """
        if self.schedule == "linear":
            betas = torch.linspace(1e-4, 0.02, self.steps, dtype=torch.float64)
        else:
            times = torch.linspace(0, 1, self.steps + 1, dtype=torch.float64)
            curve = ((times + 0.008) / 1.008 * math.pi / 2).cos().square()
            betas = (1 - curve[1:] / curve[:-1]).clamp(max=0.999)
        return torch.cat([betas.new_ones(1), (1 - betas).cumprod(0)])

    def levels(self, time: int) -> tuple[float, float]:
        """a_t and s_t, the shares of image and noise at one time."""
        alpha_bar = self.alpha_bar[time].item()
        return math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)

    # Training.

    def add_noise(self, images: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """x_t of images (N, C, H, W) at int64 times (N,) on the CPU, each from 1 to T."""
        image_level, noise_level = self._batch_levels(images, times)
        return image_level * images + noise_level * noise

    def target(self, images: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """What the network should predict for `add_noise` of the same arguments: the noise, or the velocity.

        v = a_t·noise - s_t·x_0 (Salimans, Ho, *Progressive Distillation*, ICLR 2022, section 4).
        """
        if self.prediction == "epsilon":
            return noise
        image_level, noise_level = self._batch_levels(images, times)
        return image_level * noise - noise_level * images

    def loss(self, network: Denoiser, images: Tensor, labels: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        """Mean squared error of the prediction, all times weighted alike (DDPM, equation 14); one scalar.

        images and noise (N, C, H, W), images in [-1, 1]; labels (N,); times (N,) on the CPU, each from 1 to T.
        """
        predicted = network(self.add_noise(images, noise, times), self.fractions(times, images), labels)
        return mse_loss(predicted.to(images.dtype), self.target(images, noise, times))

    def fractions(self, times: Tensor, like: Tensor) -> Tensor:
        """t / T for the network, (N,), of the type and on the device of `like`."""
        return (times / self.steps).to(like)

    def _batch_levels(self, images: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """a_t and s_t, each (N, 1, 1, 1)."""
        alpha_bar = self.alpha_bar[times][:, None, None, None]
        return alpha_bar.sqrt().to(images), (1 - alpha_bar).sqrt().to(images)

    # Sampling.

    def sample(
        self, network: Denoiser, noise: Tensor, labels: Tensor, sampling: Sampling, draw_noise: Callable[[], Tensor]
    ) -> Tensor:
        """Images (N, C, H, W), about [-1, 1], from noise (N, C, H, W) and labels (N,); raises ValueError as `check`."""
        ((_, images),) = deque(self.reverse(network, noise, labels, sampling, draw_noise), maxlen=1)
        return images

    def reverse(
        self, network: Denoiser, noise: Tensor, labels: Tensor, sampling: Sampling, draw_noise: Callable[[], Tensor]
    ) -> Iterator[tuple[int, Tensor]]:
        """The process run backwards: (t, x_t) from (T, `noise`) to (0, images), each x_t (N, C, H, W).

        `draw_noise` returns fresh standard normal noise (N, C, H, W) for the samplers that add some in a step.
        """
        times = self.times(sampling)
        x, older = noise, None
        yield times[0], x
        for time, next_time in pairwise(times):
            clean, predicted_noise = self.predict(network, x, time, labels, sampling)
            match sampling.sampler:
                case "ddpm":
                    x = self._ddpm_step(x, clean, time, next_time, sampling.variance, draw_noise)
                case "ddim":
                    x = self._ddim_step(clean, predicted_noise, time, next_time, sampling.eta, draw_noise)
                case "dpm++":
                    x = self._dpm_step(x, clean, older, time, next_time)
                    older = time, clean
            yield next_time, x

    def times(self, sampling: Sampling) -> list[int]:
        """The times that `sampling` visits, evenly spaced from T to 0; raises ValueError as `check`."""
        self.check(sampling)
        stride = self.steps // self._sampling_steps(sampling)
        return list(range(self.steps, -1, -stride))

    def check(self, sampling: Sampling) -> None:
        """Raise ValueError, with a line for the user, for settings that cannot work with this schedule."""
        steps = self._sampling_steps(sampling)
        if not 1 <= steps <= self.steps or self.steps % steps:
            raise ValueError(f"--steps {steps} does not divide the {self.steps} steps that the network was trained for")
        if sampling.guidance < 0:
            raise ValueError(f"--guidance {sampling.guidance} is negative: 1 is none, larger is stronger")
        low, high = sampling.guidance_interval
        if not 0 <= low <= high <= 1:
            raise ValueError(f"--guidance-interval {low} {high}: give two times t/T, from 0 to 1, the smaller first")
        if not 0 <= sampling.eta <= 1:
            raise ValueError(f"--eta {sampling.eta} is not between 0 and 1")

    def _sampling_steps(self, sampling: Sampling) -> int:
        return sampling.steps or (self.steps if sampling.sampler == "ddpm" else 20)

    def predict(
        self, network: Denoiser, x: Tensor, time: int, labels: Tensor, sampling: Sampling
    ) -> tuple[Tensor, Tensor]:
        """The clean image and the noise in x, each (N, C, H, W), as the guided network sees them at `time`.

        Guidance only between two noise levels: Kynkäänniemi et al., *Applying Guidance in a Limited Interval*, 2024.
        """
        fraction = time / self.steps
        low, high = sampling.guidance_interval
        scale = sampling.guidance if low <= fraction <= high else 1.0
        output = guided(network, x, x.new_full(x.shape[:1], fraction), labels, scale)
        image_level, noise_level = self.levels(time)
        if self.prediction == "v":
            return image_level * x - noise_level * output, noise_level * x + image_level * output
        return (x - noise_level * output) / image_level, output

    def _ddpm_step(
        self, x: Tensor, clean: Tensor, time: int, next_time: int, variance: str, draw_noise: Callable[[], Tensor]
    ) -> Tensor:
        """x at `next_time`, drawn from the posterior given x and the clean image (DDPM, equation 7, section 3.2)."""
        alpha_bar, next_alpha_bar = self.alpha_bar[time].item(), self.alpha_bar[next_time].item()
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
        self, clean: Tensor, noise: Tensor, time: int, next_time: int, eta: float, draw_noise: Callable[[], Tensor]
    ) -> Tensor:
        """x at `next_time`, made of the same clean image and noise, a share `eta` of it fresh.

        Song, Meng, Ermon, *Denoising Diffusion Implicit Models*, ICLR 2021, equations 12 and 16.
        """
        alpha_bar, next_alpha_bar = self.alpha_bar[time].item(), self.alpha_bar[next_time].item()
        fresh = eta**2 * (1 - next_alpha_bar) / (1 - alpha_bar) * (1 - alpha_bar / next_alpha_bar)
        x = math.sqrt(next_alpha_bar) * clean + math.sqrt(1 - next_alpha_bar - fresh) * noise
        return x + math.sqrt(fresh) * draw_noise() if fresh > 0 else x

    def _dpm_step(
        self, x: Tensor, clean: Tensor, older: tuple[int, Tensor] | None, time: int, next_time: int
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

    def _log_snr(self, time: int) -> float:
        """lambda_t = log(a_t / s_t), half the logarithm of the signal-to-noise ratio."""
        image_level, noise_level = self.levels(time)
        return math.log(image_level / noise_level)


def guided(network: Denoiser, x: Tensor, times: Tensor, labels: Tensor, scale: float) -> Tensor:
    """The prediction eps_uncond + scale·(eps_cond - eps_uncond), of the shape of x (N, C, H, W).

    Ho, Salimans, *Classifier-Free Diffusion Guidance*, 2022, equation 6, with scale = w + 1. Both halves go through
    the network in one batch. A velocity may be guided alike: at a given x it is linear in the noise.
    """
    if scale == 1:
        return network(x, times, labels).to(x.dtype)
    no_labels = torch.full_like(labels, NO_LABEL)
    both = network(torch.cat([x, x]), torch.cat([times, times]), torch.cat([no_labels, labels]))
    unconditional, conditional = both.to(x.dtype).chunk(2)
    return unconditional + scale * (conditional - unconditional)


def drop_labels(labels: Tensor, uniform: Tensor, probability: float) -> Tensor:
    """Labels (N,) with NO_LABEL where the draw `uniform` (N,) in [0, 1) is below `probability`, image by image.

    So one network learns both the conditional and the unconditional prediction (Ho, Salimans 2022, algorithm 1).
    """
    return labels.masked_fill(uniform < probability, NO_LABEL)


def label_vectors(labels: Tensor, classes: int) -> Tensor:
    """One-hot vectors float32 (N, classes) of labels (N,), all zero for NO_LABEL."""
    return (labels[:, None] == torch.arange(classes, device=labels.device)).float()
