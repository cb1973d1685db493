"""What every generator has in common, whatever it is trained by: noise goes in, images come out, by some settings."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal

from torch import Tensor, nn

from runtime.errors import UserError
from runtime.settings import AT_LEAST_0, SHARE, Range, check_numbers

if TYPE_CHECKING:
    from models.samplers import Process

DrawNoise = Callable[[], Tensor]


@dataclass(frozen=True)
class Sampling:
    """How images are made from noise; all but the truncation is for diffusion networks.

    Raises UserError for numbers out of their ranges.
    """

    sampler: Literal["ddpm", "ddim", "heun", "dpm++"] | None = None
    """Ancestral DDPM, DDIM (without noise: Euler's method), Heun's second-order method with two evaluations a step, or
    the second-order multistep DPM-Solver++(2M), the default. A distilled network has its own."""
    steps: Annotated[int, AT_LEAST_0] = 0
    """Sampling steps; with discrete times, a divisor of T. By default all of the training's for ddpm (100 for EDM); for
    the others 25 or the next smaller divisor of T, 14 for EDM."""
    guidance: Annotated[float | None, Range(0, 100)] = None
    """Guidance scale s in eps_uncond + s·(eps_cond - eps_uncond); 1 is plain conditional sampling. By default 2 for
    discrete times, 5 for EDM; a distilled network has guidance built in."""
    guidance_interval: Annotated[tuple[float, float] | None, AT_LEAST_0] = None
    """Times t/T, or noise levels sigma of EDM, between which guidance acts; outside, sampling is plain conditional and
    costs half. By default everywhere for discrete times, from sigma 0.4 to 12 for EDM."""
    guidance_parallel: Annotated[float | None, SHARE] = None
    """Share that is kept of the part of guidance parallel to the predicted image, which raises contrast and saturation.
    By default 1 for discrete times (plain classifier-free guidance), 0.5 for EDM (0 is adaptive projected guidance)."""
    clip: bool | None = None
    """Clip the predicted image at [-1, 1] in every step (static thresholding), as guidance leads out of that range. By
    default for EDM with classes only."""
    eta: Annotated[float, SHARE] = 0.0
    """Noise of ddim, from 0 (deterministic) to 1 (as much as ddpm with fixed_small)."""
    variance: Literal["fixed_small", "fixed_large"] = "fixed_large"
    """Variance of ddpm's noise: that of the posterior, or the forward step's beta."""
    truncation: Annotated[float, Range(0, 2, open_low=True)] = 1.0
    """Scale of the noise that images are made of: below 1 they are more typical and less varied."""

    def __post_init__(self):
        check_numbers(self)

    @property
    def is_guided(self) -> bool:
        """Whether anything is said about guidance."""
        return (self.guidance, self.guidance_interval, self.guidance_parallel) != (None, None, None)


DEFAULT = Sampling()


def check_width(width: int, multiple: int) -> None:
    """Raise UserError for a width that layers cannot be divided by."""
    if width % multiple:
        raise UserError(f"width {width} does not fit this network: give a multiple of {multiple}")


class Generator(nn.Module):
    """A network that makes images (channels, image_size, image_size) of noise of `latent_shape`.

    `classes` is the number of kinds of images that it can be asked for, 0 where it is given no labels. `diffusion` is
    the process that leads from noise to images in steps (`models.samplers.DiffusionModel`), None where one evaluation
    does.
    """

    classes: int = 0
    image_size: int = 64
    channels: int = 3
    latent_size: int
    diffusion: "Process | None" = None

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of the noise that an image is made of."""
        return (self.latent_size,)

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (N, channels, image_size, image_size) in [-1, 1] of latents (N, *latent_shape), and labels (N,)."""
        return self(latents) if labels is None else self(latents, labels)

    def sample(self, draw_noise: DrawNoise, labels: Tensor | None = None, sampling: Sampling = DEFAULT) -> Tensor:
        """Images (N, channels, image_size, image_size), about [-1, 1], of the noise that `draw_noise` gives first.

        Every call of it returns new standard normal noise (N, *latent_shape), which some samplers add in a step.
        `labels` (N,) from 0 to classes - 1 are for networks with classes. Raises UserError as `check`.
        """
        self.check(sampling)
        return self.generate(sampling.truncation * draw_noise(), labels)

    def check(self, sampling: Sampling) -> None:
        """Raise UserError for settings that this network cannot be sampled with."""
        for field in fields(sampling):
            if field.name != "truncation" and getattr(sampling, field.name) != field.default:
                raise UserError(f"{field.name} is for diffusion networks: these weights make an image in one step")
