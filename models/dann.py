"""DANN: Ganin et al., *Domain-Adversarial Training of Neural Networks*, JMLR 2016.

A feature extractor feeds a label classifier and, behind a gradient reversal, a domain classifier.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from models.digit_classifiers import CLASSES, DigitClassifier, Parts, network_parts
from runtime.processes import sum_over_processes


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(context, features: Tensor, weight: Tensor) -> Tensor:
        context.save_for_backward(weight)
        return features.view_as(features)

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor, None]:
        (weight,) = context.saved_tensors
        return -weight * gradient, None


def reverse_gradient(features: Tensor, weight: Tensor | float) -> Tensor:
    """`features` as they are; their gradient is multiplied by minus `weight`, the scalar lambda (DANN, section 4.2)."""
    return _ReverseGradient.apply(features, torch.as_tensor(weight, device=features.device))


def lambda_ramp(progress: float) -> float:
    """2 / (1 + exp(-10 p)) - 1: lambda's ramp-up from 0 to 1 with the progress p (DANN, section 5.2.2)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


def domain_loss(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy and accuracy of domain logits (2n, 1), positive for target: n of the source, n of the target."""
    domains = torch.zeros_like(logits)
    domains[len(logits) // 2 :] = 1
    return binary_cross_entropy_with_logits(logits, domains), ((logits > 0) == (domains > 0)).float().mean()


def class_confusion(logits: Tensor, temperature: float = 2.5) -> Tensor:
    """How far class logits (N, K) of unlabelled pictures hesitate between classes, 0 to 1 (Jin et al., *Minimum Class
    Confusion for Versatile Domain Adaptation*, ECCV 2020, section 3).

    Entry (a, b) of the confusion matrix says how often a picture that may be an a may be a b, sure pictures counting
    for up to twice as much as unsure ones. Rows add up to 1, so that rare classes count as much as frequent ones.
    """
    probabilities = (logits / temperature).softmax(1)
    entropy = torch.special.entr(probabilities.detach()).sum(1)
    certainty = 1 + (-entropy).exp()
    confusion = sum_over_processes((probabilities * certainty[:, None]).T @ probabilities)
    # A class that underflows in the whole batch has a row of zeros, not of 0 / 0.
    confusion = confusion / confusion.sum(1, keepdim=True).clamp_min(torch.finfo(confusion.dtype).tiny)
    return 1 - confusion.diagonal().mean()


def dann_loss(
    class_logits: Tensor, domain_logits: Tensor, labels: Tensor, confusion_weight: Tensor | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Class loss of the source and domain loss of both (DANN, equation 9), and what to log.

    `class_logits` (2n, K) and `domain_logits` (2n, 1) are the source's and the target's, `labels` (n,) the source's;
    lambda acts in the reversed gradient. `confusion_weight`, if given, times the target's class confusion is added.
    """
    source, target = class_logits.float().chunk(2)
    class_loss = cross_entropy(source, labels)
    adversarial_loss, domain_accuracy = domain_loss(domain_logits.float())
    values = {"class_loss": class_loss, "domain_loss": adversarial_loss, "domain_accuracy": domain_accuracy}
    loss = class_loss + adversarial_loss
    if confusion_weight is not None:
        values["confusion"] = class_confusion(target)
        loss = loss + confusion_weight * values["confusion"]
    return loss, values


class DANN(nn.Module):
    """A digit classifier whose features a domain classifier judges from behind a gradient reversal."""

    def __init__(self, parts: Parts):
        super().__init__()
        self.classifier = DigitClassifier(parts)
        self.domain_classifier = parts.domain_classifier

    def forward(self, images: Tensor, reversal_weight: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Class logits (N, classes) and domain logits (N, 1) of images (N, 3, H, W) in [-1, 1].

        `reversal_weight` is lambda: the gradient of the domain loss reaches the features times minus it.
        """
        features = self.classifier.features(images)
        domain_logits = self.domain_classifier(reverse_gradient(features, reversal_weight))
        return self.classifier.label_classifier(features), domain_logits


def dann(network: str, width: int = 0, classes: int = CLASSES) -> DANN:
    """The whole network of this name in DANN_NETWORKS, for training."""
    return DANN(network_parts(network, width, classes))
