"""What every generator has in common, whatever it is trained by: noise goes in, images come out."""

from collections.abc import Callable, Iterator
from dataclasses import fields

from torch import Tensor, nn

from models.samplers import DEFAULT, Process, Sampling
from runtime.errors import UserError

DrawNoise = Callable[[], Tensor]


def check_width(width: int, multiple: int) -> None:
    """Raise UserError for a width that layers cannot be divided by."""
    if width % multiple:
        raise UserError(f"width {width} does not fit this network: give a multiple of {multiple}")


class Generator(nn.Module):
    """A network that makes images (channels, image_size, image_size) of noise of `latent_shape`.

    `classes` is the number of kinds of images that it can be asked for, 0 where it is given no labels. `diffusion` is
    the process that leads from noise to images in steps, None where one evaluation does.
    """

    classes: int = 0
    image_size: int = 64
    channels: int = 3
    latent_size: int
    diffusion: Process | None = None

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


class DiffusionModel(Generator):
    """A denoiser of images (N, channels, image_size, image_size), times (N,) and labels, with its process."""

    diffusion: Process

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """That of the image."""
        return (self.channels, self.image_size, self.image_size)

    def sample(self, draw_noise: DrawNoise, labels: Tensor | None = None, sampling: Sampling = DEFAULT) -> Tensor:
        """As of every generator: where the reverse process ends."""
        self.check(sampling)
        return self.diffusion.sample(self, sampling.truncation * draw_noise(), labels, sampling, draw_noise)

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
