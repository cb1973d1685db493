"""What the three scripts that adapt digit classifiers share: settings, both domains, the domain classifier."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
import tyro
from torch import Tensor, nn

from data.augment import AUGMENTATIONS, DRAWS, augment_by_turns
from data.batches import ImageBatches
from data.digits import class_names, load_digits, load_unlabelled
from inference.classification import accuracy, picture_size
from models.dann import DANN, domain_loss
from models.digit_classifiers import DANN_NETWORKS, IMAGE_SIZES
from models.dsn import DSN
from runtime.batch_norm import frozen_statistics
from runtime.device import Execution
from runtime.errors import UserError
from runtime.seeds import RandomStream
from runtime.settings import ABOVE_0, AT_LEAST_0, DECAY
from training.config import TrainConfig


@dataclass
class AdaptationConfig(TrainConfig):
    """Settings of an adaptation: an epoch is a pass over the source, a step takes --batch-size images of it."""

    kind = "adaptation"
    RETIRED: ClassVar[dict[str, Any]] = dict.fromkeys(
        ("shift", "rotation", "scale", "jitter", "inversion", "permutation", "blur", "cutout", "noise")
    )

    method: tyro.conf.Suppress[str] = ""
    """What a table of runs calls the method; each script's own."""
    network: Literal[tuple(DANN_NETWORKS)] = "dann32"
    """The classifier; images are resized to the size it takes."""
    width: Annotated[int, AT_LEAST_0] = 0
    """Channels of the network's first convolution; all layers scale with it (0: the reported size)."""
    source: str = ""
    """Source domain, labelled: a folder under ROOT/digits, or in ROOT where that has no digits (docs/data.md)."""
    target: str = ""
    """Target domain, a folder likewise; its labels are used only to plot validation accuracy."""
    balanced: bool = False
    """Sample the classes of the source equally often."""
    augment: Literal[tuple(AUGMENTATIONS)] = "off"
    """Data augmentation of both domains, in rising strength; mixed: half of the images weak, half strong."""

    lr: Annotated[float, ABOVE_0] = 1e-3
    """Highest learning rate (AdamW)."""
    weight_decay: Annotated[float, AT_LEAST_0] = 0.0
    """Decoupled weight decay."""
    ema_decay: Annotated[float, DECAY] = 0.0
    """Decay of the exponential moving average (EMA) of the weights, which is validated and saved (0: none)."""

    @property
    def folder(self) -> Path:
        """The run directory, by default named by recipe, network and scenario."""
        return self.folder_of(f"{self.source}-{self.target}")

    def folder_of(self, scenario: str) -> Path:
        """The run directory of a scenario; a recipe that bears its network's name bears it once."""
        system = self.recipe if self.recipe.endswith(self.network) else f"{self.recipe}-{self.network}"
        return self.runs / (self.name or f"{system}-{scenario}")

    def check(self) -> None:
        """Raise UserError for settings that cannot work."""
        super().check()
        self.check_domains()
        if self.batch_size < 8 or (self.width and self.width < 4):
            raise UserError("--batch-size must be at least 8, --width at least 4 (or 0)")

    def check_domains(self) -> None:
        """Raise UserError unless there is a domain to learn from and another to adapt to."""
        if not self.source or not self.target:
            raise UserError("name the domains, folders under ROOT/digits: --source mnistm --target svhn, say")
        if self.source == self.target:
            raise UserError(f"--source and --target are both {self.source}: name two domains, or use supervised")


def shared_classes(config: AdaptationConfig) -> tuple[str, ...]:
    """The names of the source's classes; raises UserError when it has none, or the target others."""
    classes = class_names(config.data, config.source)
    if not classes:
        raise UserError(f"{config.source} has no folders of classes: the source needs labels")
    others = class_names(config.data, config.target) if config.target else ()
    if others and others != classes:
        only = {config.source: set(classes) - set(others), config.target: set(others) - set(classes)}
        told = [f"{domain} alone has {', '.join(sorted(names))}" for domain, names in only.items() if names]
        raise UserError(f"both domains must have the same classes: {' and '.join(told) or 'their order differs'}")
    return classes


class ViewBatches:
    """Batches of one domain in one or several views: every image augmented anew for each name in `augmentations`."""

    def __init__(self, batches: ImageBatches, augmentations: Sequence[str], stream: RandomStream):
        self.batches, self.stream = batches, stream
        self.augmentations = [AUGMENTATIONS[name] for name in augmentations]
        self.per_epoch = batches.per_epoch

    def views(self, number: int) -> list[Tensor]:
        """The batch of this number in each view, (n, 3, H, W) in [-1, 1] on the device."""
        return self._augmented(self.batches.batch(number), number)

    def labelled_views(self, number: int) -> tuple[list[Tensor], Tensor]:
        """The same, and the labels (n,)."""
        images, labels = self.batches.labelled_batch(number)
        return self._augmented(images, number), labels

    def _augmented(self, images: Tensor, number: int) -> list[Tensor]:
        size = (len(self.augmentations), self.batches.batch_size, DRAWS)
        draws = self.stream.draws(number).uniform(*size, batch_dim=1)
        return [augment_by_turns(images, *view) for view in zip(draws, self.augmentations, strict=True)]


class Domains:
    """The images of source and target at the size that the network takes, and `classes`, the names of their classes.

    Labels of the target are used for curves alone: the last step counts.
    """

    def __init__(self, config: AdaptationConfig, execution: Execution):
        self.config, self.execution = config, execution
        self.stream = RandomStream(config.seed, execution.device)
        self.classes = shared_classes(config)
        self.size = picture_size(IMAGE_SIZES[config.network], self.classes)
        names = {role: name for role, name in (("source", config.source), ("target", config.target)) if name}
        validation = {
            role: load_digits(config.data, name, "val", labelled=False, size=self.size) for role, name in names.items()
        }
        self.validation = {role: digits for role, digits in validation.items() if digits[1] is not None}

    def sources(self, augmentations: Sequence[str]) -> ViewBatches:
        """Labelled batches of the source."""
        config = self.config
        images, labels = load_digits(config.data, config.source, "train", size=self.size)
        what, size = f"images of {config.source}", config.batch_size
        batches = ImageBatches(images, size, self.stream, labels=labels, balanced=config.balanced, what=what)
        return ViewBatches(batches, augmentations, self.stream.within("augment", "source"))

    def targets(self, augmentations: Sequence[str], ratio: int = 1) -> ViewBatches:
        """Batches of the target, `ratio` times as large as the source's; no label of it is read."""
        config = self.config
        images = load_unlabelled(config.data, config.target, "train", self.size)
        what, size = f"images of {config.target}", ratio * config.batch_size
        batches = ImageBatches(images, size, self.stream.within("target"), what=what)
        return ViewBatches(batches, augmentations, self.stream.within("augment", "target"))

    def accuracies(self, classifier: nn.Module) -> dict[str, float]:
        """`source_accuracy` and `target_accuracy` in [0, 1], on validation images of the domains that have labels."""
        digits = self.validation.items()
        return {f"{role}_accuracy": accuracy(classifier, *labelled, self.execution) for role, labelled in digits}


def update_domain_classifier(
    network: DANN | DSN, optimizer: torch.optim.Optimizer, lr: float, images: Tensor, execution: Execution
) -> None:
    """Update the domain classifier alone, on features of images half source and half target that stay as they are.

    Running statistics of batch norm in the feature extractor are left to the step's own pass, which then leaves the
    domain classifier as it is.
    """
    network.domain_classifier.requires_grad_(True)
    with torch.no_grad(), frozen_statistics(network), execution.autocast():
        features = network.classifier.features(images)
    with execution.autocast():
        logits = network.domain_classifier(features)
    loss, _ = domain_loss(logits.float())
    optimizer.param_groups[0]["lr"] = lr
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    network.domain_classifier.requires_grad_(False)
