"""The one way from latents to pictures, for sample sheets, inference and scores alike."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from models.fastgan import FastGANGenerator
from models.samplers import Process, Sampling
from models.vae import VAE
from runtime.device import Execution
from runtime.errors import UserError
from runtime.images import to_uint8
from runtime.seeds import image_latents, image_noise, image_seeds

DIGIT_SIZE = 28
FRAMES = 100  # of an animation of the reverse process
FACE_GENERATORS = ("generator", "vae", "residual-unet")
DIGIT_GENERATORS = ("acgan28-generator", "acgan64-generator", "unet")


@torch.inference_mode()
def sample_images(
    generator: Callable[..., Tensor],
    latents: Tensor,
    execution: Execution,
    labels: Tensor | None = None,
    chunk: int = 50,
) -> np.ndarray:
    """Pictures uint8 (N, H, W, 3) of latents (N, …), and labels (N,) if any, by a generator in evaluation mode.

    The network always sees `chunk` latents, the last chunk filled up with zeros: a picture then does not depend on
    how many others were asked for. Raises UserError for a generator that needs labels when there are none.
    """
    if labels is None and getattr(generator, "classes", 0):
        raise UserError("these weights make digits and need labels: use inference.generate_digits")
    pictures = []
    for start in range(0, len(latents), chunk):
        parts = [part[start : start + chunk] for part in (latents, labels) if part is not None]
        count = len(parts[0])
        filled = [torch.cat([part, part.new_zeros(chunk - count, *part.shape[1:])]) for part in parts]
        with execution.autocast():
            images = generator(*(part.to(execution.device) for part in filled))
        pictures.append(to_uint8(images[:count]))
    return np.concatenate(pictures)


def sample_faces(
    network: nn.Module,
    seed: int,
    count: int,
    execution: Execution,
    truncation: float = 1.0,
    between: tuple[int, int] | None = None,
    sampling: Sampling = Sampling(),  # noqa: B008 - it is immutable
) -> np.ndarray:
    """Pictures uint8 (count, 64, 64, 3) by a GAN's generator or a VAE in evaluation mode, the noise of each its own.

    `truncation` scales the noise: below 1, faces are more typical and less varied. With `between`, faces go from the
    one of the first number to that of the second. Raises UserError for a generator of digits.
    """
    if is_diffusion(network):
        check_sampling(network.diffusion, sampling)

        def generate(seeds: Tensor) -> Tensor:
            draw_noise = image_noise(seeds, (3, network.image_size, network.image_size))
            labels = torch.full((len(seeds),), -1, device=execution.device)
            return network.diffusion.sample(
                network, draw_noise().to(execution.device), labels, sampling, lambda: draw_noise().to(execution.device)
            )

        return sample_images(generate, image_seeds(seed, range(count)), execution)
    size = network.noise_size if isinstance(network, VAE) else network.latent_size
    if between is None:
        latents = image_latents(seed, range(count), size)
    else:
        latents = interpolate_latents(*image_latents(seed, between, size), count)
    if isinstance(network, FastGANGenerator):  # it puts its latents on the sphere, so it must scale them itself
        return sample_images(partial(network, truncation=truncation), latents, execution)
    generate = network.generate if isinstance(network, VAE) else network
    return sample_images(generate, truncation * latents, execution)


def interpolate_latents(first: Tensor, last: Tensor, count: int) -> Tensor:
    """`count` latents (count, L) from `first` to `last` (L,) at equal angles, and lengths between theirs.

    Straight lines pass nearer to the origin than noise ever lies (White, *Sampling Generative Networks*, 2016,
    section 2).
    """
    share = torch.linspace(0, 1, count)[:, None]
    cosine = torch.nn.functional.cosine_similarity(first, last, dim=0).clamp(-1, 1)
    angle = torch.acos(cosine)
    if angle < 1e-3:
        return torch.lerp(first, last, share)
    return (torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * last) / torch.sin(angle)


def requests(seed: int, per_class: int) -> tuple[Tensor, Tensor]:
    """Seeds and labels, each int64 (10·per_class,), digit by digit; number 17 of a digit never changes."""
    numbers = [10 * number + digit for digit in range(10) for number in range(per_class)]
    return image_seeds(seed, numbers), torch.arange(10).repeat_interleave(per_class)


def grid_requests(seed: int) -> tuple[Tensor, Tensor]:
    """Seeds and labels, each int64 (100,), of a sheet with ten columns: a row a digit, the same noise down a column."""
    return image_seeds(seed, range(10)).repeat(10), torch.arange(10).repeat_interleave(10)


def sample_digits(
    network: nn.Module,
    seeds: Tensor,
    labels: Tensor,
    execution: Execution,
    sampling: Sampling = Sampling(),  # noqa: B008 - it is immutable
) -> np.ndarray:
    """Pictures uint8 (N, 28, 28, 3) of the digits `labels` (N,), each from the noise of its own seed (N,).

    `network` is a generator of an ACGAN or a diffusion network, in evaluation mode; `sampling` is for the latter.
    Raises UserError as `check_sampling`.
    """
    if is_diffusion(network):
        check_sampling(network.diffusion, sampling)

    def generate(seeds: Tensor, labels: Tensor) -> Tensor:
        if not is_diffusion(network):
            latents = image_noise(seeds, (network.latent_size,))().to(execution.device)
            return resize_digits(network(latents, labels))
        draw_noise = image_noise(seeds, (3, DIGIT_SIZE, DIGIT_SIZE))
        return network.diffusion.sample(
            network, draw_noise().to(execution.device), labels, sampling, lambda: draw_noise().to(execution.device)
        )

    return sample_images(generate, seeds, execution, labels)


@torch.inference_mode()
def reverse_process(
    network: nn.Module, seed: int, label: int, execution: Execution, sampling: Sampling
) -> tuple[list[float], np.ndarray]:
    """How a diffusion network makes one digit: the times visited, down to 0, and a picture uint8 (28, 28, 3) of each.

    `seed` is that of the digit's noise. Raises UserError as `check_sampling`.
    """
    check_sampling(network.diffusion, sampling)
    noise = image_noise(torch.tensor([seed]), (3, DIGIT_SIZE, DIGIT_SIZE))

    def draw_noise() -> Tensor:
        return noise().to(execution.device)

    labels = torch.tensor([label], device=execution.device)
    with execution.autocast():
        reverse = network.diffusion.reverse(network, draw_noise(), labels, sampling, draw_noise)
        times, states = zip(*reverse, strict=True)
    return list(times), to_uint8(torch.cat(states))


def nearest(times: list[float], wanted: Sequence[float]) -> list[int]:
    """The index, for each of the times `wanted`, of the nearest in `times`."""
    return [min(range(len(times)), key=lambda index: abs(times[index] - time)) for time in wanted]


def is_diffusion(network: nn.Module) -> bool:
    """Whether `network` makes images by a diffusion process, which it then carries."""
    return hasattr(network, "diffusion")


def check_sampling(diffusion: Process, sampling: Sampling) -> None:
    """Raise UserError for settings that `diffusion` cannot be sampled with."""
    try:
        diffusion.check(sampling)
    except ValueError as error:
        raise UserError(str(error)) from error


def resize_digits(images: Tensor) -> Tensor:
    """Images (N, 3, H, W) at the size of digits, (N, 3, 28, 28), by antialiased bilinear filtering."""
    if images.shape[2:] == (DIGIT_SIZE, DIGIT_SIZE):
        return images
    return interpolate(images.float(), DIGIT_SIZE, mode="bilinear", antialias=True)
