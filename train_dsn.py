"""Adapt a digit classifier by domain separation: `python train_dsn.py dsn --source mnistm --target svhn --data ROOT`.

DSN separates features shared by both domains from features private to each. Together they reconstruct the image; a
difference loss keeps them apart, an adversarial loss makes the shared ones independent of the domain, and the label is
predicted from these alone. The source is labelled; target labels are used for curves only, and the last step counts.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import numpy as np
import torch
import tyro

from models import NETWORKS
from models.dsn import dsn_loss
from models.weights import not_defaults
from runtime.errors import run_command
from runtime.images import image_grid, to_uint8
from runtime.seeds import derived_seed
from runtime.settings import AT_LEAST_0, Range
from training.adaptation import AdaptationConfig, Domains, update_domain_classifier
from training.config import SampleGrids, parse_command_line, varied
from training.ema import EMA, estimate_batch_norm
from training.run import TrainingRun


@dataclass
class Config(SampleGrids, AdaptationConfig):
    """Settings of DSN; its three encoders are feature extractors of --network."""

    RETIRED = AdaptationConfig.RETIRED | {"ramp": False, "confusion_weight": 0.0}

    method: tyro.conf.Suppress[str] = "dsn"
    reconstruction_weight: Annotated[float, AT_LEAST_0] = 0.01
    """Weight of each domain's reconstruction loss."""
    difference_weight: Annotated[float, AT_LEAST_0] = 0.01
    """Weight of each domain's difference loss, between private and shared features."""
    domain_weight: Annotated[float, AT_LEAST_0] = 0.1
    """Lambda, the gradient reversal weight: the domain loss's gradient reaches the features times minus it."""
    adversarial_start: Annotated[float, Range(0, 1, open_high=True)] = 0.2
    """Share of the run before which lambda is 0."""
    alternating: bool = False
    """Update the domain classifier by itself, first in each step, with an optimizer of its own."""
    reported_losses: bool = False
    """Reconstruction and difference losses in report 003's form instead of the paper's."""


DSN = Config(lr=1e-4, epochs=100)
SHORT = replace(DSN, width=32, batch_size=64, epochs=1000, max_steps=1000, lr=1e-3, lr_schedule="fixmatch")
RECIPES = {
    "dsn": ("DSN with the paper's losses, the adversarial one from a fifth of the run on.", DSN),
    "dsn-report": (
        "DSN with report 003's losses; the domain classifier goes first.",
        replace(DSN, reported_losses=True, alternating=True, adversarial_start=0.0),
    ),
    "dsn-augmented": (
        "DSN with data augmentation, weight decay and EMA, 1,000 steps.",
        replace(SHORT, augment="mixed", weight_decay=0.01, ema_decay=0.998, adversarial_start=0.3),
    ),
}
VARIANTS = {"dsn-report-fast": ("dsn-report", {"lr": 0.03})}  # for a claim of the report
RECIPES |= varied(RECIPES, VARIANTS)


def main(config: Config) -> None:
    """Train as `config` says and leave the run in its directory."""
    execution = config.execution()

    # Labelled images of the source, unlabelled ones of the target, validation images of both.
    domains = Domains(config, execution)
    sources = domains.sources([config.augment])
    targets = domains.targets([config.augment])

    def batch(number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Source images followed by as many of the target; the source's labels."""
        source, labels = sources.labelled_views(number)
        return torch.cat([*source, *targets.views(number)]), labels

    # The network, its optimizers, and the EMA, which is validated and saved.
    torch.manual_seed(derived_seed(config.seed, "weights"))
    arguments = {"network": config.network, "width": config.width} | not_defaults("dsn", classes=len(domains.classes))
    network = execution.prepare(NETWORKS["dsn"](**arguments))
    average = EMA(network, config.ema_decay)
    adam = partial(torch.optim.AdamW, lr=config.lr, weight_decay=config.weight_decay, fused=True)
    if config.alternating:
        d_optimizer = adam(network.domain_classifier.parameters())
        optimizer = adam([p for name, p in network.named_parameters() if not name.startswith("domain_classifier.")])
    else:
        optimizer = adam(network.parameters())

    def refresh() -> None:
        """Re-estimate batch-norm statistics of the EMA; the training network's are right for its own weights."""
        if config.ema_decay:
            estimate_batch_norm(average.network, (batch(number)[0] for number in range(20)), execution)

    def sample() -> dict[str, np.ndarray]:
        """Up to eight images of each domain, and their reconstructions from both, shared and private features."""
        images = torch.cat([part[:8] for part in batch(0)[0].chunk(2)])
        with torch.inference_mode(), execution.autocast():
            restored = average.network.reconstructions(images)
        restored = restored.unflatten(0, (2, -1)).transpose(1, 2)
        return {"samples": image_grid(to_uint8(restored.flatten(0, 2)), columns=restored.shape[2])}

    # The run: its directory, and everything that a checkpoint must hold to go on.
    parts = {"network": network, "average": average, "optimizer": optimizer}
    if config.alternating:
        parts["d_optimizer"] = d_optimizer
    weights = average.network.classifier, "dsn-classifier", arguments
    run = TrainingRun(config, execution, sources.per_epoch, parts, weights, domains.classes)

    for step in run.steps():
        progress = step / run.total
        lr = optimizer.param_groups[0]["lr"] = run.learning_rate(config.lr)
        adversarial = progress >= config.adversarial_start
        reversal_weight = adversarial * torch.full((), config.domain_weight, device=execution.device)
        images, labels = batch(step)

        if config.alternating:
            update_domain_classifier(network, d_optimizer, lr, images, execution)

        # Class loss of the source; reconstruction, difference and adversarial losses of both domains.
        with execution.autocast():
            output = network(images, reversal_weight)
        loss, values = dsn_loss(
            output, images, labels, config.reconstruction_weight, config.difference_weight, config.reported_losses
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(network, step)

        run.log(**values, **{"lambda": reversal_weight})
        run.finish_step(refresh, sample, lambda: domains.accuracies(average.network.classifier))

    run.close()


if __name__ == "__main__":
    run_command(lambda: main(parse_command_line(RECIPES)))
