"""AdaMatch: Berthelot et al., *AdaMatch: A Unified Approach to Semi-Supervised Learning and Domain Adaptation*.

ICLR 2022; all that follows is of its section 3. Means over the predictions are those of one batch; the authors' code
averages them over past batches too.
The classifier labels weakly augmented images of the target itself; where it is confident enough, it must say the same
of the strongly augmented ones. Logits and probabilities are those of one batch; n_s of them are of the source, n_t of
the target.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from runtime.batch_norm import batch_statistics, frozen_statistics
from runtime.processes import mean_over_processes


class Views(NamedTuple):
    """The four views of a step, of images (n, 3, H, W) or their logits (n, K): n_s of the source, n_t of the target."""

    source_weak: Tensor
    source_strong: Tensor
    target_weak: Tensor
    target_strong: Tensor

    def through(self, network: nn.Module) -> "Views":
        """What `network` makes of all views as one batch, in float32."""
        return Views(*network(torch.cat(self)).float().split([len(view) for view in self]))

    def of_student(self) -> "Views":
        """The same without the target's weak views, which a teacher labels."""
        return self._replace(target_weak=self.target_weak[:0])


def taught(teacher: nn.Module, images: Views) -> tuple[Tensor, Tensor]:
    """Float32 logits (n_s, K) and (n_t, K) of the weak views as one batch, by `teacher`, an EMA in evaluation mode.

    An average of the network's weights labels better than the network (Tarvainen, Valpola, *Mean teachers are better
    role models*, NIPS 2017, section 2). No gradient reaches it.
    """
    views = images.source_weak, images.target_weak
    with torch.no_grad(), batch_statistics(teacher):
        source, target = teacher(torch.cat(views)).float().split([len(view) for view in views])
    return source, target


def source_alone(network: nn.Module, images: Views) -> tuple[Tensor, Tensor]:
    """Float32 logits (n_s, K) of the source's two views without the target, which batch norm makes others.

    Running statistics of batch norm are left to the batch of all views.
    """
    with frozen_statistics(network):
        return network(torch.cat(images[:2])).float().chunk(2)


def interpolate_logits(together: Views, alone: tuple[Tensor, Tensor], shares: Tensor) -> Views:
    """Random logit interpolation: lambda * Z' + (1 - lambda) * Z'' for the source, one lambda a logit.

    `together` are logits of all views as one batch, `alone` (n_s, K) those of the source by itself, `shares`
    (2, n_s, K) the lambdas, uniform in [0, 1). The target's logits stay as they are. Gradients flow through both.
    """
    weak, strong = (torch.lerp(*logits) for logits in zip(alone, together[:2], shares, strict=True))
    return together._replace(source_weak=weak, source_strong=strong)


def align_distribution(target: Tensor, source: Tensor, exponent: float = 1.0) -> Tensor:
    """Distribution alignment: the target's probabilities (n_t, K), their mean made more like the source's.

    normalize(q_t * (E[q_s] / E[q_t])^e), the expectations being the means over this batch of `target` and of `source`
    (n_s, K), each row scaled to the sum 1. The paper's exponent is 1; with less the target may keep classes that are
    more frequent than the source's.
    """
    smallest = torch.finfo(target.dtype).tiny  # a class that underflows in the whole batch has no share, not 0 / 0
    source_mean, target_mean = mean_over_processes(torch.stack([source.mean(0), target.mean(0)]))
    aligned = target * (source_mean / target_mean.clamp_min(smallest)) ** exponent
    return aligned / aligned.sum(1, keepdim=True)


def relative_threshold(source: Tensor, tau: float) -> Tensor:
    """Relative confidence threshold: tau times the mean top probability of the source's (n_s, K)."""
    return tau * mean_over_processes(source.max(1).values.mean())


class ClassThresholds(nn.Module):
    """Self-adaptive thresholds, one a class: after Wang et al., *FreeMatch*, ICLR 2023, section 4 (local thresholds).

    An average of the predictions on the target, with the decay 0.99, tells how much of a class has been learnt; the
    less, the lower is its threshold, so that a class which is taken for another is not left out for good. There a
    class is measured by the one predicted most, which lowers all other thresholds where one class is frequent; here by
    an equal share.
    """

    decay = 0.99

    def __init__(self, classes: int = 10):
        super().__init__()
        self.register_buffer("shares", torch.full((classes,), 1 / classes))

    @torch.no_grad()
    def update(self, shares: Tensor) -> None:
        """Follow the mean probabilities (K,) of a batch of the target, before alignment."""
        self.shares.lerp_(shares, 1 - self.decay)

    def factors(self, exponent: float = 1.0) -> Tensor:
        """By what the threshold of each class (K,) is multiplied: its share of an equal one to a power, at most 1."""
        return (len(self.shares) * self.shares).clamp_max(1) ** exponent


class PseudoLabels(NamedTuple):
    """What a classifier makes of the target's weak views."""

    labels: Tensor
    """Its classes (n_t,), int64."""
    accepted: Tensor
    """Whether it is confident enough (n_t,), bool."""
    threshold: Tensor
    """The confidence that is enough, a scalar, before the factors of classes."""


@torch.no_grad()
def pseudo_label(
    source: Tensor,
    target: Tensor,
    tau: float,
    alignment: float = 1.0,
    relative: bool = True,
    factors: Tensor | None = None,
) -> PseudoLabels:
    """Hard pseudo-labels from the weak views' logits, `source` (n_s, K) and `target` (n_t, K), without a gradient.

    The target's predictions are first distributed as the source's, with `alignment` as the exponent, 0 for not at all;
    the threshold is `tau`, with `relative` as a share of the mean confidence on the source, for each class times its
    one of `factors` (K,).
    """
    source, target = source.softmax(1), target.softmax(1)
    if alignment:
        target = align_distribution(target, source, alignment)
    threshold = relative_threshold(source, tau) if relative else source.new_full((), tau)
    confidences, labels = target.max(1)
    enough = threshold if factors is None else threshold * factors[labels]
    return PseudoLabels(labels, confidences >= enough, threshold)


def source_loss(weak: Tensor, strong: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the source's logits (n_s, K) with its labels (n_s,), the mean of weak and strong views."""
    return (cross_entropy(weak, labels) + cross_entropy(strong, labels)) / 2


def pseudo_label_loss(strong: Tensor, pseudo_labels: Tensor, accepted: Tensor) -> Tensor:
    """Cross-entropy of the strong views' logits (n_t, K) with hard pseudo-labels (n_t,), where `accepted` (n_t,).

    The mean is over the whole batch, so the fewer are accepted the less they weigh.
    """
    return (cross_entropy(strong, pseudo_labels, reduction="none") * accepted).mean()


def adamatch_loss(
    logits: Views, labels: Tensor, found: PseudoLabels, weight: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Class loss of the source and `weight` times the pseudo-label loss of the target, and what to log.

    `labels` (n_s,) are the source's, `found` the target's pseudo-labels; the source's logits are the interpolated ones.
    """
    class_loss = source_loss(logits.source_weak, logits.source_strong, labels)
    pseudo_loss = pseudo_label_loss(logits.target_strong, found.labels, found.accepted)
    values = {"class_loss": class_loss, "pseudo_loss": pseudo_loss, "pseudo_weight": weight}
    values |= {"threshold": found.threshold, "mask_rate": found.accepted.float().mean()}
    # Shares of the batch by class; those of the accepted pseudo-labels add up to the mask rate.
    classes = logits.target_strong.shape[1]
    values["source"] = one_hot(labels, classes).float().mean(0)
    values["pseudo"] = (one_hot(found.labels, classes) * found.accepted[:, None]).float().mean(0)
    return class_loss + weight * pseudo_loss, values


def mu_ramp(progress: float, end: float = 0.5) -> float:
    """1/2 - cos(min(pi, pi p / e)) / 2: mu's ramp-up from 0 to 1 over the share e of the run; the paper's e is 1/2.

    With e = 0 it is 1 from the start.
    """
    return 0.5 - math.cos(min(math.pi, math.pi * progress / end)) / 2 if end else 1.0
