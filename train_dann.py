"""Adapt a digit classifier by DANN: `python train_dann.py dann --source mnistm --target svhn --data ROOT`.

The source is labelled, the target is not. A domain classifier predicts the domain from the features; its gradient,
reversed, makes the features of both domains alike, so that the label classifier serves the target too. `supervised`
trains the same networks on one domain alone. Target labels are used for curves only, and the last step counts.
"""

from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch.nn.functional import cross_entropy

from models import NETWORKS
from models.dann import dann_loss, lambda_ramp
from models.weights import not_defaults
from runtime.errors import UserError, run_command
from runtime.seeds import derived_seed
from runtime.settings import AT_LEAST_0, Range
from training.adaptation import AdaptationConfig, Domains, update_domain_classifier
from training.config import parse_command_line, varied
from training.ema import EMA, estimate_batch_norm
from training.run import TrainingRun


@dataclass
class Supervised(AdaptationConfig):
    """Settings of training on one domain: source-only baseline of another, upper bound on its own."""

    method: tyro.conf.Suppress[str] = "supervised"

    @property
    def folder(self) -> Path:
        """The run directory, by default named by recipe, network and source."""
        return self.folder_of(self.source)

    def check_domains(self) -> None:
        """Raise UserError without a source; a target is asked for its curve alone."""
        if not self.source:
            raise UserError("name the domain to learn, a folder under ROOT/digits: --source mnistm, say")


@dataclass
class Config(AdaptationConfig):
    """Settings of DANN."""

    method: tyro.conf.Suppress[str] = "dann"
    domain_weight: Annotated[float, AT_LEAST_0] = 1.0
    """Lambda, the gradient reversal weight: the domain loss's gradient reaches the features times minus it."""
    ramp: bool = True
    """Ramp lambda up over the run, as 2 / (1 + exp(-10 p)) - 1 of --domain-weight."""
    adversarial_start: Annotated[float, Range(0, 1, open_high=True)] = 0.0
    """Share of the run before which lambda is 0."""
    alternating: bool = False
    """Update the domain classifier by itself, first in each step, with an optimizer of its own."""
    confusion_weight: Annotated[float, AT_LEAST_0] = 0.0
    """Weight of minimum class confusion on the target, 0 before and ramped up like lambda."""

    def adversarial_share(self, progress: float) -> float:
        """Share of lambda and of the weight of class confusion that is in force at the progress, 0 to 1."""
        if progress < self.adversarial_start:
            return 0.0
        return lambda_ramp(progress) if self.ramp else 1.0


def bound(config: Config) -> Supervised:
    """The two bounds of an adaptation: its classifier and settings, on one domain."""
    shared = {field.name: getattr(config, field.name) for field in fields(Supervised) if field.name != "method"}
    return Supervised(**shared)


DANN28 = Config(network="dann28", lr=2e-4, epochs=30, ramp=False)
DANN_CNN = Config(network="dann-cnn", lr=1e-3, domain_weight=0.01, ramp=False, epochs=50)
# A description says first what the report states, then what it leaves open and we chose.
REPORTED = {
    "dann-acgan": (
        "Report 000: the ACGAN's discriminator. Open there: Adam 2e-4, batch 128, 20 epochs, lambda ramped up to 1.",
        Config(network="dann-acgan", lr=2e-4, epochs=20),
    ),
    "dann64": (
        "Report 001: 64x64 images, Adam 2e-4, 20 epochs. Open there: batch 128, lambda 1 throughout.",
        Config(network="dann64", lr=2e-4, epochs=20, ramp=False),
    ),
    "dann28": (
        "Report 001: 28x28 images, Adam 2e-4, 30 epochs; four variants vote. Open there: as for dann64.",
        DANN28,
    ),
    "dann28-no-dropout": (
        "Report 001: dann28 without dropout of feature maps.",
        replace(DANN28, network="dann28-no-dropout"),
    ),
    "dann32": (
        "Report 002: 32x32 images, an optimizer for the domain classifier alone, Adam 1e-3, lambda 0.3, batch 256, "
        "200 epochs.",
        Config(lr=1e-3, alternating=True, domain_weight=0.3, ramp=False, batch_size=256, epochs=200),
    ),
    "dann-cnn": (
        "Report 003: Adam 1e-3, lambda 0.01, 50 epochs (SVHN to USPS: 100; bounds: 20). Open there: batch 128.",
        DANN_CNN,
    ),
    "dann-cnn-wide": ("Report 003: dann-cnn with features of 512x2x2.", replace(DANN_CNN, network="dann-cnn-wide")),
    "dann-lenet": (
        "Report 004: Adam 1e-3, batch 128. Open there: 50 epochs, lambda ramped up to 1.",
        Config(network="dann-lenet", lr=1e-3, batch_size=128, epochs=50),
    ),
}
VOTERS = ("dann28-wide", "dann28-strided", "dann28-linear")  # with dann28, in report 001
VARIANTS = {name: ("dann28", {"network": name}) for name in VOTERS}
# Ours, 2,000 steps. Lambda is small and sets in late: otherwise the source is not learnt.
SHORT = Config(width=32, batch_size=64, epochs=1000, max_steps=2000, lr=1e-3, lr_schedule="fixmatch")
AUGMENTED = replace(SHORT, augment="mixed", weight_decay=0.01, ema_decay=0.998)
AUGMENTED = replace(AUGMENTED, domain_weight=0.1, adversarial_start=0.3)
RECIPES = {
    "supervised": ("One domain alone: source-only baseline on another, upper bound on its own.", Supervised(epochs=20)),
    "dann": (
        "DANN as in its paper (section 5.2.2): lambda ramped up to 1, annealed rate. Our choice: Adam 1e-3, 20 epochs.",
        Config(lr=1e-3, lr_schedule="annealed", epochs=20),
    ),
    "dann-augmented": ("DANN with data augmentation, weight decay and EMA, lambda 0.1, 2,000 steps.", AUGMENTED),
    "dann-mcc": ("dann-augmented and minimum class confusion on the target.", replace(AUGMENTED, confusion_weight=1.0)),
    "supervised-augmented": ("Bounds of dann-augmented, dann-mcc and dsn-augmented.", bound(AUGMENTED)),
    "supervised-adamatch": (
        "Bounds of adamatch.",
        replace(bound(AUGMENTED), balanced=True, augment="rough", max_steps=3000, lr=1.5e-3),
    ),
    **REPORTED,
    **{f"supervised-{name}": (f"Bounds of {name}.", bound(config)) for name, (_, config) in REPORTED.items()},
    "supervised-dann-cnn": ("Bounds of dann-cnn (20 epochs).", replace(bound(DANN_CNN), epochs=20)),
    "supervised-dann-cnn-wide": (
        "Bounds of dann-cnn-wide (20 epochs).",
        replace(bound(DANN_CNN), network="dann-cnn-wide", epochs=20),
    ),
}
RECIPES |= varied(RECIPES, VARIANTS)


def main(config: Config | Supervised) -> None:
    """Train as `config` says and leave the run in its directory."""
    execution = config.execution()
    adapting = isinstance(config, Config)

    # Labelled images of the source, unlabelled ones of the target, validation images of both.
    domains = Domains(config, execution)
    sources = domains.sources([config.augment])
    if adapting:
        targets = domains.targets([config.augment])

    def batch(number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Source images, when adapting followed by as many of the target; the source's labels."""
        (images,), labels = sources.labelled_views(number)
        return (torch.cat([images, *targets.views(number)]) if adapting else images), labels

    # The network, its optimizers, and the EMA, which is validated and saved.
    torch.manual_seed(derived_seed(config.seed, "weights"))
    arguments = {"width": config.width} | not_defaults(config.network, classes=len(domains.classes))
    network = execution.place(NETWORKS[config.network](**arguments))
    predict = execution.prepare(network if adapting else network.classifier)
    average = EMA(network, config.ema_decay)
    alternating = adapting and config.alternating
    adam = partial(torch.optim.AdamW, lr=config.lr, weight_decay=config.weight_decay, fused=True)
    if alternating:
        d_optimizer = adam(network.domain_classifier.parameters())
        optimizer = adam(network.classifier.parameters())
    else:
        optimizer = adam(predict.parameters())

    def refresh() -> None:
        """Re-estimate batch-norm statistics of the EMA; the training network's are right for its own weights."""
        if config.ema_decay:
            inputs = (batch(number)[0] for number in range(20))
            estimate_batch_norm(average.network if adapting else average.network.classifier, inputs, execution)

    # The run: its directory, and everything that a checkpoint must hold to go on.
    parts = {"network": network, "average": average, "optimizer": optimizer}
    if alternating:
        parts["d_optimizer"] = d_optimizer
    weights = average.network.classifier, f"{config.network}-classifier", arguments
    run = TrainingRun(config, execution, sources.per_epoch, parts, weights, domains.classes)

    for step in run.steps():
        progress = step / run.total
        lr = optimizer.param_groups[0]["lr"] = run.learning_rate(config.lr)
        images, labels = batch(step)

        if not adapting:
            with execution.autocast():
                logits = predict(images)
            loss = cross_entropy(logits.float(), labels)
            values = {"class_loss": loss}
        else:
            share = config.adversarial_share(progress)
            reversal_weight = share * torch.full((), config.domain_weight, device=execution.device)
            confusion_weight = None
            if config.confusion_weight:
                confusion_weight = share * torch.full((), config.confusion_weight, device=execution.device)

            if alternating:
                update_domain_classifier(network, d_optimizer, lr, images, execution)

            # Class loss of the source, domain loss of both with its gradient reversed.
            with execution.autocast():
                class_logits, domain_logits = predict(images, reversal_weight)
            loss, values = dann_loss(class_logits, domain_logits, labels, confusion_weight)
            values["lambda"] = reversal_weight
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(network, step)

        run.log(**values)
        run.finish_step(refresh, measure=lambda: domains.accuracies(average.network.classifier))

    run.close()


if __name__ == "__main__":
    run_command(lambda: main(parse_command_line(RECIPES)))
