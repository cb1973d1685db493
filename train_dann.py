"""Adapt a digit classifier to another domain: `python train_dann.py RECIPE --source mnistm --target svhn --data ROOT`.

The source's digits are labelled, the target's are not. DANN makes the features of both alike, so that what was learnt
on the one serves the other; DSN also sets apart what is private to each; AdaMatch lets the classifier label the target
itself where it is confident. No target label serves but for a curve, and the last step counts.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from data.augment import AUGMENTATIONS, DRAWS, PictureChanges, views
from data.batches import ImageBatches
from data.digits import load_digits, load_unlabelled
from models import NETWORKS, adamatch
from models.adamatch import SelfTraining, adamatch_loss
from models.batch_norm import frozen_statistics
from models.dann import Adversary, dann_loss, domain_loss, ramp
from models.digit_classifiers import CLASSES, DANN_NETWORKS
from models.dsn import Separation, dsn_loss
from runtime.classification import accuracy
from runtime.errors import UserError, run_command
from runtime.images import to_uint8
from runtime.seeds import derived_seed, random_stream
from training.config import TrainConfig, parse_command_line
from training.ema import EMA, estimate_batch_norm
from training.processes import in_parallel, share_of, synchronise_batch_norm
from training.run import Run
from training.schedules import AdaptationSchedule, learning_rate_after

ADVERSARIAL = ("dann", "dsn")  # the methods with a domain classifier


@dataclass
class Config(SelfTraining, Separation, Adversary, PictureChanges, TrainConfig):
    """Settings of an adaptation: an epoch goes once through the source, a step takes --batch-size of each domain."""

    method: Literal["supervised", "dann", "dsn", "adamatch"] = "dann"
    """Source only, domain-adversarial, domain separation, or self-training on two views of each picture."""
    network: Literal[tuple(DANN_NETWORKS)] = "dann32"
    """The classifier, which resizes pictures to what it takes; dsn makes its three encoders of it."""
    width: int = 0
    """Channels of the network's first convolution, all layers scale with it (0: the reported size)."""
    source: str = ""
    """The labelled domain, a folder under ROOT/digits."""
    target: str = ""
    """The domain to adapt to; supervised only draws its curve."""
    balanced: bool = False
    """Show every class of the source equally often."""

    ramp: bool = True
    """Let lambda grow from 0 over the run, as 2 / (1 + exp(-10 p)) - 1 of its value (adamatch: mu, along a cosine)."""

    lr: float = 1e-3
    """Learning rate of Adam."""
    lr_schedule: AdaptationSchedule = "constant"
    """Course of the learning rate: annealed as 1 / (1 + 10 p)^0.75, cosine to 0, fixmatch as cos(7 pi p / 16)."""
    weight_decay: float = 0.0
    """Share of a weight that it loses in every step, times the learning rate (AdamW)."""
    ema_decay: float = 0.0
    """Decay of the averaged weights that are validated and saved (0: no averaging)."""

    @property
    def folder(self) -> Path:
        """The run directory, by default named by recipe, network and scenario."""
        scenario = self.source if self.method == "supervised" else f"{self.source}-{self.target}"
        return self.runs / (self.name or f"{self.recipe}-{self.network}-{scenario}")

    def check(self) -> None:
        """Raise UserError for settings that cannot work."""
        super().check()
        self.changes()
        if not self.source or not (self.target or self.method == "supervised"):
            raise UserError("name the domains, folders under ROOT/digits: --source mnistm --target svhn, say")
        if self.source == self.target and self.method != "supervised":
            raise UserError(f"--source and --target are both {self.source}: name two domains, or use supervised")
        if self.alternating and self.method not in ADVERSARIAL:
            raise UserError(f"--alternating updates a domain classifier: it is not of {self.method}")
        if self.target_ratio < 1 or (self.target_ratio > 1 and self.method != "adamatch"):
            raise UserError("--target-ratio must be at least 1, and 1 but for adamatch")
        if self.lr <= 0:
            raise UserError("--lr must be above 0")
        if not 0 <= self.adversarial_start < 1:
            raise UserError("--adversarial-start must be at least 0 and below 1")
        for field in ("threshold", "pseudo_ramp"):
            if not 0 < getattr(self, field) <= 1:
                raise UserError(f"--{field.replace('_', '-')} must be above 0 and at most 1")
        losses = ("domain", "confusion", "reconstruction", "difference", "pseudo")
        for field in ("weight_decay", *(f"{loss}_weight" for loss in losses)):
            if getattr(self, field) < 0:
                raise UserError(f"--{field.replace('_', '-')} must be at least 0")
        if self.batch_size < 8 or (self.width and self.width < 4):
            raise UserError("--batch-size must be at least 8, --width at least 4 (or 0)")


DANN = Config(lr=2e-4, epochs=20)
DSN = Config(method="dsn", lr=1e-4, domain_weight=0.1, ramp=False, adversarial_start=0.2)
RECIPES = {
    "supervised": (
        "Source only: a lower bound when scored on another domain, the upper bound on its own.",
        Config(method="supervised", epochs=20),
    ),
    "dann": (
        "DANN, lambda ramped up over the run. As reported for dann64; dann28: --epochs 30, dann-lenet: --lr 1e-3.",
        DANN,
    ),
    "dann-alternating": (
        "DANN; the domain classifier has an optimizer of its own and goes first; lambda 0.3.",
        replace(DANN, lr=1e-3, alternating=True, domain_weight=0.3, ramp=False, batch_size=256, epochs=200),
    ),
    "dann-fixed-alpha": (
        "DANN with lambda 0.01.",
        replace(DANN, network="dann-cnn", lr=1e-3, domain_weight=0.01, ramp=False, epochs=50),
    ),
    "dann-mcc": ("DANN, and the target's class confusion made small.", replace(DANN, confusion_weight=1.0)),
    "dsn": ("DSN with the paper's losses, the adversarial one from a fifth of the run on.", DSN),
    "dsn-report": (
        "DSN with a report's losses; the domain classifier goes first.",
        replace(DSN, reported_losses=True, alternating=True, adversarial_start=0.0),
    ),
    "adamatch": (
        "AdaMatch: pseudo-labels for the target, from weak views to strong ones. 3,000 steps.",
        # Mu grows while the source is learnt, 900 steps: beyond that, waiting would only fit a small source closer.
        # Of a balanced source, predictions on the target are aligned to equal classes, not to the frequent ones.
        Config(
            method="adamatch",
            balanced=True,
            augment="rough",
            batch_size=64,
            target_ratio=2,
            epochs=1000,
            max_steps=3000,
            lr=1.5e-3,
            lr_schedule="fixmatch",
            weight_decay=0.01,
            ema_decay=0.998,
            pseudo_ramp=0.3,
        ),
    ),
}


def course(progress: float, config: Config) -> float:
    """Share of their weights that the losses of adaptation have after the share `progress` of the run."""
    if config.method in ADVERSARIAL and progress < config.adversarial_start:
        return 0.0
    if not config.ramp:
        return 1.0
    return adamatch.ramp(progress, config.pseudo_ramp) if config.method == "adamatch" else ramp(progress)


def main(config: Config) -> None:
    """Train as `config` says and leave the run in its directory."""
    # Where this runs, and this process's share of every batch.
    execution = config.execution()
    share = share_of(config.batch_size)
    stream = partial(random_stream, config.seed)

    # Labelled digits of the source, unlabelled ones of the target, and those that the curves are measured on.
    adapting = config.method != "supervised"
    images, labels = load_digits(config.data, config.source, "train")
    sources = ImageBatches(
        images, config.batch_size, stream, execution.device, part=share, labels=labels, balanced=config.balanced
    )
    domains = {"source": config.source} | ({"target": config.target} if config.target else {})
    validation = {key: load_digits(config.data, domain, "val", labelled=False) for key, domain in domains.items()}
    if adapting:
        images = load_unlabelled(config.data, config.target, "train")
        size = config.target_ratio * config.batch_size
        if len(images) < size:
            raise UserError(
                f"{len(images)} pictures of {config.target} do not fill a batch of {size}: "
                "use a smaller --batch-size or --target-ratio"
            )
        targets = ImageBatches(images, size, partial(stream, "target"), execution.device, part=share_of(size))

    # How pictures are changed: once, or for AdaMatch into a weak and a strong view.
    changes = [config.changes()]
    if config.method == "adamatch":
        changes.insert(0, AUGMENTATIONS["off" if config.augment == "off" else "weak"])

    def changed(images: Tensor, domain: str, batches: ImageBatches, number: int) -> Tensor:
        """Views of images (n, 3, 28, 28), batch `number` of this domain: all of one kind, then of the next."""
        draws = torch.rand(len(changes), batches.batch_size, DRAWS, generator=stream("augment", domain, number))
        return views(images, draws[:, batches.part].to(execution.device), changes)

    def batch(number: int) -> tuple[Tensor, Tensor]:
        """Views of labelled source images, when adapting followed by those of the target; the labels (n,)."""
        images, labels = sources.labelled_batch(number)
        images = changed(images, "source", sources, number)
        if adapting:
            images = torch.cat([images, changed(targets.batch(number), "target", targets, number)])
        return images, labels

    # The network, its optimizers, and the average that is validated and saved.
    torch.manual_seed(derived_seed(config.seed, "weights"))
    name, arguments = config.network, {"width": config.width}
    if config.method == "dsn":
        name, arguments = "dsn", arguments | {"network": config.network}
    network = synchronise_batch_norm(execution.place(NETWORKS[name](**arguments)), execution)
    average = EMA(network, config.ema_decay)
    adversarial = config.method in ADVERSARIAL
    predict = in_parallel(execution.compiled(network if adversarial else network.classifier), execution)
    adam = partial(torch.optim.AdamW, lr=config.lr, weight_decay=config.weight_decay, fused=True)
    if config.alternating:
        tell_domains = in_parallel(execution.compiled(network.domain_classifier), execution)
        d_optimizer = adam(network.domain_classifier.parameters())
        rest = [value for key, value in network.named_parameters() if not key.startswith("domain_classifier.")]
        optimizer = adam(rest)
    else:
        optimizer = adam(predict.parameters())

    # The run: its directory, and everything that a checkpoint must hold to go on.
    parts = {"network": network, "average": average, "optimizer": optimizer}
    if config.alternating:
        parts["d_optimizer"] = d_optimizer
    run = Run(config, execution, sources.per_epoch, parts)

    for step in run.steps():
        progress = step / run.total
        optimizer.param_groups[0]["lr"] = learning_rate_after(progress, config.lr, config.lr_schedule)
        weights = (config.domain_weight, config.confusion_weight, config.pseudo_weight)
        weights = course(progress, config) * torch.tensor(weights, device=execution.device)
        strength, confusion_weight, pseudo_weight = weights
        images, labels = batch(step)

        # Teach the domain classifier by itself, on features that stay as they are.
        if config.alternating:
            with torch.no_grad(), frozen_statistics(network), execution.autocast():
                features = network.classifier.features(images)
            with execution.autocast():
                domain_logits = tell_domains(features)
            d_loss, _ = domain_loss(domain_logits.float())
            d_optimizer.param_groups[0]["lr"] = optimizer.param_groups[0]["lr"]
            d_optimizer.zero_grad()
            d_loss.backward()
            d_optimizer.step()

        # Teach the rest: to classify, and to make the domains alike by the reversed gradient or to agree with itself.
        match config.method:
            case "supervised":
                with execution.autocast():
                    logits = predict(images)
                loss = cross_entropy(logits.float(), labels)
                values = {"class_loss": loss}
            case "dann":
                with execution.autocast():
                    class_logits, domain_logits = predict(images, strength)
                loss, values = dann_loss(class_logits, domain_logits, labels, confusion_weight)
            case "dsn":
                with execution.autocast():
                    output = predict(images, strength)
                loss, values = dsn_loss(output, images, labels, confusion_weight, config)
            case "adamatch":
                shares = None
                if config.interpolation:
                    shares = torch.rand(2, config.batch_size, CLASSES, generator=stream("interpolation", step))
                    shares = shares[:, share].flatten(0, 1).to(execution.device)
                with execution.autocast():
                    logits = adamatch.source_and_target_logits(predict, images, shares)
                loss, values = adamatch_loss(logits, labels, pseudo_weight, config)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(network, step)

        run.log(**values, **({"lambda": strength} if adversarial else {}))
        classifier = average.network.classifier
        sheet_due = config.method == "dsn" and run.sample_due()
        if config.ema_decay and (sheet_due or run.checkpoint_due()):
            inputs = (batch(number)[0] for number in range(20))
            estimate_batch_norm(average.network if adversarial else classifier, inputs, execution)
        if sheet_due:
            # Up to eight pictures a row: themselves, restored, from shared and from private features only.
            pictures = torch.cat([part[:8] for part in batch(0)[0].chunk(2)])
            with torch.inference_mode(), execution.autocast():
                sheet = average.network.reconstructions(pictures)
            sheet = sheet.unflatten(0, (2, -1)).transpose(1, 2)
            run.save_sheet(to_uint8(sheet.flatten(0, 2)), columns=sheet.shape[2])
        if run.checkpoint_due():
            labelled = {key: digits for key, digits in validation.items() if digits[1] is not None}
            scores = {f"{key}_accuracy": accuracy(classifier, *digits, execution) for key, digits in labelled.items()}
            run.record(**scores)
            run.save(classifier, f"{name}-classifier", arguments)

    run.close()


if __name__ == "__main__":
    run_command(lambda: main(parse_command_line(RECIPES)))
