"""Randomness from explicit generators, all derived from one seed by name."""

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def derived_seed(seed: int, *stream: str | int) -> int:
    """A seed below 2**63 for the stream of this name; different names or seeds give unrelated streams."""
    digest = hashlib.sha256("/".join(map(str, (seed, *stream))).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def random_stream(seed: int, *stream: str | int) -> torch.Generator:
    """A CPU generator for the stream of this name: the same numbers on every device and in every process."""
    return torch.Generator().manual_seed(derived_seed(seed, *stream))


def image_latents(seed: int, indices: Sequence[int], latent_size: int) -> Tensor:
    """Standard normal latents (len(indices), latent_size), one generator an image: image 17 never changes."""
    return torch.stack([torch.randn(latent_size, generator=random_stream(seed, "image", index)) for index in indices])


def image_seeds(seed: int, indices: Sequence[int]) -> Tensor:
    """The seed of each image's generator, int64 (len(indices),): those that `image_latents` draws from."""
    return torch.tensor([derived_seed(seed, "image", index) for index in indices])


def image_noise(seeds: Tensor, shape: Sequence[int]) -> Callable[[], Tensor]:
    """A function that returns standard normal noise (N, *shape), new in each call, from each image's own generator."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds.tolist()]
    return lambda: torch.stack([torch.randn(tuple(shape), generator=generator) for generator in generators])
