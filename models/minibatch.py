"""Minibatch standard deviation: Karras et al., *Progressive Growing of GANs*, ICLR 2018, section 3."""

import torch
from torch import Tensor

from runtime.errors import UserError
from runtime.processes import share_of

GROUP = 8


def check_groups(batch_size: int) -> None:
    """Raise UserError for a batch of which this process's share does not divide into groups for the deviation."""
    count = len(range(batch_size)[share_of(batch_size)])
    if count < 2 or count % min(GROUP, count):
        raise UserError(f"{count} images a process do not divide into groups of {GROUP}: give another batch size")


def minibatch_deviation(features: Tensor, group: int = GROUP) -> Tensor:
    """Features (N, C, H, W) and a channel (N, C + 1, H, W): how much images of a group differ, on average.

    Each group of `group` images, or of all if they are fewer, shares one value: the standard deviation over the group,
    averaged over channels and positions. Images all alike betray the generator by it. N must be a multiple of it.
    """
    size = min(group, len(features))
    groups = features.float().unflatten(0, (-1, size))
    deviation = groups.var(1, correction=0).add(1e-8).sqrt().mean((1, 2, 3))
    channel = deviation.repeat_interleave(size).to(features.dtype)[:, None, None, None]
    return torch.cat([features, channel.expand(-1, 1, *features.shape[2:])], 1)
