"""The first steps of AdaMatch, worked out in plain torch.

(Berthelot et al., *AdaMatch: A Unified Approach to Semi-Supervised Learning and Domain Adaptation*, ICLR 2022,
section 3.)
"""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from tests.steps.adaptation_accounts import (
    BATCH,
    AdamW,
    averaged,
    check_log,
    check_networks,
    check_target_labels_unused,
    check_weights,
    cross_entropy,
    domains,
    draws,
    kind,
    learning_rate,
    measure_batch_norm,
    resized,
    seed_step,
    seeded_network,
    source_batch,
    target_batch,
    train,
    validate,
    without_statistics,
)


@dataclass
class Settings:
    """What a run is told, in the account's own words; by default what the recipe says."""

    steps: int = 3
    total: int = 3
    seed: int = 999
    network: str = "dann-cnn"
    image_size: int = 28
    width: int = 8
    lr: float = 1.5e-3
    schedule: str = "fixmatch"
    weight_decay: float = 0.01
    ema: float = 0.998
    balanced: bool = True
    weak: str = "weak"
    strong: str = "rough"
    ratio: int = 2
    threshold: float = 0.9
    relative: bool = True
    alignment: bool = True
    interpolation: bool = True
    mu: float = 1.0
    ramp: float = 0.3


def mu_share(progress: float, end: float) -> float:
    """1/2 - cos(min(pi, pi p / e)) / 2, the share of mu in force after the share p of the run; at once if e is 0."""
    return 0.5 - math.cos(min(math.pi, math.pi * progress / end)) / 2 if end else 1.0


def account(settings: Settings) -> dict:
    """What the run leaves: log, scores, networks, optimizer; and of each step how many were accepted."""
    data, s = domains(), settings
    network = seeded_network(s.seed, s.network, width=s.width)
    classifier = network.classifier
    optimizer = AdamW(classifier.parameters(), s.weight_decay)
    kinds = [kind(s.weak), kind(s.strong)]
    total = 2 * BATCH

    def batch(number: int) -> tuple[Tensor, Tensor]:
        """Weak and strong views of the source, then of the target, for batch norm one batch; the source's labels."""
        images, labels = source_batch(data, number, s.seed, kinds, s.balanced)
        images = torch.cat([images, target_batch(data, number, s.seed, kinds, s.ratio * BATCH)])
        return resized(images, s.image_size), labels

    def forward(images: Tensor, classifier=classifier) -> Tensor:
        return classifier.label_classifier(classifier.feature_extractor(resized(images, s.image_size)))

    average, log = averaged(None, network, s.ema, 0), []
    for step in range(s.steps):
        seed_step(s.seed, step)
        progress = step / s.total
        mu = s.mu * mu_share(progress, s.ramp)
        images, labels = batch(step)

        together = forward(images)
        source, target = together[:total], together[total:]
        if s.interpolation:
            alone = without_statistics(classifier, images[:total])
            shares = torch.rand(2, BATCH, 10, generator=draws(s.seed, "interpolation", step)).reshape(total, 10)
            source = shares * source + (1 - shares) * alone
        source_weak, source_strong = source[:BATCH], source[BATCH:]
        target_weak, target_strong = target[: s.ratio * BATCH], target[s.ratio * BATCH :]

        with torch.no_grad():
            of_source, of_target = source_weak.softmax(1), target_weak.softmax(1)
            if s.alignment:
                of_target = of_target * of_source.mean(0) / of_target.mean(0)
                of_target = of_target / of_target.sum(1, keepdim=True)
            threshold = s.threshold
            if s.relative:
                threshold = s.threshold * of_source.max(1).values.mean().item()
            confidence = of_target.max(1).values
            # Rounding errors must not decide what follows.
            (most, second), classes = of_target.topk(2, 1).values.T, of_target.argmax(1)
            assert (confidence - threshold).abs().min() > 1e-5 and (most - second).min() > 1e-6
            accepted = confidence >= threshold

        class_loss = (cross_entropy(source_weak, labels) + cross_entropy(source_strong, labels)) / 2
        surprises = -target_strong.log_softmax(1)[range(len(classes)), classes]
        pseudo_loss = surprises[accepted].sum() / len(classes)  # the mean over the whole batch
        optimizer.minimise(class_loss + mu * pseudo_loss, learning_rate(s.lr, s.schedule, progress))
        average = averaged(average, network, s.ema, step)

        values = {"class_loss": class_loss, "pseudo_loss": pseudo_loss, "pseudo_weight": mu, "threshold": threshold}
        values["mask_rate"] = accepted.float().mean()
        for digit in range(10):
            values[f"source_{digit}"] = (labels == digit).float().mean()
            values[f"pseudo_{digit}"] = ((classes == digit) & accepted).float().mean()
        log.append({name: torch.as_tensor(value).item() for name, value in values.items()})

    final = average.classifier
    if s.ema:
        inputs = [batch(number)[0] for number in range(20)]
        measure_batch_norm(final, lambda images: forward(images, final), inputs)
    scores = validate(lambda images: forward(images, final), data)
    return {"log": log, "scores": scores, "network": network, "average": average, "optimizer": optimizer}


def check(folder, settings: Settings) -> dict:
    """Compare a run's directory with the account of it, and give the account."""
    expected = account(settings)
    check_log(folder, expected["log"], expected["scores"])
    networks = {"network": expected["network"], "average": expected["average"]}
    check_networks(folder, networks, {"optimizer": expected["optimizer"]})
    name, arguments = f"{settings.network}-classifier", {"width": settings.width}
    check_weights(folder, expected["average"].classifier, name, arguments, expected["optimizer"])
    return expected


SHORT = ("--network", "dann-cnn", "--width", 8, "--max-steps", 3)


@pytest.fixture
def run(adaptation_tree, tmp_path):
    return lambda *options: train("adamatch", adaptation_tree, tmp_path, *SHORT, *options)


def test_the_recipe(run):
    check(run(), Settings())


# Half of the target accepted at once, the pseudo-labels counting as much as the labels: each part shows.
COUNTING = ("--threshold", 1, "--pseudo-ramp", 0, "--pseudo-weight", 2, "--lr", 5e-4)
counting = Settings(threshold=1.0, ramp=0, mu=2.0, lr=5e-4)


def test_half_of_the_target_accepted(run):
    """A checkpoint after every step, which measures batch norm's statistics, must not disturb the next."""
    steps = check(run(*COUNTING, "--checkpoint-every", 1), counting)["log"]
    assert all(0 < step["mask_rate"] < 1 for step in steps)


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        (("--no-interpolation",), {"interpolation": False}),
        (("--no-alignment",), {"alignment": False}),
        (("--no-relative-threshold", "--threshold", 0.13), {"relative": False, "threshold": 0.13}),
        (("--pseudo-ramp", 1, "--threshold", 0.95), {"ramp": 1.0, "threshold": 0.95}),
        (
            ("--network", "dann28", "--target-ratio", 1, "--augment", "mixed", "--no-balanced"),
            {"network": "dann28", "ratio": 1, "strong": "mixed", "balanced": False},
        ),
        (("--augment", "off", "--ema-decay", 0.15), {"weak": "off", "strong": "off", "ema": 0.15}),
        (
            ("--network", "dann32", "--ema-decay", 0, "--weight-decay", 0.5, "--lr-schedule", "cosine", "--seed", 5),
            {"network": "dann32", "image_size": 32, "ema": 0, "weight_decay": 0.5, "schedule": "cosine", "seed": 5},
        ),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_other_settings(run, options, changes):
    check(run(*COUNTING, *options), replace(counting, **changes))


def test_without_pseudo_labels(run):
    check(run("--threshold", 1, "--pseudo-weight", 0, "--lr", 5e-4), Settings(threshold=1.0, mu=0.0, lr=5e-4))


def test_target_labels_serve_for_the_score_alone(adaptation_tree, tmp_path):
    check_target_labels_unused("adamatch", adaptation_tree, tmp_path, *SHORT, *COUNTING)
