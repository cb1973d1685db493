"""Classifier-free guidance: labels that are dropped in training, and predictions guided by them in sampling.

A denoiser is `network(x, times, labels)`, of x (N, C, H, W), times (N,) and labels (N,), where NO_LABEL stands for
none (Ho, Salimans, *Classifier-Free Diffusion Guidance*, 2022).
"""

from collections.abc import Callable

import torch
from torch import Tensor

Denoiser = Callable[[Tensor, Tensor, Tensor | None], Tensor]

NO_LABEL = -1


def guided(
    network: Denoiser,
    x: Tensor,
    times: Tensor,
    labels: Tensor | None,
    scale: float | Tensor,
    parallel: float = 1.0,
    clean_of: Callable[[Tensor], Tensor] = lambda prediction: prediction,
) -> Tensor:
    """The prediction eps_cond + (scale - 1)·(eps_cond - eps_uncond), of the shape of x (N, C, H, W).

    Ho, Salimans 2022, equation 6, with scale = w + 1. Both halves go through the network in one batch. A velocity or
    a clean image may be guided alike: at a given x they are linear in the noise. `scale` may be each image's own, (N,).
    Without labels there is nothing to guide by: the prediction is the network's.

    The part of guidance that is parallel to the clean image, `clean_of` the conditional prediction, raises contrast and
    saturation and nothing else; it is scaled by `parallel` (Sadat, Hilliges, Weber, *Eliminating Oversaturation and
    Artifacts of High Guidance Scales in Diffusion Models*, ICLR 2025, section 4.1). Here the image is taken about its
    mean colour, so that guidance may still change the colour of the whole.
    """
    if labels is None or (not isinstance(scale, Tensor) and scale == 1):
        return network(x, times, labels).to(x.dtype)
    if isinstance(scale, Tensor):
        conditional, guidance = _guidance_of_each(network, x, times, labels, scale)
    else:
        no_labels = torch.full_like(labels, NO_LABEL)
        both = network(torch.cat([x, x]), torch.cat([times, times]), torch.cat([no_labels, labels]))
        unconditional, conditional = both.to(x.dtype).chunk(2)
        guidance = (scale - 1) * (conditional - unconditional)
    if parallel != 1:
        clean = clean_of(conditional)
        contrast = clean - clean.mean((2, 3), keepdim=True)
        guidance = guidance - (1 - parallel) * _projection(guidance, contrast)
    return conditional + guidance


def _guidance_of_each(
    network: Denoiser, x: Tensor, times: Tensor, labels: Tensor, scales: Tensor
) -> tuple[Tensor, Tensor]:
    """The conditional prediction, and guidance with scales (N,): images of scale 1 go through the network once."""
    twice = (scales != 1).nonzero().squeeze(1)
    all_labels = torch.cat([labels, torch.full_like(labels[twice], NO_LABEL)])
    outputs = network(torch.cat([x, x[twice]]), torch.cat([times, times[twice]]), all_labels).to(x.dtype)
    conditional, unconditional = outputs[: len(x)], outputs[len(x) :]
    guidance = (scales[twice, None, None, None] - 1) * (conditional[twice] - unconditional)
    return conditional, torch.zeros_like(conditional).index_add(0, twice, guidance)


def _projection(images: Tensor, directions: Tensor) -> Tensor:
    """The part of each of `images` (N, C, H, W) that is parallel to that of `directions`."""
    products = (images * directions).sum((1, 2, 3), keepdim=True)
    squares = directions.square().sum((1, 2, 3), keepdim=True)
    return products / squares.clamp(min=torch.finfo(squares.dtype).tiny) * directions


def drop_labels(labels: Tensor, uniform: Tensor, probability: float) -> Tensor:
    """Labels (N,) with NO_LABEL where the draw `uniform` (N,) in [0, 1) is below `probability`, image by image.

    So one network learns both the conditional and the unconditional prediction (Ho, Salimans 2022, algorithm 1).
    """
    return labels.masked_fill(uniform < probability, NO_LABEL)


def label_vectors(labels: Tensor, classes: int) -> Tensor:
    """One-hot vectors float32 (N, classes) of labels (N,), all zero for NO_LABEL."""
    return (labels[:, None] == torch.arange(classes, device=labels.device)).float()
