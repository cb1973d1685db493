"""AdaMatch: Berthelot et al., *AdaMatch: A Unified Approach to Semi-Supervised Learning and Domain Adaptation*.

ICLR 2022; all that follows is of its section 3. Means over the predictions are those of one batch, of a process's share
where several processes train; the authors' code averages them over past batches too.
The classifier labels weakly changed pictures of the target itself; where it is confident enough, it must say the same
of the strongly changed ones. Logits and probabilities are those of one batch; n_s of them are of the source, n_t of
the target.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from models.batch_norm import frozen_statistics


@dataclass
class SelfTraining:
    """How AdaMatch labels the target and what it adds; each part of it can be switched off."""

    target_ratio: int = 1
    """Pictures of the target in a step for each of the source (adamatch only)."""
    interpolation: bool = True
    """Mix the source's logits at random with those of a batch without the target (adamatch only)."""
    alignment: bool = True
    """Let the target's predictions be distributed as the source's before they become labels (adamatch only)."""
    threshold: float = 0.9
    """Tau: the confidence that makes a prediction a pseudo-label (adamatch only)."""
    relative_threshold: bool = True
    """Take tau as a share of the mean confidence on the source, instead of as it is (adamatch only)."""
    pseudo_weight: float = 1.0
    """Mu: weight of the loss on pseudo-labels (adamatch only)."""
    pseudo_ramp: float = 0.5
    """Share of the run in which mu grows from 0; half of it in the paper (adamatch only)."""


def interpolate_logits(together: Tensor, alone: Tensor, shares: Tensor) -> Tensor:
    """Random logit interpolation: lambda * Z' + (1 - lambda) * Z'' for the source, one lambda a logit.

    `together` (2 n_s + 2 n_t, K) are logits of both views of source and target, the source first; `alone` (2 n_s, K)
    those of the source without the target, which batch norm makes others; `shares` (2 n_s, K) the lambdas, uniform in
    [0, 1).
    The target's logits stay as they are. Gradients flow through both.
    """
    source, target = together.split([len(alone), len(together) - len(alone)])
    return torch.cat([torch.lerp(alone, source, shares), target])


def source_and_target_logits(network: nn.Module, images: Tensor, shares: Tensor | None) -> Tensor:
    """Float32 logits (2 n_s + 2 n_t, K) of both views of source and target; the source's are interpolated.

    `shares` (2 n_s, K) are the lambdas of `interpolate_logits`; None leaves the logits of the common batch.
    """
    together = network(images).float()
    if shares is None:
        return together
    with frozen_statistics(network):
        alone = network(images[: len(shares)]).float()
    return interpolate_logits(together, alone, shares)


def align_distribution(target: Tensor, source: Tensor) -> Tensor:
    """Distribution alignment: the target's probabilities (n_t, K), their mean made more like the source's.

    normalize(q_t * E[q_s] / E[q_t]), the expectations being the means over this batch of `target` and of `source`
    (n_s, K), each row scaled to the sum 1.
    """
    smallest = torch.finfo(target.dtype).tiny  # a class that underflows in the whole batch has no share, not 0 / 0
    aligned = target * (source.mean(0) / target.mean(0).clamp_min(smallest))
    return aligned / aligned.sum(1, keepdim=True)


def relative_threshold(source: Tensor, tau: float) -> Tensor:
    """Relative confidence threshold: tau times the mean top probability of the source's (n_s, K)."""
    return tau * source.max(1).values.mean()


class PseudoLabels(NamedTuple):
    """What a classifier makes of the target's weak views."""

    labels: Tensor
    """Its classes (n_t,), int64."""
    accepted: Tensor
    """Whether it is confident enough (n_t,), bool."""
    threshold: Tensor
    """The confidence that is enough, a scalar."""


@torch.no_grad()
def pseudo_label(source: Tensor, target: Tensor, settings: SelfTraining) -> PseudoLabels:
    """Hard pseudo-labels from the weak views' logits, `source` (n_s, K) and `target` (n_t, K), without a gradient."""
    source, target = source.softmax(1), target.softmax(1)
    if settings.alignment:
        target = align_distribution(target, source)
    if settings.relative_threshold:
        threshold = relative_threshold(source, settings.threshold)
    else:
        threshold = source.new_full((), settings.threshold)
    confidences, labels = target.max(1)
    return PseudoLabels(labels, confidences >= threshold, threshold)


def source_loss(weak: Tensor, strong: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the source's logits (n_s, K) with its labels (n_s,), the mean of weak and strong views."""
    return (cross_entropy(weak, labels) + cross_entropy(strong, labels)) / 2


def pseudo_label_loss(strong: Tensor, pseudo_labels: Tensor, accepted: Tensor) -> Tensor:
    """Cross-entropy of the strong views' logits (n_t, K) with hard pseudo-labels (n_t,), where `accepted` (n_t,).

    The mean is over the whole batch, so the fewer are accepted the less they weigh.
    """
    return (cross_entropy(strong, pseudo_labels, reduction="none") * accepted).mean()


def adamatch_loss(
    logits: Tensor, labels: Tensor, weight: Tensor, settings: SelfTraining
) -> tuple[Tensor, dict[str, Tensor]]:
    """Class loss of the source and `weight` times the pseudo-label loss of the target, and what to log.

    `logits` (2 n_s + 2 n_t, K) are the source's, interpolated, and the target's, of each the weak views before the
    strong; `labels` (n_s,) are the source's.
    """
    source, target = logits.split([2 * len(labels), len(logits) - 2 * len(labels)])
    (source_weak, source_strong), (target_weak, target_strong) = source.chunk(2), target.chunk(2)
    found = pseudo_label(source_weak, target_weak, settings)
    class_loss = source_loss(source_weak, source_strong, labels)
    pseudo_loss = pseudo_label_loss(target_strong, found.labels, found.accepted)
    values = {"class_loss": class_loss, "pseudo_loss": pseudo_loss, "pseudo_weight": weight}
    values |= {"threshold": found.threshold, "mask_rate": found.accepted.float().mean()}
    # Shares of the batch by class; those of the accepted pseudo-labels add up to the mask rate.
    classes = logits.shape[1]
    values["source"] = one_hot(labels, classes).float().mean(0)
    values["pseudo"] = (one_hot(found.labels, classes) * found.accepted[:, None]).float().mean(0)
    return class_loss + weight * pseudo_loss, values


def ramp(progress: float, end: float = 0.5) -> float:
    """1/2 - cos(min(pi, pi p / e)) / 2: mu's growth from 0 to 1 over the share e of the run; the paper's e is 1/2."""
    return 0.5 - math.cos(min(math.pi, math.pi * progress / end)) / 2
