"""Diffusion in discrete time, as the reports train it: noise schedules, the loss, and what a prediction means.

Time is a whole number t: 0 is a clean image, T pure noise, and between them x_t = a_t·x_0 + s_t·noise, where
a_t² = alpha_bar_t falls from 1 and s_t² = 1 - alpha_bar_t grows from 0 (Ho, Jain, Abbeel, *Denoising Diffusion
Probabilistic Models* [DDPM], NeurIPS 2020, equation 4). The network is given t / T, in (0, 1]; it predicts the noise,
or the velocity v.
"""

import math
from dataclasses import dataclass
from functools import cache, cached_property
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from models.generator import Sampling
from models.guidance import Denoiser, guided
from models.samplers import Process
from runtime.errors import UserError

Schedule = Literal["linear", "cosine"]
Prediction = Literal["epsilon", "v"]


@dataclass(frozen=True)
class Diffusion(Process):
    """A noise schedule over `steps` times and what the network predicts; a network is of use only with its own."""

    default_guidance: ClassVar[float] = 2.0
    default_interval: ClassVar[tuple[float, float]] = (0.0, 1.0)
    default_parallel: ClassVar[float] = 1.0

    steps: int = 1000
    schedule: Schedule = "linear"
    prediction: Prediction = "epsilon"
    snapshots: tuple[float, ...] = (1, 0.6, 0.2, 0.12, 0.08, 0)
    """Shares of T at which the reverse process is shown; most of the picture comes late."""

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

    # Training.

    def random_times(self, shape: tuple[int], generator: torch.Generator) -> Tensor:
        """Times int64 to train at, on the CPU, each from 1 to T and equally likely."""
        return torch.randint(1, self.steps + 1, shape, generator=generator)

    def inputs(self, images: Tensor, noise: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """What the network is given of images and noise (N, C, H, W) at `times` (N,): x_t, and t / T (N,)."""
        return self.add_noise(images, noise, times), (times / self.steps).to(images)

    def add_noise(self, images: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """x_t of images (N, C, H, W) at int64 times (N,), each from 1 to T."""
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

    def loss(self, network: Denoiser, images: Tensor, labels: Tensor | None, times: Tensor, noise: Tensor) -> Tensor:
        """Mean squared error of the prediction, all times weighted alike (DDPM, equation 14); one scalar.

        images and noise (N, C, H, W), images in [-1, 1]; labels (N,) or none; times (N,), each from 1 to T.
        """
        predicted = network(*self.inputs(images, noise, times), labels)
        return mse_loss(predicted.to(images.dtype), self.target(images, noise, times))

    def _batch_levels(self, images: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """a_t and s_t, each (N, 1, 1, 1)."""
        alpha_bar = _alpha_bar_on(images.device, self)[times][:, None, None, None]
        return alpha_bar.sqrt().to(images), (1 - alpha_bar).sqrt().to(images)

    # Sampling.

    def times(self, sampling: Sampling) -> list[int]:
        """The times that `sampling` visits, evenly spaced from T to 0; raises UserError as `check`."""
        self.check(sampling)
        stride = self.steps // self._sampling_steps(sampling)
        return list(range(self.steps, -1, -stride))

    def alpha_bar_at(self, time: int) -> float:
        """alpha_bar_t at one time."""
        return self.alpha_bar[time].item()

    def check(self, sampling: Sampling) -> None:
        """Raise UserError for settings that cannot work with this schedule."""
        steps = self._sampling_steps(sampling)
        if self.steps % steps:
            raise UserError(f"steps {steps} does not divide the {self.steps} steps that the network was trained for")
        low, high = sampling.guidance_interval or self.default_interval
        if not low <= high <= 1:
            raise UserError(f"guidance interval {low} {high}: give two times t/T, from 0 to 1, the smaller first")

    def _sampling_steps(self, sampling: Sampling) -> int:
        if sampling.steps or sampling.sampler == "ddpm":
            return sampling.steps or self.steps
        return max(steps for steps in range(1, 26) if self.steps % steps == 0)

    @property
    def most_steps(self) -> int:
        """All of the training's."""
        return self.steps

    @property
    def snapshot_times(self) -> tuple[float, ...]:
        """Whole times."""
        return tuple(round(share * self.steps) for share in self.snapshots)

    def predict(
        self, network: Denoiser, x: Tensor, time: int, labels: Tensor | None, sampling: Sampling
    ) -> tuple[Tensor, Tensor]:
        """The clean image and the noise in x, each (N, C, H, W), as the guided network sees them at `time`."""
        fraction = time / self.steps
        image_level, noise_level = self.levels(time)

        def clean_of(output: Tensor) -> Tensor:
            if self.prediction == "v":
                return image_level * x - noise_level * output
            return (x - noise_level * output) / image_level

        scale, parallel = self.guidance_at(fraction, sampling), self.parallel_share(sampling)
        output = guided(network, x, x.new_full(x.shape[:1], fraction), labels, scale, parallel, clean_of)
        noise = noise_level * x + image_level * output if self.prediction == "v" else output
        return clean_of(output), noise


@cache
def _alpha_bar_on(device: torch.device, diffusion: Diffusion) -> Tensor:
    """alpha_bar of `diffusion` on `device`, where every step looks it up."""
    return diffusion.alpha_bar.to(device)
