"""Classifier-free guidance: labels that are dropped in training, and predictions guided by them in sampling.

A denoiser is `network(x, times, labels)`, of x (N, C, H, W), times (N,) and labels (N,), where NO_LABEL stands for
none (Ho, Salimans, *Classifier-Free Diffusion Guidance*, 2022).
"""

from collections.abc import Callable

import torch
from torch import Tensor

Denoiser = Callable[[Tensor, Tensor, Tensor | None], Tensor]

NO_LABEL = -1


def guided(network: Denoiser, x: Tensor, times: Tensor, labels: Tensor | None, scale: float | Tensor) -> Tensor:
    """The prediction eps_uncond + scale·(eps_cond - eps_uncond), of the shape of x (N, C, H, W).

    Ho, Salimans 2022, equation 6, with scale = w + 1. Both halves go through the network in one batch. A velocity or
    a clean image may be guided alike: at a given x they are linear in the noise. `scale` may be each image's own, (N,).
    Without labels there is nothing to guide by: the prediction is the network's.
    """
    if labels is None:
        return network(x, times, None).to(x.dtype)
    if isinstance(scale, Tensor):
        return _guided_each(network, x, times, labels, scale)
    if scale == 1:
        return network(x, times, labels).to(x.dtype)
    no_labels = torch.full_like(labels, NO_LABEL)
    both = network(torch.cat([x, x]), torch.cat([times, times]), torch.cat([no_labels, labels]))
    unconditional, conditional = both.to(x.dtype).chunk(2)
    return unconditional + scale * (conditional - unconditional)


def _guided_each(network: Denoiser, x: Tensor, times: Tensor, labels: Tensor, scales: Tensor) -> Tensor:
    """`guided` with scales (N,), where images of scale 1 go through the network only once."""
    twice = (scales != 1).nonzero().squeeze(1)
    all_labels = torch.cat([labels, torch.full_like(labels[twice], NO_LABEL)])
    outputs = network(torch.cat([x, x[twice]]), torch.cat([times, times[twice]]), all_labels).to(x.dtype)
    conditional, unconditional = outputs[: len(x)], outputs[len(x) :]
    guidance = (scales[twice, None, None, None] - 1) * (conditional[twice] - unconditional)
    return conditional.index_add(0, twice, guidance)


def drop_labels(labels: Tensor, uniform: Tensor, probability: float) -> Tensor:
    """Labels (N,) with NO_LABEL where the draw `uniform` (N,) in [0, 1) is below `probability`, image by image.

    So one network learns both the conditional and the unconditional prediction (Ho, Salimans 2022, algorithm 1).
    """
    return labels.masked_fill(uniform < probability, NO_LABEL)


def label_vectors(labels: Tensor, classes: int) -> Tensor:
    """One-hot vectors float32 (N, classes) of labels (N,), all zero for NO_LABEL."""
    return (labels[:, None] == torch.arange(classes, device=labels.device)).float()
