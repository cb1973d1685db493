"""The first steps of source-only training and of DANN, worked out in plain torch.

(Ganin et al., *Domain-Adversarial Training of Neural Networks*, JMLR 2016, equations 9 and 13 to 15.)
"""

from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import Tensor

from tests.steps.adaptation_accounts import (
    AdamW,
    averaged,
    binary_cross_entropy,
    check_log,
    check_networks,
    check_target_labels_unused,
    check_weights,
    cross_entropy,
    domains,
    kind,
    lambda_ramp,
    learning_rate,
    measure_batch_norm,
    minimum_class_confusion,
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
    """What a run is told, in the account's own words."""

    steps: int = 3
    total: int = 3
    seed: int = 999
    network: str = "dann-cnn"
    image_size: int = 28
    width: int = 8
    adapting: bool = True
    lr: float = 1e-3
    schedule: str = "annealed"
    weight_decay: float = 0.0
    ema: float = 0.0
    balanced: bool = False
    kinds: list = field(default_factory=lambda: [kind("off")])
    reversal: float = 1.0
    confusion: float = 0.0
    start: float = 0.0
    ramp: bool = True
    alternating: bool = False


def account(settings: Settings) -> dict:
    """All that the run leaves, by the name of the check's argument."""
    data, s = domains(), settings
    network = seeded_network(s.seed, s.network, width=s.width)
    classifier, domain_classifier = network.classifier, network.domain_classifier
    extractor, label_classifier = classifier.feature_extractor, classifier.label_classifier
    decay, optimizers = s.weight_decay, {}
    if s.alternating:
        optimizers["d_optimizer"] = AdamW(domain_classifier.parameters(), decay)
    taught = network if s.adapting and not s.alternating else classifier
    optimizers["optimizer"] = AdamW(taught.parameters(), decay)

    def batch(number: int) -> tuple[Tensor, Tensor]:
        images, labels = source_batch(data, number, s.seed, s.kinds, s.balanced)
        if s.adapting:  # both domains go through batch norm together
            images = torch.cat([images, target_batch(data, number, s.seed, s.kinds)])
        return resized(images, s.image_size), labels

    average, log = averaged(None, network, s.ema, 0), []
    for step in range(s.steps):
        seed_step(s.seed, step)
        progress = step / s.total
        lr = learning_rate(s.lr, s.schedule, progress)
        share = (progress >= s.start) * (lambda_ramp(progress) if s.ramp else 1.0)
        images, labels = batch(step)

        if s.alternating:
            features = without_statistics(extractor, images).detach()
            optimizers["d_optimizer"].minimise(binary_cross_entropy(domain_classifier(features)), lr)

        features = extractor(images)
        if s.adapting:
            judged = features.detach().requires_grad_()
            domain_logits = domain_classifier(judged)
            domain_loss = binary_cross_entropy(domain_logits)
            (towards_domains,) = torch.autograd.grad(domain_loss, judged, retain_graph=True)
        logits = label_classifier(features)
        loss = class_loss = cross_entropy(logits[: len(labels)], labels)
        values = {"class_loss": class_loss}
        if s.adapting:
            right = torch.cat([domain_logits[: len(labels)] <= 0, domain_logits[len(labels) :] > 0])
            loss = class_loss + domain_loss - s.reversal * share * (features * towards_domains).sum()
            values |= {"domain_loss": domain_loss, "lambda": s.reversal * share}
            values["domain_accuracy"] = right.float().mean()
            if s.confusion:
                values["confusion"] = minimum_class_confusion(logits[len(labels) :])
                loss = loss + s.confusion * share * values["confusion"]
        optimizers["optimizer"].minimise(loss, lr)
        average = averaged(average, network, s.ema, step)
        log.append({name: torch.as_tensor(value).item() for name, value in values.items()})

    judge = average.classifier

    def classify(images: Tensor) -> Tensor:
        return judge.label_classifier(judge.feature_extractor(resized(images, s.image_size)))

    def classify_and_judge(images: Tensor) -> None:
        features = judge.feature_extractor(images)
        judge.label_classifier(features)
        if s.adapting:
            average.domain_classifier(features)

    if s.ema:
        measure_batch_norm(average if s.adapting else judge, classify_and_judge, [batch(n)[0] for n in range(20)])
    scores = validate(classify, data)
    return {"log": log, "scores": scores, "network": network, "average": average, "optimizers": optimizers}


def check(folder, settings: Settings) -> None:
    """Compare a run's directory with the account of it."""
    expected = account(settings)
    check_log(folder, expected["log"], expected["scores"])
    networks = {"network": expected["network"], "average": expected["average"]}
    check_networks(folder, networks, expected["optimizers"])
    name, arguments = f"{settings.network}-classifier", {"width": settings.width}
    check_weights(folder, expected["average"].classifier, name, arguments, expected["optimizers"]["optimizer"])


SHORT = ("--network", "dann-cnn", "--width", 8, "--max-steps", 3)


@pytest.fixture
def run(adaptation_tree, tmp_path):
    return lambda recipe, *options: train(recipe, adaptation_tree, tmp_path, *options)


def test_source_only(run):
    check(run("supervised", *SHORT), Settings(adapting=False, schedule="constant"))


def test_source_only_with_all_its_options(run):
    options = ("--network", "dann28", "--width", 8, "--max-steps", 3, "--seed", 5, "--balanced", "--augment", "mixed")
    options += ("--weight-decay", 0.5, "--ema-decay", 0.15, "--lr", 2e-3, "--lr-schedule", "annealed")
    settings = Settings(adapting=False, network="dann28", seed=5, balanced=True, kinds=[kind("mixed")], lr=2e-3)
    check(run("supervised", *options), replace(settings, weight_decay=0.5, ema=0.15, schedule="annealed"))


def test_dann(run):
    check(run("dann", *SHORT), Settings())


def test_dann_with_all_its_options(run):
    """The checkpoint after the second step, which measures batch norm's statistics, must not disturb the third."""
    options = ("--network", "dann28", "--width", 8, "--max-steps", 3, "--seed", 5, "--balanced", "--augment", "strong")
    options += ("--weight-decay", 0.5, "--ema-decay", 0.15, "--lr", 2e-3, "--lr-schedule", "cosine")
    options += ("--domain-weight", 2, "--confusion-weight", 3, "--adversarial-start", 0.2, "--checkpoint-every", 2)
    settings = Settings(network="dann28", seed=5, balanced=True, kinds=[kind("strong")], lr=2e-3)
    settings = replace(settings, weight_decay=0.5, ema=0.15, schedule="cosine")
    check(run("dann", *options), replace(settings, reversal=2, confusion=3, start=0.2))


def test_a_run_of_whole_epochs(run):
    """Two epochs of two steps; the adversary starts with the second, at exactly half of the run."""
    options = ("--network", "dann-lenet", "--width", 8, "--epochs", 2, "--adversarial-start", 0.5, "--domain-weight", 2)
    settings = Settings(network="dann-lenet", steps=4, total=4, start=0.5, reversal=2)
    check(run("dann", *options), settings)


def test_larger_pictures(run):
    options = ("--network", "dann64", "--width", 4, "--max-steps", 2)
    check(run("dann", *options), Settings(network="dann64", image_size=64, width=4, steps=2, total=2))


def test_alternating(run):
    settings = Settings(alternating=True, reversal=0.3, ramp=False, schedule="constant")
    check(run("dann32", *SHORT), settings)


def test_alternating_with_all_its_options(run):
    options = ("--network", "dann28", "--width", 8, "--max-steps", 3, "--augment", "mixed", "--ramp")
    options += ("--weight-decay", 0.5, "--ema-decay", 0.9, "--lr", 2e-3, "--lr-schedule", "annealed")
    options += ("--domain-weight", 2, "--confusion-weight", 3)
    settings = Settings(alternating=True, network="dann28", kinds=[kind("mixed")], lr=2e-3, schedule="annealed")
    check(run("dann32", *options), replace(settings, weight_decay=0.5, ema=0.9, reversal=2, confusion=3))


def test_fixed_alpha(run):
    check(run("dann-cnn", *SHORT), Settings(reversal=0.01, ramp=False, schedule="constant"))


def test_class_confusion(run):
    settings = Settings(kinds=[kind("mixed")], schedule="fixmatch", weight_decay=0.01, ema=0.998, reversal=0.1)
    check(run("dann-mcc", *SHORT, "--seed", 5), replace(settings, seed=5, start=0.3, confusion=1.0))


@pytest.mark.parametrize("recipe", ["supervised", "dann-mcc", "dann32"])
def test_target_labels_serve_for_the_score_alone(recipe, adaptation_tree, tmp_path):
    check_target_labels_unused(recipe, adaptation_tree, tmp_path, *SHORT)
