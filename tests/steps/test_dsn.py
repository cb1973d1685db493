"""The first steps of domain separation, by the paper and in the report's form, worked out in plain torch.

(Bousmalis et al., *Domain Separation Networks*, NIPS 2016, equations 1 to 7.)
"""

import copy
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from models import NETWORKS
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
    """What a run is told, in the account's own words."""

    steps: int = 3
    total: int = 3
    seed: int = 999
    network: str = "dann32"
    image_size: int = 32
    width: int = 8
    lr: float = 1e-4
    schedule: str = "constant"
    weight_decay: float = 0.0
    ema: float = 0.0
    balanced: bool = False
    kinds: list = field(default_factory=lambda: [kind("off")])
    reversal: float = 0.1
    start: float = 0.2
    reported: bool = False
    alternating: bool = False
    reconstruction: float = 0.01
    difference: float = 0.01
    sheets: tuple = (3,)


def scale_invariant_error(decoded: Tensor, images: Tensor) -> Tensor:
    """Equations 3 and 4: of each image's k errors |e|^2 / k - (sum of e)^2 / k^2; the mean over images."""
    k = images[0].numel()
    errors = [(one - other).flatten() for one, other in zip(images, decoded, strict=True)]
    return sum((error @ error) / k - error.sum() ** 2 / k**2 for error in errors) / len(images)


def reported_error(decoded: Tensor, images: Tensor) -> Tensor:
    """The report's: |e|^2 / n + (sum of e)^2 / n^2 over the n values of all images."""
    error = (decoded - images).flatten()
    return (error @ error) / len(error) + error.sum() ** 2 / len(error) ** 2


def difference(private: Tensor, shared: Tensor) -> Tensor:
    """Equation 5, of centred rows of length 1, as the mean over entries."""
    private, shared = (part - part.mean(0, keepdim=True) for part in (private, shared))
    private, shared = (part / (part**2).sum(1, keepdim=True).sqrt() for part in (private, shared))
    return (torch.einsum("ni,nj->ij", private, shared) ** 2).mean()


def reported_difference(private: Tensor, shared: Tensor) -> Tensor:
    """The report's: not centred, rows divided by their length, taken as a constant, plus 1e-6."""
    private, shared = (part / ((part.detach() ** 2).sum(1, keepdim=True).sqrt() + 1e-6) for part in (private, shared))
    return (torch.einsum("ni,nj->ij", private, shared) ** 2).mean()


def account(settings: Settings) -> dict:
    """What the run leaves: log, scores, networks, optimizers, and the sheets by step."""
    data, s = domains(), settings
    network = seeded_network(s.seed, "dsn", network=s.network, width=s.width)
    judge, optimizers = network.domain_classifier, {}
    if s.alternating:
        optimizers["d_optimizer"] = AdamW(judge.parameters(), s.weight_decay)
    judged_apart = {id(parameter) for parameter in judge.parameters()} if s.alternating else set()
    rest = [parameter for parameter in network.parameters() if id(parameter) not in judged_apart]
    optimizers["optimizer"] = AdamW(rest, s.weight_decay)
    reconstruction_of, difference_of = scale_invariant_error, difference
    if s.reported:
        reconstruction_of, difference_of = reported_error, reported_difference

    def batch(number: int) -> tuple[Tensor, Tensor]:
        images, labels = source_batch(data, number, s.seed, s.kinds, s.balanced)
        return torch.cat([images, target_batch(data, number, s.seed, s.kinds)]), labels

    def encode(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        """Shared features of both domains in one batch; private ones of each by an encoder of its own."""
        inputs = resized(images, s.image_size)
        source, target = inputs[: len(inputs) // 2], inputs[len(inputs) // 2 :]
        private = torch.cat([network.private_source_encoder(source), network.private_target_encoder(target)])
        return network.classifier.feature_extractor(inputs), private

    def restore(network: nn.Module, shared: Tensor, private: Tensor) -> Tensor:
        return network.decoder(torch.cat([shared, private], 1).unflatten(1, (-1, 1, 1)))

    def everything(network: nn.Module, images: Tensor) -> None:
        shared, private = encode(network, images)
        network.classifier.label_classifier(shared)
        network.domain_classifier(shared)
        restore(network, shared, private)

    average, log, sheets = averaged(None, network, s.ema, 0), [], {}
    for step in range(s.steps):
        seed_step(s.seed, step)
        progress = step / s.total
        lr = learning_rate(s.lr, s.schedule, progress)
        reversal = s.reversal if progress >= s.start else 0.0
        images, labels = batch(step)
        count = len(labels)

        if s.alternating:
            extractor = network.classifier.feature_extractor
            features = without_statistics(extractor, resized(images, s.image_size)).detach()
            optimizers["d_optimizer"].minimise(binary_cross_entropy(judge(features)), lr)

        shared, private = encode(network, images)
        judged = shared.detach().requires_grad_()
        domain_logits = judge(judged)
        domain_loss = binary_cross_entropy(domain_logits)
        (towards_domains,) = torch.autograd.grad(domain_loss, judged, retain_graph=True)
        logits = network.classifier.label_classifier(shared)
        decoded, originals = restore(network, shared, private), resized(images, 32)
        halves = slice(0, count), slice(count, 2 * count)
        class_loss = cross_entropy(logits[:count], labels)
        reconstruction_loss = sum(reconstruction_of(decoded[half], originals[half]) for half in halves)
        difference_loss = sum(difference_of(private[half], shared[half]) for half in halves)
        loss = class_loss + domain_loss - reversal * (shared * towards_domains).sum()
        loss = loss + s.reconstruction * reconstruction_loss + s.difference * difference_loss
        optimizers["optimizer"].minimise(loss, lr)
        average = averaged(average, network, s.ema, step)

        right = torch.cat([domain_logits[:count] <= 0, domain_logits[count:] > 0])
        values = {"class_loss": class_loss, "domain_loss": domain_loss}
        values |= {"reconstruction_loss": reconstruction_loss, "difference_loss": difference_loss}
        values |= {"lambda": reversal, "domain_accuracy": right.float().mean()}
        log.append({name: torch.as_tensor(value).item() for name, value in values.items()})

        if step + 1 in s.sheets:
            shown = copy.deepcopy(average)
            if s.ema:
                inputs = [batch(number)[0] for number in range(20)]
                measure_batch_norm(shown, lambda images, shown=shown: everything(shown, images), inputs)
            with torch.no_grad():
                images = batch(0)[0]
                shared, private = encode(shown, images)
                nothing = torch.zeros_like(shared)
                pairs = (shared, private), (shared, nothing), (nothing, private)
                kinds = [resized(images, 32), *(restore(shown, *pair) for pair in pairs)]
            # Four rows of the source above four of the target: itself, restored from both, from shared, from private.
            sheets[step + 1] = [part[half] for half in halves for part in kinds]
            final = shown

    def classify(images: Tensor) -> Tensor:
        features = final.classifier.feature_extractor(resized(images, s.image_size))
        return final.classifier.label_classifier(features)

    scores = validate(classify, data)
    networks = {"network": network, "average": final}
    return {"log": log, "scores": scores, "networks": networks, "optimizers": optimizers, "sheets": sheets}


def check_sheet(path, rows: list[Tensor]) -> None:
    """Compare the pixels of a sheet, 32x32 pictures two pixels apart on white, but for rounding."""
    page = np.asarray(Image.open(path)).astype(int)
    columns = len(rows[0])
    expected = np.full((len(rows) * 34 + 2, columns * 34 + 2, 3), 255)
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            levels = ((image.numpy().transpose(1, 2, 0) + 1) * 127.5).round().clip(0, 255)
            expected[row * 34 + 2 : row * 34 + 34, column * 34 + 2 : column * 34 + 34] = levels
    assert page.shape == expected.shape
    assert np.abs(page - expected).max() <= 1


def check(folder, settings: Settings) -> None:
    """Compare a run's directory with the account of it."""
    expected = account(settings)
    check_log(folder, expected["log"], expected["scores"])
    check_networks(folder, expected["networks"], expected["optimizers"])
    arguments = {"width": settings.width, "network": settings.network}
    classifier, optimizer = expected["networks"]["average"].classifier, expected["optimizers"]["optimizer"]
    check_weights(folder, classifier, "dsn-classifier", arguments, optimizer)
    assert {path.name for path in (folder / "samples").iterdir()} == {f"{step:07d}.png" for step in settings.sheets}
    for step, rows in expected["sheets"].items():
        check_sheet(folder / "samples" / f"{step:07d}.png", rows)


SMALL = ("--network", "dann32", "--width", 8)
EVERYTHING = ("--seed", 5, "--augment", "mixed", "--balanced", "--weight-decay", 0.5, "--ema-decay", 0.15, "--lr", 5e-4)
EVERYTHING += ("--domain-weight", 2, "--reconstruction-weight", 5, "--difference-weight", 7)


def everything() -> Settings:
    """The account's words for EVERYTHING."""
    return Settings(
        seed=5,
        kinds=[kind("mixed")],
        balanced=True,
        weight_decay=0.5,
        ema=0.15,
        lr=5e-4,
        reversal=2,
        reconstruction=5,
        difference=7,
    )


@pytest.fixture
def run(adaptation_tree, tmp_path):
    return lambda recipe, *options: train(recipe, adaptation_tree, tmp_path, *options)


def test_the_paper_s(run):
    """The first step goes without an adversary: it starts after a fifth of the run."""
    check(run("dsn", *SMALL, "--max-steps", 3), Settings())


def test_the_paper_s_with_all_its_options(run):
    """The adversary starts at exactly a quarter of four steps, an epoch of the source being two."""
    options = ("--epochs", 2, "--adversarial-start", 0.25, "--lr-schedule", "cosine", "--sample-every", 3)
    settings = replace(everything(), steps=4, total=4, start=0.25, schedule="cosine", sheets=(3, 4))
    check(run("dsn", *SMALL, *EVERYTHING, *options), settings)


def test_the_report_s(run):
    settings = Settings(reported=True, alternating=True, start=0.0)
    check(run("dsn-report", *SMALL, "--max-steps", 3), settings)


def test_the_report_s_with_all_its_options(run):
    options = ("--max-steps", 3, "--lr-schedule", "annealed", "--adversarial-start", 0.3, "--ema-decay", 0.9)
    settings = replace(everything(), reported=True, alternating=True, start=0.3, ema=0.9, schedule="annealed")
    check(run("dsn-report", *SMALL, *EVERYTHING, *options), settings)


def test_encoders_of_another_network(run):
    options = ("--network", "dann-cnn", "--width", 8, "--max-steps", 2)
    check(run("dsn", *options), Settings(network="dann-cnn", image_size=28, steps=2, total=2, sheets=(2,)))


def test_target_labels_serve_for_the_score_alone(adaptation_tree, tmp_path):
    check_target_labels_unused("dsn", adaptation_tree, tmp_path, *SMALL, "--max-steps", 2)


@pytest.mark.parametrize("strength", [0.0, 1.0, 2.0])
def test_reversal(strength):
    """The domain loss's gradient reaches the shared encoder times minus lambda, the domain classifier as it is."""
    torch.manual_seed(0)
    network = NETWORKS["dsn"](network="dann-cnn", width=8).eval()
    images, ones = torch.randn(4, 3, 28, 28), torch.linspace(-1, 2, 4)
    shared = network.classifier.feature_extractor(images)
    plain = (network.domain_classifier(shared).flatten() * ones).sum()
    encoder, judge = (
        list(part.parameters()) for part in (network.classifier.feature_extractor, network.domain_classifier)
    )
    expected = torch.autograd.grad(plain, encoder + judge)
    domain_logits = network(images, strength).domain_logits
    loss = (domain_logits.flatten() * ones).sum()
    assert loss.item() == pytest.approx(plain.item(), rel=1e-5)
    found = torch.autograd.grad(loss, encoder + judge)
    assert any(gradient.abs().max() > 0.1 for gradient in expected[: len(encoder)])
    for place, (gradient, value) in enumerate(zip(found, expected, strict=True)):
        factor = -strength if place < len(encoder) else 1
        torch.testing.assert_close(gradient, factor * value, rtol=1e-4, atol=1e-5)
    private = [*network.private_source_encoder.parameters(), *network.private_target_encoder.parameters()]
    logits = network(images, strength).domain_logits.sum()
    assert not any(gradient is not None for gradient in torch.autograd.grad(logits, private, allow_unused=True))
