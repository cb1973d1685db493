"""DSN: Bousmalis et al., *Domain Separation Networks*, NIPS 2016.

What the domains share and what is private to each is kept in separate features; together they restore the picture.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from models.dann import dann_loss, reverse_gradient
from models.digit_classifiers import CLASSES, DigitClassifier, Parts, dropout_head, network_parts, normed_head, resize
from runtime.processes import mean_over_processes, sum_over_processes

DECODED_SIZE = 32


class DSNOutput(NamedTuple):
    """What a DSN makes of a batch whose first half is source and whose second half is target."""

    class_logits: Tensor
    """(N, classes)"""
    domain_logits: Tensor
    """(N, 1), positive for the target"""
    shared: Tensor
    """Features (N, feature_size) of the shared encoder."""
    private: Tensor
    """Features (N, feature_size) of the private encoder of each image's own domain."""
    decoded: Tensor
    """Restored images (N, 3, 32, 32)."""


class DSN(nn.Module):
    """A shared encoder, a private one for each domain, a decoder of both features, and the two classifiers.

    The encoders are the feature extractors of the network of this name in DANN_NETWORKS.
    """

    def __init__(self, network: str = "dann32", width: int = 0, classes: int = CLASSES):
        super().__init__()
        parts = dsn_parts(network, width, classes)
        self.classifier = DigitClassifier(parts)
        self.domain_classifier = parts.domain_classifier
        self.private_source_encoder = network_parts(network, width).feature_extractor
        self.private_target_encoder = network_parts(network, width).feature_extractor
        self.decoder = decoder(2 * parts.feature_size, min(512, parts.feature_size))

    def forward(self, images: Tensor, reversal_weight: Tensor | float = 0.0) -> DSNOutput:
        """All that the losses need of images (N, 3, H, W) in [-1, 1], the first half source, the second half target.

        `reversal_weight` is lambda, as for DANN.
        """
        shared, private = self.encode(images)
        return DSNOutput(
            self.classifier.label_classifier(shared),
            self.domain_classifier(reverse_gradient(shared, reversal_weight)),
            shared,
            private,
            self.decode(shared, private),
        )

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Shared and private features, both (N, feature_size), of images half source and half target."""
        source, target = resize(images, self.classifier.image_size).chunk(2)
        private = torch.cat([self.private_source_encoder(source), self.private_target_encoder(target)])
        return self.classifier.features(images), private

    def decode(self, shared: Tensor, private: Tensor) -> Tensor:
        """Images (N, 3, 32, 32), about in [-1, 1], from features (N, feature_size) each."""
        return self.decoder(torch.cat([shared, private], 1)[:, :, None, None])

    def reconstructions(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W), half source and half target, as (N, 4, 3, 32, 32).

        Of each: the image itself, and what is restored from both its features, the shared, and the private only.
        """
        shared, private = self.encode(images)
        nothing = torch.zeros_like(shared)
        pairs = (shared, private), (shared, nothing), (nothing, private)
        return torch.stack([resize(images, DECODED_SIZE), *(self.decode(*pair) for pair in pairs)], 1)


def dsn_parts(network: str = "dann32", width: int = 0, classes: int = CLASSES) -> Parts:
    """The shared encoder of a DSN, which is the network's feature extractor, and the DSN's own classifiers."""
    parts = network_parts(network, width)
    size, hidden = parts.feature_size, min(512, parts.feature_size)
    heads = dropout_head(size, hidden, classes), normed_head(size, hidden)
    return Parts(size, parts.feature_extractor, *heads, parts.image_size)


def dsn_classifier(network: str = "dann32", width: int = 0, classes: int = CLASSES) -> DigitClassifier:
    """The part of a DSN that classifies digits: shared encoder and label classifier."""
    return DigitClassifier(dsn_parts(network, width, classes))


def decoder(size: int, width: int) -> nn.Module:
    """Features (N, size, 1, 1) to images (N, 3, 32, 32) by five transposed convolutions, the first `width` wide."""
    channels = [width, width // 2, width // 4, width // 8]
    blocks = [
        layer
        for before, after in pairwise([size, *channels])
        for layer in (nn.ConvTranspose2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.ReLU())
    ]
    return nn.Sequential(*blocks, nn.ConvTranspose2d(channels[-1], 3, 4, 2, 1))


def reconstruction_loss(decoded: Tensor, images: Tensor) -> Tensor:
    """The scale-invariant squared error of images (N, C, H, W) (DSN, section 3.1, equations 3 and 4).

    Of each image's k errors: their mean square less the square of their mean, so that a shift of all values costs
    nothing. Averaged over the images.
    """
    errors = (decoded - images).flatten(1)
    return (errors.square().mean(1) - errors.mean(1).square()).mean()


def reported_reconstruction_loss(decoded: Tensor, images: Tensor) -> Tensor:
    """The report's form: mean square plus the square of the mean, both over the whole batch (N, C, H, W).

    The second term is meant to be subtracted, image by image: see `reconstruction_loss`.
    """
    errors = decoded - images
    return mean_over_processes(errors.square().mean()) + mean_over_processes(errors.mean()).square()


def difference_loss(private: Tensor, shared: Tensor) -> Tensor:
    """Mean square of the correlations between private and shared features (N, F) (DSN, section 3.1, equation 5).

    As in the paper's code, features are centred over the batch, then each row is scaled to unit length.
    """
    private, shared = (
        normalize(features - mean_over_processes(features.mean(0)), dim=1) for features in (private, shared)
    )
    return sum_over_processes(private.T @ shared).square().mean()


def reported_difference_loss(private: Tensor, shared: Tensor) -> Tensor:
    """The report's form of `difference_loss`: without centring, so that the features' means are what it sees.

    Rows are divided by their length plus 1e-6, through which no gradient flows.
    """
    private, shared = (
        features / (features.norm(dim=1, keepdim=True).detach() + 1e-6) for features in (private, shared)
    )
    return sum_over_processes(private.T @ shared).square().mean()


def dsn_loss(
    output: DSNOutput,
    images: Tensor,
    labels: Tensor,
    reconstruction_weight: float,
    difference_weight: float,
    as_reported: bool = False,
) -> tuple[Tensor, dict[str, Tensor]]:
    """DANN's loss, and the reconstruction and difference losses of each domain (DSN, equation 1), and what to log.

    `output` is of `images` (2n, 3, H, W), source and target; `labels` (n,) are the source's. With `as_reported` the
    two losses have the report's form instead of the paper's.
    """
    reconstruction, difference = reconstruction_loss, difference_loss
    if as_reported:
        reconstruction, difference = reported_reconstruction_loss, reported_difference_loss
    loss, values = dann_loss(output.class_logits, output.domain_logits, labels)
    decoded, originals = output.decoded.float().chunk(2), resize(images, DECODED_SIZE).chunk(2)
    private, shared = output.private.float().chunk(2), output.shared.float().chunk(2)
    values["reconstruction_loss"] = sum(map(reconstruction, decoded, originals))
    values["difference_loss"] = sum(map(difference, private, shared))
    loss = loss + reconstruction_weight * values["reconstruction_loss"]
    return loss + difference_weight * values["difference_loss"], values
