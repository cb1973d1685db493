"""The one way from noise to pictures, for sample grids, inference and scores alike."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from models.generator import DEFAULT, Generator, Sampling
from models.samplers import DiffusionModel
from models.weights import load_weights
from runtime.device import Execution
from runtime.errors import UserError
from runtime.images import image_grid, to_uint8
from runtime.processes import is_first, of_all_shares, own_share
from runtime.seeds import image_noise, image_seeds

CHUNKS = {"cuda": 200}  # pictures that a network makes at once; elsewhere 50
MOST_ROWS = 20  # of a grid of classes
FRAMES = 100  # of an animation of the reverse process


def load_generator(path: Path, makes: Literal["digits", "faces"]) -> tuple[Generator, dict[str, Any]]:
    """The generator of a weights file, in evaluation mode on the CPU, and how it was made.

    It makes digits if it has classes, else faces. Raises UserError for weights of the other, and as `load_weights`.
    """
    generator, about = load_weights(path, Generator)
    if generator.classes and makes == "faces":
        raise UserError("these weights make digits and need labels: use inference.generate_digits")
    if not generator.classes and makes == "digits":
        raise UserError("these weights make faces, which have no labels: use inference.generate_faces")
    return generator, about


@torch.inference_mode()
def make_images(make: Callable[..., Tensor], *parts: Tensor, execution: Execution, chunk: int = 0) -> np.ndarray:
    """Pictures uint8 (N, H, W, 3) that `make` makes, as images in [-1, 1], of `parts` (N, …).

    It always sees `chunk` of each, or the device's CHUNKS, the last chunk filled up with zeros: a picture then does not
    depend on how many others were asked for. Several processes share the chunks, and all get all pictures.
    """
    pictures, total, chunk = [], len(parts[0]), chunk or CHUNKS.get(execution.device.type, 50)
    silent = None if is_first() else True
    with tqdm(desc="generating", total=total, unit="pictures", leave=False, disable=silent) as bar:
        for start in own_share(range(0, total, chunk)):
            cut = [part[start : start + chunk] for part in parts]
            count = len(cut[0])
            filled = [torch.cat([part, part.new_zeros(chunk - count, *part.shape[1:])]) for part in cut]
            with execution.autocast():
                images = make(*filled)
            pictures.append(to_uint8(images[:count]))
            bar.update(count)
    return np.concatenate(of_all_shares(pictures))


def sample_images(
    generator: Generator,
    seeds: Tensor,
    execution: Execution,
    labels: Tensor | None = None,
    sampling: Sampling = DEFAULT,
) -> np.ndarray:
    """Pictures uint8 (N, H, W, 3), each from the noise of its own seed (N,), by a generator in evaluation mode.

    `labels` (N,) are what pictures a generator with classes is asked for. Raises UserError as `Generator.check`.
    """

    def make(seeds: Tensor, labels: Tensor | None = None) -> Tensor:
        draw_noise = noise_of(generator, seeds, execution)
        return generator.sample(draw_noise, None if labels is None else labels.to(execution.device), sampling)

    return make_images(make, seeds, *(() if labels is None else (labels,)), execution=execution)


def sample_between(
    generator: Generator,
    seeds: Tensor,
    count: int,
    execution: Execution,
    label: int | None = None,
    sampling: Sampling = DEFAULT,
) -> np.ndarray:
    """`count` pictures uint8 (count, H, W, 3) on the way from the noise of one seed to that of another, `seeds` (2,).

    All are of one `label`, if the generator has classes. Raises UserError for samplers that add noise of their own,
    and as `Generator.check`.
    """
    if sampling.sampler == "ddpm" or sampling.eta:
        raise UserError("between two images only their noise may change: leave out --sampler ddpm and --eta")
    latents = interpolate_noise(*image_noise(seeds, generator.latent_shape)(), count)

    def make(latents: Tensor) -> Tensor:
        labels = None if label is None else torch.full(latents.shape[:1], label, device=execution.device)
        return generator.sample(lambda: latents.to(execution.device), labels, sampling)

    return make_images(make, latents, execution=execution)


def noise_of(generator: Generator, seeds: Tensor, execution: Execution) -> Callable[[], Tensor]:
    """What draws noise (N, *latent_shape), new in each call, from each seed (N,) on its own."""
    draw_noise = image_noise(seeds, generator.latent_shape)
    return lambda: draw_noise().to(execution.device)


def interpolate_noise(first: Tensor, last: Tensor, count: int) -> Tensor:
    """`count` of a noise (count, …), from `first` to `last` (…) at equal angles, and of lengths between theirs.

    Straight lines pass nearer to the origin than noise ever lies (White, *Sampling Generative Networks*, 2016,
    section 2).
    """
    share = torch.linspace(0, 1, count).reshape(-1, *[1] * first.dim())
    cosine = torch.nn.functional.cosine_similarity(first.flatten(), last.flatten(), dim=0).clamp(-1, 1)
    angle = torch.acos(cosine)
    if angle < 1e-3:
        return torch.lerp(first, last, share)
    return (torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * last) / torch.sin(angle)


def requests(seed: int, per_class: int, classes: int = 10) -> tuple[Tensor, Tensor]:
    """Seeds and labels, each int64 (classes·per_class,), class by class; number 17 of a class never changes."""
    labels = torch.arange(classes).repeat_interleave(per_class)
    return request_seeds(seed, labels.tolist(), classes), labels


def request_seeds(seed: int, labels: Sequence[int], classes: int = 10) -> Tensor:
    """The seed, int64 (N,), of each of the `labels`: the first 3 has the same noise among any others."""
    met: Counter[int] = Counter()
    numbers = []
    for label in labels:
        numbers.append(classes * met[label] + label)
        met[label] += 1
    return image_seeds(seed, numbers)


def grid_requests(seed: int, classes: int = 10) -> tuple[Tensor, Tensor]:
    """Seeds and labels, each int64 (10·rows,), of a grid of ten columns: a row a class, a noise down a column.

    Of many classes the first MOST_ROWS are shown.
    """
    classes = min(classes, MOST_ROWS)
    return image_seeds(seed, range(10)).repeat(classes), torch.arange(classes).repeat_interleave(10)


def sample_grid(
    generator: Generator, seed: int, execution: Execution, sampling: Sampling = DEFAULT, faces: int = 64
) -> np.ndarray:
    """A grid from fixed noise vectors, uint8 (H, W, C): a row a class, the same noise down a column; or `faces`."""
    if generator.classes:
        seeds, labels = grid_requests(seed, generator.classes)
        return image_grid(sample_images(generator, seeds, execution, labels, sampling), columns=10)
    return image_grid(sample_images(generator, image_seeds(seed, range(faces)), execution, sampling=sampling))


@torch.inference_mode()
def reverse_process(
    network: DiffusionModel, seed: int, label: int, execution: Execution, sampling: Sampling
) -> tuple[list[float], np.ndarray]:
    """How a diffusion network makes one digit: the times visited, down to 0, and a picture uint8 (H, W, C) of each.

    `seed` is that of the digit's noise. Raises UserError as `DiffusionModel.check`.
    """
    labels = torch.tensor([label], device=execution.device)
    with execution.autocast():
        reverse = network.reverse(noise_of(network, torch.tensor([seed]), execution), labels, sampling)
        times, states = zip(*reverse, strict=True)
    return list(times), to_uint8(torch.cat(states))


def nearest(times: list[float], wanted: Sequence[float]) -> list[int]:
    """The index, for each of the times `wanted`, of the nearest in `times`."""
    return [min(range(len(times)), key=lambda index: abs(times[index] - time)) for time in wanted]
