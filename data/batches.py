"""Endless shuffled batches from a uint8 array, kept on the device where it fits."""

from zlib import adler32

import numpy as np
import torch
from torch import Tensor

from runtime.ahead import Ahead
from runtime.device import to_device
from runtime.errors import UserError
from runtime.images import from_uint8
from runtime.processes import check_agreement, share_of
from runtime.seeds import RandomStream

RESIDENT_BYTES = 8 * 2**30


class ImageBatches:
    """Batches of a uint8 array (N, H, W, 3) as float32 (n, 3, H, W) in [-1, 1], channels last in memory.

    A batch is a function of its number alone: `batch(17)` is the same images, flipped alike, in every run of one seed,
    so going on after a stop needs no state. An epoch is a permutation of the images, sent to the device at once; what
    does not fill a batch is left for the next. Randomness is of `stream`, on whose device the batches are; this process
    takes its share of every global batch. An array larger than `resident_bytes` (`room` of the device) stays
    memory-mapped, and the next batch is gathered while this one is used. `labels` (N,) are needed for `labelled_batch`,
    and for `balanced`: every class is then met equally often, so in an epoch a rare picture more than once and not all
    of the frequent ones.

    Raises UserError, which says `what` they are, when there are fewer images than a batch.
    """

    def __init__(
        self,
        images: np.ndarray,
        batch_size: int,
        stream: RandomStream,
        flip: bool = False,
        labels: np.ndarray | None = None,
        balanced: bool = False,
        resident_bytes: int | None = None,
        what: str = "pictures",
    ):
        if len(images) < batch_size:
            raise UserError(f"{len(images)} {what} do not fill a batch of {batch_size}: use a smaller --batch-size")
        check_agreement("images", lambda: (len(images), adler32(images[:: -(-len(images) // 1000)].tobytes())))
        self.batch_size, self.stream, self.device = batch_size, stream, stream.device
        self.flip, self.balanced = flip, balanced
        self.part = share_of(batch_size)
        self.count = len(images)
        self.per_epoch = self.count // batch_size
        self.images = images
        self.resident = images.nbytes <= (room(self.device) if resident_bytes is None else resident_bytes)
        self.home = self.device if self.resident else "cpu"  # where batches are gathered
        if self.resident:
            self.images = torch.from_numpy(np.array(images)).to(self.home)
        self.labels = None if labels is None else torch.from_numpy(labels)
        self.home_labels = None if labels is None else self.labels.to(self.home)
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))
        self._read = Ahead(lambda number: (self._gather(self.indices(number)),), self.device)

    def batch(self, number: int) -> Tensor:
        """The batch of this number, counted from 0 through all epochs: (n, 3, H, W) in [-1, 1] on the device."""
        images = self.images[self.indices(number)] if self.resident else self._read(number)[0]
        images = from_uint8(images)
        if self.flip:
            flipped = self.stream.draws("flip", number).uniform(self.batch_size) < 0.5
            images = torch.where(flipped[:, None, None, None], images.flip(3), images)
        return images

    def labelled_batch(self, number: int) -> tuple[Tensor, Tensor]:
        """The batch of this number and its images' labels (n,), int64 on the device."""
        return self.batch(number), to_device(self.home_labels[self.indices(number)], self.device)

    def indices(self, number: int) -> Tensor:
        """Which images (n,) the batch of this number holds."""
        epoch, position = divmod(number, self.per_epoch)
        order = self._order  # which the reading thread may replace
        if order[0] != epoch:
            order = self._order = (epoch, to_device(self._order_of(epoch), self.home))
        start = position * self.batch_size
        return order[1][start : start + self.batch_size][self.part]

    def _order_of(self, epoch: int) -> Tensor:
        """The images of an epoch (N,): a permutation, or as many with one of each class in every round."""
        generator = self.stream("order", epoch)
        order = torch.randperm(self.count, generator=generator)
        if not self.balanced:
            return order
        labels = self.labels[order]
        classes = [order[labels == label] for label in labels.unique()]
        rounds = -(-self.count // len(classes))
        by_turns = torch.stack([indices[torch.arange(rounds) % len(indices)] for indices in classes], 1)
        # No class has a place in the rounds: what goes by places, as changes by turns do, must not go by class.
        places = torch.rand(by_turns.shape, generator=generator).argsort(1)
        return by_turns.gather(1, places).flatten()[: self.count]

    def _gather(self, indices: Tensor) -> Tensor:
        """Images read in the order in which they lie on disk."""
        order = indices.argsort()
        images = torch.empty(len(indices), *self.images.shape[1:], dtype=torch.uint8)
        images[order] = torch.from_numpy(self.images[indices[order].numpy()])
        return images


def room(device: torch.device | str) -> int:
    """How many bytes of images may stay on `device`: half of what is free on a GPU, and not more than 8 GiB."""
    free = torch.cuda.mem_get_info(device)[0] // 2 if torch.device(device).type == "cuda" else RESIDENT_BYTES
    return min(free, RESIDENT_BYTES)
