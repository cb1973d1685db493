"""Adapt a digit classifier by DANN: `python train_dann.py dann --source mnistm --target svhn --data ROOT`.

The source's digits are labelled, the target's are not. A domain classifier learns to tell the domains by the features;
its gradient, reversed, makes the features alike, so that what is learnt on the source serves the target. `supervised`
trains the same networks on one domain alone. Target labels are used for curves only, and the last step counts.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
import tyro
from torch.nn.functional import cross_entropy

from models import NETWORKS
from models.dann import dann_loss, ramp
from runtime.errors import UserError, run_command
from runtime.seeds import derived_seed
from training.adaptation import (
    AdaptationConfig,
    Validation,
    domain_classifier_loss,
    source_batches,
    target_batches,
)
from training.config import parse_command_line
from training.ema import EMA, estimate_batch_norm
from training.run import Run


@dataclass
class Supervised(AdaptationConfig):
    """Settings of training on one domain: source-only baseline of another, upper bound on its own."""

    method: tyro.conf.Suppress[str] = "supervised"

    @property
    def folder(self) -> Path:
        """The run directory, by default named by recipe, network and source."""
        return self.runs / (self.name or f"{self.recipe}-{self.network}-{self.source}")

    def check_domains(self) -> None:
        """Raise UserError without a source; a target is asked for its curve alone."""
        if not self.source:
            raise UserError("name the domain to learn, a folder under ROOT/digits: --source mnistm, say")


@dataclass
class Config(AdaptationConfig):
    """Settings of DANN."""

    RETIRED = AdaptationConfig.RETIRED | {"adversarial_start": 0.0}

    method: tyro.conf.Suppress[str] = "dann"
    domain_weight: float = 1.0
    """Lambda, the gradient reversal weight: the domain loss's gradient reaches the features times minus it."""
    ramp: bool = True
    """Ramp lambda up over the run, as 2 / (1 + exp(-10 p)) - 1 of --domain-weight."""
    alternating: bool = False
    """Update the domain classifier by itself, first in each step, with an optimizer of its own."""
    confusion_weight: float = 0.0
    """Weight of minimum class confusion on the target, ramped up like lambda."""


DANN = Config(lr=2e-4, epochs=20)
RECIPES = {
    "supervised": (
        "Source only: the baseline of another domain, the upper bound on its own.",
        Supervised(epochs=20),
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
    "dann-mcc": ("DANN and minimum class confusion on the target.", replace(DANN, confusion_weight=1.0)),
}


def main(config: Config | Supervised) -> None:
    """Train as `config` says and leave the run in its directory."""
    execution = config.execution()
    adapting = isinstance(config, Config)

    # Labelled images of the source, unlabelled ones of the target, and those that the curves are measured on.
    sources = source_batches(config, execution, [config.augment])
    validation = Validation(config, execution)
    if adapting:
        targets = target_batches(config, execution, [config.augment])

    def batch(number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Source images, when adapting followed by as many of the target; the source's labels."""
        (images,), labels = sources.labelled_views(number)
        return (torch.cat([images, *targets.views(number)]) if adapting else images), labels

    # The network, its optimizers, and the average that is validated and saved.
    torch.manual_seed(derived_seed(config.seed, "weights"))
    arguments = {"width": config.width}
    network = execution.place(NETWORKS[config.network](**arguments))
    average = EMA(network, config.ema_decay)
    predict = execution.prepare(network if adapting else network.classifier)
    alternating = adapting and config.alternating
    adam = partial(torch.optim.AdamW, lr=config.lr, weight_decay=config.weight_decay, fused=True)
    if alternating:
        d_optimizer = adam(network.domain_classifier.parameters())
        optimizer = adam([p for name, p in network.named_parameters() if not name.startswith("domain_classifier.")])
    else:
        optimizer = adam(predict.parameters())

    def refresh() -> None:
        """Estimate the average's batch norm; of the last step's weights it is as it should be."""
        if config.ema_decay:
            inputs = (batch(number)[0] for number in range(20))
            estimate_batch_norm(average.network if adapting else average.network.classifier, inputs, execution)

    def measure() -> dict[str, float]:
        """Validation accuracies, for the curves."""
        return validation.accuracies(average.network.classifier)

    # The run: its directory, and everything that a checkpoint must hold to go on.
    parts = {"network": network, "average": average, "optimizer": optimizer}
    if alternating:
        parts["d_optimizer"] = d_optimizer
    weights = average.network.classifier, f"{config.network}-classifier", arguments
    run = Run(config, execution, sources.per_epoch, parts, weights)

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
            weights = torch.tensor([config.domain_weight, config.confusion_weight], device=execution.device)
            reversal_weight, confusion_weight = (ramp(progress) if config.ramp else 1.0) * weights

            # Teach the domain classifier by itself, on features that stay as they are.
            if alternating:
                d_loss = domain_classifier_loss(network, images, execution)
                d_optimizer.param_groups[0]["lr"] = lr
                d_optimizer.zero_grad()
                d_loss.backward()
                d_optimizer.step()

            # Classify the source, and make the domains alike by the reversed gradient.
            with execution.autocast():
                class_logits, domain_logits = predict(images, reversal_weight)
            loss, values = dann_loss(class_logits, domain_logits, labels, confusion_weight)
            values["lambda"] = reversal_weight
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(network, step)

        run.log(**values)
        run.finish_step(refresh, measure=measure)

    run.close()


if __name__ == "__main__":
    run_command(lambda: main(parse_command_line(RECIPES)))
