"""Minibatch standard deviation: Karras et al., *Progressive Growing of GANs*, ICLR 2018, section 3."""

import torch
from torch import Tensor

GROUP = 8


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
