"""Adapt a digit classifier by AdaMatch: `python train_adamatch.py adamatch --source mnistm --target svhn --data ROOT`.

Every image has a weakly and a strongly augmented view. Confident predictions on the target's weak views become
pseudo-labels of its strong views; the source is learnt by its labels. Target labels are used for curves only, and the
last step counts.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
import tyro

from data.augment import AUGMENTATIONS
from models import NETWORKS, adamatch
from models.adamatch import ClassThresholds, Views
from models.weights import not_defaults
from runtime.errors import run_command
from runtime.processes import mean_over_processes
from runtime.seeds import RandomStream, derived_seed
from runtime.settings import ABOVE_0, AT_LEAST_0, AT_LEAST_1, SHARE, OnlyWith, Range
from training.adaptation import AdaptationConfig, Domains
from training.config import parse_command_line, varied
from training.ema import EMA, estimate_batch_norm
from training.run import TrainingRun


@dataclass
class Config(AdaptationConfig):
    """Settings of AdaMatch."""

    RETIRED = AdaptationConfig.RETIRED | {"ramp": True}

    method: tyro.conf.Suppress[str] = "adamatch"
    augment: Literal[tuple(AUGMENTATIONS)] = "off"
    """Data augmentation of the strong views of both domains; weak views are shifted, with off unchanged."""
    threshold: Annotated[float, Range(0, 1, open_low=True)] = 0.9
    """Tau: the confidence that makes a prediction a pseudo-label."""
    relative_threshold: bool = True
    """Multiply tau by the mean confidence on the source (relative confidence threshold)."""
    class_thresholds: bool = False
    """Lower the threshold of classes predicted on the target less often than their equal share (after FreeMatch)."""
    threshold_fading: Annotated[float, AT_LEAST_0, OnlyWith("class_thresholds", values=(True,))] = 0.0
    """K: what class thresholds change fades, by the exponent (1 - p)^k at the share p of the run (0: it does not)."""
    alignment: bool = True
    """Align the distribution of predictions on the target with the source's; --no-alignment if it lacks classes."""
    alignment_fading: Annotated[float, AT_LEAST_0, OnlyWith("alignment", values=(True,))] = 0.0
    """K: distribution alignment fades likewise, since the target's classes may have other shares than the source's."""
    ema_teacher: bool = False
    """Pseudo-labels are the EMA's (mean teacher) instead of the network's own."""
    interpolation: bool = True
    """Random logit interpolation between the joint and the source-only batch."""
    target_ratio: Annotated[int, AT_LEAST_1] = 1
    """Target images per source image in a step."""
    pseudo_weight: Annotated[float, AT_LEAST_0] = 1.0
    """Mu: weight of the loss on pseudo-labels."""
    pseudo_ramp: Annotated[float, SHARE, OnlyWith("pseudo_weight", values=ABOVE_0)] = 0.5
    """Share of the run over which mu is ramped up along a cosine; half of it in the paper, 0 for none."""


# Mu is ramped up over the first 900 steps, while the source is learnt. With a balanced source, distribution alignment
# aims at equal classes, which those of SVHN are not: in adamatch-teacher it soon fades.
ADAMATCH = Config(
    width=32,
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
)
RECIPES = {
    "adamatch": (
        "AdaMatch: pseudo-labels for the target, from weak views to strong ones; width 32, 3,000 steps.",
        ADAMATCH,
    ),
    "adamatch-teacher": (
        "AdaMatch with the EMA as teacher, class thresholds and fading alignment; width 32, 6,000 steps.",
        replace(
            ADAMATCH,
            ema_teacher=True,
            class_thresholds=True,
            threshold_fading=1.0,
            alignment_fading=3.0,
            interpolation=False,
            max_steps=6000,
        ),
    ),
}
# Without one of its parts, for the ablation.
VARIANTS = {
    "adamatch-weak": ("adamatch", {"augment": "weak"}),
    "adamatch-unbalanced": ("adamatch", {"balanced": False}),
    "adamatch-no-interpolation": ("adamatch", {"interpolation": False}),
    "adamatch-no-alignment": ("adamatch", {"alignment": False}),
    "adamatch-absolute-threshold": ("adamatch", {"relative_threshold": False}),
    "adamatch-no-pseudo-labels": ("adamatch", {"pseudo_weight": 0.0}),
    "adamatch-no-ramp": ("adamatch", {"pseudo_ramp": 0.0}),
    "adamatch-no-ema": ("adamatch", {"ema_decay": 0.0}),
    "adamatch-teacher-own-labels": ("adamatch-teacher", {"ema_teacher": False}),
    "adamatch-teacher-one-threshold": ("adamatch-teacher", {"class_thresholds": False}),
    "adamatch-teacher-no-fading": ("adamatch-teacher", {"alignment_fading": 0.0, "threshold_fading": 0.0}),
    "adamatch-teacher-interpolation": ("adamatch-teacher", {"interpolation": True}),
}
RECIPES |= varied(RECIPES, VARIANTS)


def main(config: Config) -> None:
    """Train as `config` says and leave the run in its directory."""
    execution = config.execution()
    stream = RandomStream(config.seed, execution.device)

    # Labelled images of the source, unlabelled ones of the target, each in two views; validation for the curves.
    views = ["off" if config.augment == "off" else "weak", config.augment]
    domains = Domains(config, execution)
    sources = domains.sources(views)
    targets = domains.targets(views, config.target_ratio)

    def batch(number: int) -> tuple[Views, torch.Tensor]:
        """Weak and strong views of source and target; the source's labels."""
        source, labels = sources.labelled_views(number)
        return Views(*source, *targets.views(number)), labels

    def learnt(images: Views) -> Views:
        """The views that the network learns from: a teacher takes the target's weak ones over."""
        return images.of_student() if config.ema_teacher else images

    # The network, its optimizer, and the EMA, which is validated and saved.
    torch.manual_seed(derived_seed(config.seed, "weights"))
    arguments = {"width": config.width} | not_defaults(config.network, classes=len(domains.classes))
    network = execution.place(NETWORKS[config.network](**arguments))
    predict = execution.prepare(network.classifier)
    average = EMA(network, config.ema_decay)
    teacher = average.network.classifier
    optimizer = torch.optim.AdamW(predict.parameters(), config.lr, weight_decay=config.weight_decay, fused=True)

    def refresh() -> None:
        """Re-estimate batch-norm statistics of the EMA, of batches as the network learns from; its own are right."""
        if config.ema_decay:
            inputs = (torch.cat(learnt(batch(number)[0])) for number in range(20))
            estimate_batch_norm(average.network.classifier, inputs, execution)

    # The run: its directory, and everything that a checkpoint must hold to go on.
    parts = {"network": network, "average": average, "optimizer": optimizer}
    if config.class_thresholds:
        thresholds = parts["thresholds"] = execution.place(ClassThresholds(len(domains.classes)))
    weights = average.network.classifier, f"{config.network}-classifier", arguments
    run = TrainingRun(config, execution, sources.per_epoch, parts, weights, domains.classes)

    for step in run.steps():
        progress = step / run.total
        optimizer.param_groups[0]["lr"] = run.learning_rate(config.lr)
        mu = torch.full((), config.pseudo_weight, device=execution.device)
        mu = mu * adamatch.mu_ramp(progress, config.pseudo_ramp)
        images, labels = batch(step)

        # Logits of all views as one batch; the source's are interpolated at random with those of the source alone.
        with execution.autocast():
            weak = adamatch.taught(teacher, images) if config.ema_teacher else None
            images = learnt(images)
            logits = images.through(predict)
            if config.interpolation:
                alone = adamatch.source_alone(predict, images)
        if config.interpolation:
            draws = stream.draws("interpolation", step)
            shares = draws.uniform(2, config.batch_size, len(domains.classes), batch_dim=1)
            logits = adamatch.interpolate_logits(logits, alone, shares)

        # Pseudo-labels from the weak views; class loss on both source views, pseudo-label loss on strong target views.
        source_weak, target_weak = weak or (logits.source_weak, logits.target_weak)
        if config.class_thresholds:
            thresholds.update(mean_over_processes(target_weak.detach().softmax(1).mean(0)))
        found = adamatch.pseudo_label(
            source_weak,
            target_weak,
            config.threshold,
            (1 - progress) ** config.alignment_fading if config.alignment else 0.0,
            config.relative_threshold,
            thresholds.factors((1 - progress) ** config.threshold_fading) if config.class_thresholds else None,
        )
        loss, values = adamatch.adamatch_loss(logits, labels, found, mu)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(network, step)

        run.log(**values)
        run.finish_step(refresh, measure=lambda: domains.accuracies(average.network.classifier))

    run.close()


if __name__ == "__main__":
    run_command(lambda: main(parse_command_line(RECIPES)))
