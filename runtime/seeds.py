"""Randomness from explicit generators, all derived from one seed by name."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from runtime.device import to_device
from runtime.processes import share_of


def derived_seed(seed: int, *stream: str | int) -> int:
    """A seed below 2**63 for the stream of this name; different names or seeds give unrelated streams."""
    digest = hashlib.sha256("/".join(map(str, (seed, *stream))).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def random_stream(seed: int, *stream: str | int) -> torch.Generator:
    """A CPU generator for the stream of this name: the same numbers on every device and in every process."""
    return torch.Generator().manual_seed(derived_seed(seed, *stream))


BLOCK = 32  # images whose numbers come from one generator


class Draws:
    """Draws, one after the other, of one name.

    They are made for the global batch in blocks of images, each from a generator of its own, so that they do not depend
    on how many processes share the batch: each process draws the blocks of its share of dimension `batch_dim` of
    `shape`, and gets its share, on the stream's device.
    """

    def __init__(self, stream: "RandomStream", *name: str | int):
        self.stream, self.name = stream, name
        self._generators: dict[int, torch.Generator] = {}

    def normal(self, *shape: int, batch_dim: int = 0) -> Tensor:
        """Standard normal numbers, float32."""
        return self.of(torch.randn, *shape, batch_dim=batch_dim)

    def uniform(self, *shape: int, batch_dim: int = 0) -> Tensor:
        """Numbers uniform in [0, 1), float32."""
        return self.of(torch.rand, *shape, batch_dim=batch_dim)

    def integers(self, low: int, high: int, *shape: int, batch_dim: int = 0) -> Tensor:
        """Whole numbers from `low` to `high` - 1, int64."""
        return self.of(partial(torch.randint, low, high), *shape, batch_dim=batch_dim)

    def of(self, draw: Callable[..., Tensor], *shape: int, batch_dim: int = 0) -> Tensor:
        """Numbers of a distribution of one's own: `draw(shape, generator=generator)` for the shape of each block."""
        share = share_of(shape[batch_dim])
        blocks, first = [], share.start // BLOCK
        for block in range(first, -(-share.stop // BLOCK)):
            if block not in self._generators:
                self._generators[block] = self.stream(*self.name, *(("block", block) if block else ()))
            size = min(BLOCK, shape[batch_dim] - block * BLOCK)
            blocks.append(draw((*shape[:batch_dim], size, *shape[batch_dim + 1 :]), generator=self._generators[block]))
        numbers = torch.cat(blocks, batch_dim).narrow(batch_dim, share.start - first * BLOCK, share.stop - share.start)
        return to_device(numbers, self.stream.device)


@dataclass(frozen=True)
class RandomStream:
    """Randomness of a run, which derives from its seed by names: `stream.draws("noise", step).normal(128, 100)`."""

    seed: int
    device: torch.device | str = "cpu"
    prefix: tuple[str | int, ...] = ()

    def within(self, *prefix: str | int) -> "RandomStream":
        """The streams whose names begin with `prefix`."""
        return RandomStream(self.seed, self.device, (*self.prefix, *prefix))

    def draws(self, *name: str | int) -> Draws:
        """Draws from the stream of this name, from its start."""
        return Draws(self, *name)

    def __call__(self, *name: str | int) -> torch.Generator:
        """The generator of this name, at its start."""
        return random_stream(self.seed, *self.prefix, *name)


def image_seeds(seed: int, indices: Sequence[int]) -> Tensor:
    """The seed of each image's generator, int64 (len(indices),): image 17 never changes, however many there are."""
    return torch.tensor([derived_seed(seed, "image", index) for index in indices])


def image_noise(seeds: Tensor, shape: Sequence[int]) -> Callable[[], Tensor]:
    """A function that returns standard normal noise (N, *shape), new in each call, from each image's own generator."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds.tolist()]
    return lambda: torch.stack([torch.randn(tuple(shape), generator=generator) for generator in generators])
