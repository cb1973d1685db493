"""Losses of a generator and a discriminator, on logits that are positive for real."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, relu, softplus


def bce_discriminator_loss(real: Tensor, fake: Tensor, real_labels: Tensor, fake_labels: Tensor) -> Tensor:
    """Cross-entropy of logits (N, 1) with labels in [0, 1] (Goodfellow et al., *GANs*, 2014, section 3).

    Labels other than 1 and 0 are smoothed or noisy (Salimans et al., *Improved Techniques*, 2016, section 3.4).
    """
    return binary_cross_entropy_with_logits(real, real_labels) + binary_cross_entropy_with_logits(fake, fake_labels)


def bce_generator_loss(fake: Tensor) -> Tensor:
    """The non-saturating loss -log D(G(z)) (Goodfellow et al., 2014, section 3)."""
    return binary_cross_entropy_with_logits(fake, torch.ones_like(fake))


def hinge_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))) (SAGAN, equation 4)."""
    return relu(1 - real).mean() + relu(1 + fake).mean()


def wasserstein_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """D(G(z)) - D(x) (Arjovsky et al., *Wasserstein GAN*, 2017, equation 3)."""
    return fake.mean() - real.mean()


def critic_generator_loss(fake: Tensor) -> Tensor:
    """-D(G(z)), the generator's part in both the hinge and the Wasserstein loss."""
    return -fake.mean()


def relativistic_loss(ahead: Tensor, behind: Tensor) -> Tensor:
    """log(1 + exp(behind - ahead)), paired: the discriminator wants real logits ahead of fake ones, the generator the
    contrary (Huang et al., *The GAN is dead*, NeurIPS 2024, equation 2; Jolicoeur-Martineau, ICLR 2019).

    Both are logits (N, L); ln 2 where neither is ahead.
    """
    return softplus(behind - ahead).mean()


def gradient_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mixing: Tensor) -> Tensor:
    """(|gradient of D| - 1)² between real and fake images (Gulrajani et al., *Improved Training of WGANs*, section 4).

    `real` and `fake` are (N, C, H, W), `mixing` (N,) in [0, 1]; one scalar, averaged over the batch, unweighted.
    """
    between = torch.lerp(fake.detach(), real, mixing[:, None, None, None]).requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def r1_penalty(logits: Tensor, real: Tensor) -> Tensor:
    """|gradient of D|² at real images (Mescheder et al., *Which Training Methods for GANs do actually Converge?*, ICML
    2018, equation 9): one scalar, averaged over the batch, without the weight γ/2.

    `logits` (N, 1) are D's of `real` (N, C, H, W), which must require gradients.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return gradient.flatten(1).square().sum(1).mean()


def per_logit_penalty(logits: Tensor, judged: Tensor) -> Tensor:
    """`r1_penalty` for L logits (N, L) an image: |gradient of their sum|² divided by L, averaged over the batch.

    At generated input `judged` (N, C, H, W) it is R2 (Mescheder et al., 2018, section 4.1).
    """
    return r1_penalty(logits, judged) / logits.shape[1]


def draw_labels(low: float, high: float, uniform: Tensor, clip: bool) -> Tensor:
    """Labels uniform in [low, high] from `uniform` draws in [0, 1); with `clip` none exceeds 1.

    A label above 1 would make the cross-entropy unbounded below: its logit then grows for ever.
    """
    labels = low + (high - low) * uniform
    return labels.clamp(max=1.0) if clip else labels


def flip_labels(real_labels: Tensor, fake_labels: Tensor, flipped: Tensor) -> tuple[Tensor, Tensor]:
    """Exchange real and fake labels (N, 1) where the boolean `flipped` (N, 1) says so."""
    return torch.where(flipped, fake_labels, real_labels), torch.where(flipped, real_labels, fake_labels)
