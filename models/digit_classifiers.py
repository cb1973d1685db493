"""The digit classifiers that DANN, DSN and AdaMatch adapt, each with the domain classifier that it had.

Each function below describes one network; `width` is the number of channels of its first convolution, and all else
scales with it.
"""

from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from models.dcgan import initialise_dcgan

CLASSES = 10  # unless others than the digits are to be told apart


@dataclass
class Parts:
    """What a network is made of."""

    feature_size: int
    """Components of a feature vector."""
    feature_extractor: nn.Module
    """Images (N, 3, image_size, image_size) in [-1, 1] to features (N, feature_size)."""
    label_classifier: nn.Module
    """Features to class logits (N, classes)."""
    domain_classifier: nn.Module
    """Features to domain logits (N, 1), positive for the target."""
    image_size: int = 28
    """Height and width of the images that the feature extractor takes."""


class DigitClassifier(nn.Module):
    """Feature extractor and label classifier: what inference needs of a network."""

    def __init__(self, parts: Parts):
        super().__init__()
        self.image_size = parts.image_size
        self.feature_extractor = parts.feature_extractor
        self.label_classifier = parts.label_classifier

    @property
    def classes(self) -> int:
        """How many classes it tells apart: the outputs of its last layer."""
        return list(self.label_classifier.modules())[-1].out_features

    def features(self, images: Tensor) -> Tensor:
        """Features (N, feature_size) of images (N, 3, H, W) in [-1, 1], resized to what the network takes."""
        return self.feature_extractor(resize(images, self.image_size))

    def forward(self, images: Tensor) -> Tensor:
        """Class logits (N, classes) of images (N, 3, H, W) in [-1, 1]."""
        return self.label_classifier(self.features(images))


def resize(images: Tensor, size: int) -> Tensor:
    """Images (N, 3, H, W) as (N, 3, size, size), bilinear."""
    if images.shape[2:] == (size, size):
        return images
    return interpolate(images, size=(size, size), mode="bilinear", align_corners=False)


def dann64(width: int = 64, classes: int = CLASSES) -> Parts:
    """Five convolutions on 64x64 images, averaged over positions."""
    channels = [width, 2 * width, 4 * width, 8 * width, 16 * width]
    blocks, size = pooled_convolutions(channels), channels[-1]
    extractor = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Parts(size, extractor, deep_head(size, classes), deep_head(size, 1))


def dann28(
    width: int = 32,
    widening: float = 1.5,
    kernel: int = 3,
    strided: bool = False,
    linear: int = 100,
    dropout2d: bool = True,
    classes: int = CLASSES,
) -> Parts:
    """Two convolutions on 28x28 images, with dropout.

    Its variants differ in the number of kernels (`width`, then `widening` times as many), their size, in halving the
    image by a stride instead of by pooling (`strided`), in the width of the linear layers (`linear`, at width 32) and
    in the dropout of feature maps.
    """
    second, hidden = int(widening * width), linear * width // 32
    stride, pool = (2, nn.Identity()) if strided else (1, nn.MaxPool2d(2))
    extractor = nn.Sequential(
        nn.Conv2d(3, width, kernel, stride, kernel // 2),
        nn.ReLU(),
        pool,  # 14x14
        nn.Conv2d(width, second, kernel, stride, kernel // 2),
        nn.BatchNorm2d(second),
        nn.Dropout2d(0.5) if dropout2d else nn.Identity(),
        nn.ReLU(),
        pool,  # 7x7
        nn.Flatten(),
    )
    size = second * 49
    label_classifier = nn.Sequential(
        nn.Linear(size, hidden),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(hidden, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )
    return Parts(size, extractor, label_classifier, normed_head(size, hidden))


def dann32(width: int = 64, classes: int = CLASSES) -> Parts:
    """Five convolutions on 32x32 images."""
    channels = [width, 2 * width, 4 * width, 4 * width, 8 * width]
    blocks, size = pooled_convolutions(channels), channels[-1]
    label_classifier = deep_head(size, classes)
    hidden = [layer for _ in range(4) for layer in (nn.Linear(size, size), nn.BatchNorm1d(size), nn.ReLU())]
    domain_classifier = nn.Sequential(*hidden, nn.Linear(size, 1))
    return Parts(size, nn.Sequential(*blocks, nn.Flatten()), label_classifier, domain_classifier)


def dann_cnn(width: int = 64, feature_side: Literal[1, 2] = 1, classes: int = CLASSES) -> Parts:
    """Five convolutions on 28x28 images, the last ones with stride 2, to 512 feature maps of 1x1 or 2x2."""

    def block(before: int, after: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.ReLU()]

    size, hidden = 8 * width * feature_side**2, 8 * width
    extractor = nn.Sequential(
        *block(3, width, 1),
        nn.MaxPool2d(2),  # 14x14
        *block(width, 2 * width, 1),
        nn.MaxPool2d(2),  # 7x7
        *block(2 * width, 4 * width, 2),  # 4x4
        *block(4 * width, 4 * width, 2),  # 2x2
        *block(4 * width, 8 * width, 2 // feature_side),
        nn.Flatten(),
    )
    return Parts(size, extractor, dropout_head(size, hidden, classes), normed_head(size, hidden))


def dann_lenet(width: int = 32, classes: int = CLASSES) -> Parts:
    """Two 5x5 convolutions on 28x28 images, as in LeNet; the domain classifier has two outputs."""
    second = 3 * width // 2
    size, hidden = second * 16, 12 * width
    extractor = nn.Sequential(
        nn.Conv2d(3, width, 5),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),  # 12x12
        nn.Conv2d(width, second, 5),
        nn.BatchNorm2d(second),
        nn.Dropout2d(0.5),
        nn.ReLU(),
        nn.MaxPool2d(2),  # 4x4
        nn.Flatten(),
    )
    label_classifier = nn.Sequential(
        nn.Linear(size, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden // 2),
        nn.BatchNorm1d(hidden // 2),
        nn.ReLU(),
        nn.Linear(hidden // 2, classes),
    )
    domain_classifier = nn.Sequential(
        nn.Linear(size, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, 2), _Difference()
    )
    return Parts(size, extractor, label_classifier, domain_classifier)


def dann_acgan(width: int = 28, classes: int = CLASSES) -> Parts:
    """The ACGAN's discriminator for 28x28 images; its real/fake head tells the domains apart instead."""
    extractor = nn.Sequential(
        nn.Conv2d(3, width, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2),  # 14x14
        nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.LeakyReLU(0.2),  # 7x7
        nn.Conv2d(2 * width, 4 * width, 3, 2, 1, bias=False),
        nn.BatchNorm2d(4 * width),
        nn.LeakyReLU(0.2),  # 4x4
        nn.Flatten(),
    )
    # The heads are 4x4 convolutions of 4x4 maps, which is to say linear, and begin as such convolutions do.
    size = 4 * width * 16
    heads = nn.Linear(size, classes, bias=False), nn.Linear(size, 1, bias=False)
    initialise_dcgan(extractor)
    for head in heads:
        nn.init.normal_(head.weight, 0.0, 0.02)
    return Parts(size, extractor, *heads)


DANN_NETWORKS = {
    "dann64": dann64,
    "dann28": dann28,
    "dann28-no-dropout": partial(dann28, dropout2d=False),
    "dann28-wide": partial(dann28, width=64, widening=2),
    "dann28-strided": partial(dann28, strided=True),
    "dann28-linear": partial(dann28, linear=400),
    "dann28-kernel5": partial(dann28, kernel=5),
    "dann32": dann32,
    "dann-cnn": dann_cnn,
    "dann-cnn-wide": partial(dann_cnn, feature_side=2),
    "dann-lenet": dann_lenet,
    "dann-acgan": dann_acgan,
}
IMAGE_SIZES = dict.fromkeys(DANN_NETWORKS, 28) | {"dann64": 64, "dann32": 32}


def network_parts(network: str, width: int = 0, classes: int = CLASSES) -> Parts:
    """The parts of the network of this name in DANN_NETWORKS, at its own width if `width` is 0."""
    parts = DANN_NETWORKS[network](**{"width": width} if width else {}, classes=classes)
    return replace(parts, image_size=IMAGE_SIZES[network])


def digit_classifier(network: str, width: int = 0, classes: int = CLASSES) -> DigitClassifier:
    """The part of this network that classifies digits."""
    return DigitClassifier(network_parts(network, width, classes))


def ensemble(network: str, count: int, **arguments: int) -> DigitClassifier:
    """`count` classifiers of one network that predict their mean probabilities; features are those of all in a row."""
    members = [network_parts(network, **arguments) for _ in range(count)]
    extractors = _Features([parts.feature_extractor for parts in members])
    heads = _MeanPrediction([parts.label_classifier for parts in members])
    size = count * members[0].feature_size
    return DigitClassifier(Parts(size, extractors, heads, nn.Identity(), members[0].image_size))


def pooled_convolutions(channels: list[int]) -> list[nn.Module]:
    """The layers of 3x3 convolutions from three channels to `channels`, each followed by batch norm, and halving.

    After pooling a ReLU does the same as before it, to a quarter as many.
    """
    return [
        layer
        for before, after in pairwise([3, *channels])
        for layer in (nn.Conv2d(before, after, 3, 1, 1), nn.BatchNorm2d(after), nn.MaxPool2d(2), nn.ReLU())
    ]


def deep_head(size: int, outputs: int) -> nn.Module:
    """Logits (N, outputs) from features (N, size) by two hidden layers as wide as these."""
    return nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, size), nn.ReLU(), nn.Linear(size, outputs))


def dropout_head(size: int, hidden: int, classes: int = CLASSES) -> nn.Module:
    """Class logits from features (N, size) by a hidden layer with dropout."""
    return nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, classes))


def normed_head(size: int, hidden: int) -> nn.Module:
    """A domain logit from features (N, size) by a hidden layer with batch norm."""
    return nn.Sequential(nn.Linear(size, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, 1))


class _Features(nn.ModuleList):
    """The features (N, feature_size) of all members side by side."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([extractor(images) for extractor in self], 1)


class _MeanPrediction(nn.ModuleList):
    """Logits whose softmax is the mean of that of all members, each of which has its own features."""

    def forward(self, features: Tensor) -> Tensor:
        logits = [head(own).float() for head, own in zip(self, features.chunk(len(self), 1), strict=True)]
        return torch.logsumexp(torch.stack(logits).log_softmax(2), 0)


class _Difference(nn.Module):
    """Two logits to one: the softmax of (a, b) gives b the probability sigmoid(b - a)."""

    def forward(self, logits: Tensor) -> Tensor:
        return logits[:, 1:] - logits[:, :1]
