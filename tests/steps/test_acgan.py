"""The first steps of `train_acgan.py`, beside an account of them in plain torch."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import softplus

import train_acgan
from models import NETWORKS
from tests.steps.generation_accounts import (
    ALWAYS,
    STEPS,
    Adam,
    Left,
    assert_log,
    assert_network,
    assert_optimizer,
    assert_pictures,
    at_rest,
    batch_indices,
    class_entropy,
    cross_entropy_with,
    follow,
    grid,
    image_batch,
    image_noise,
    scheduled,
    seed_of,
    stream,
    write_pictures,
)
from training.config import parse_command_line

PICTURES, BATCH, LATENT = 22, 8, 6  # two batches an epoch, and six pictures left out
LABELS = torch.tensor([(7 * index + index // 10) % 10 for index in range(PICTURES)])
SMALL = ("--batch-size", BATCH, "--latent-size", LATENT, "--max-steps", STEPS, "--log-every", 1, "--sample-every", 2)
VARIANTS = {
    "acgan28": (
        *("acgan28-r1", "--r1-every", 2, "--r1", 0.8, "--uniform-from", 1, "--lr-schedule", "constant"),
        *("--warmup-steps", 2, "--log-every", 2),
    ),
    "paper": ("acgan28", "--fake-class-weight", 1, "--keep-every", 2, "--g-steps", 3, "--class-activation", "softmax"),
    "weights": (
        *("acgan28-r1", "--class-weight", 2.5, "--fake-class-weight", 0.4, "--real-label", 0.8),
        *("--uniform-weight", 0.7, "--r1-every", 1, "--lr-schedule", "cosine", "--warmup-steps", 1),
        *("--d-lr", 5e-4, "--g-lr", 1e-3, "--betas", 0.3, 0.9, "--ema-decay", 0),
    ),
    "one-cycle": ("acgan28", "--lr-schedule", "one-cycle", "--g-lr", 1e-3, "--d-lr", 5e-4, "--ema-decay", 0.15),
    "acgan64": (
        *("acgan64-r1", "--uniform-from", 2, "--r1-every", 2, "--lr-schedule", "linear"),
        *("--d-lr", 1e-4, "--g-lr", 1e-4),
    ),
    "scalar label": ("acgan28", "--scalar-label", "--class-activation", "sigmoid", "--estimate-batch-norm"),
}


def enlarged(images):
    """Images at 64 x 64: between the centres of pixels along straight lines, beyond the outer ones constant."""
    return resized(images, 64, reach=1.0)


def reduced(images):
    """Images at 28 x 28: each pixel the mean of those within its reach, nearer ones counting more."""
    return resized(images, 28, reach=images.shape[-1] / 28)


def resized(images, size, reach):
    """Images (N, 3, H, H) at (size, size), by a triangle of half-width `reach` pixels around each pixel's centre."""
    given = images.shape[-1]
    centres = ((torch.arange(size) + 0.5) * given / size).clamp(0.5, given - 0.5 if reach == 1 else given)
    weights = (1 - (torch.arange(given) + 0.5 - centres[:, None]).abs() / reach).clamp(min=0)
    weights /= weights.sum(1, keepdim=True)
    return weights @ images @ weights.T


def accuracy(logits, labels):
    return sum(int(row.argmax()) == int(label) for row, label in zip(logits, labels, strict=True)) / len(labels)


def account(settings, pictures):
    """What is logged in each step, the moving average with its statistics where due, and all there is at the end."""
    torch.manual_seed(seed_of("weights"))
    arguments = {"latent_size": LATENT, "width": settings.width, "scalar_label": settings.scalar_label}
    generator = NETWORKS[f"{settings.networks}-generator"](**arguments)
    discriminator = NETWORKS[f"{settings.networks}-discriminator"](width=settings.width)
    average = copy.deepcopy(generator)
    d_optimizer, g_optimizer = Adam(discriminator, settings.betas), Adam(generator, settings.betas)

    def reading(classes, labels):
        squashed = {"none": classes, "softmax": classes.exp() / classes.exp().sum(1, keepdim=True)}
        squashed["sigmoid"] = 1 / (1 + torch.exp(-classes))
        return class_entropy(squashed[settings.class_activation], labels)

    def inputs(purpose, *number):
        draws = stream(purpose, *number)
        return torch.randn(BATCH, LATENT, generator=draws), torch.randint(10, (BATCH,), generator=draws)

    logged, averages = [], {}
    for step in range(STEPS):
        real, labels = image_batch(pictures, step, BATCH), LABELS[batch_indices(step, PICTURES, BATCH)]
        if settings.networks == "acgan64":
            real = enlarged(real)
        latents, wanted = inputs("noise", step)
        fake = generator(latents, wanted)

        # Real and generated images go through the discriminator one after the other, each normalised by themselves.
        real_source, real_classes = discriminator(real)
        fake_source, fake_classes = discriminator(fake.detach())
        d_loss = cross_entropy_with(real_source, settings.real_label) + cross_entropy_with(fake_source, 0.0)
        read = reading(real_classes, labels) + settings.fake_class_weight * reading(fake_classes, wanted)
        d_loss = d_loss + settings.class_weight * read
        if step >= settings.uniform_from:
            every = torch.stack([class_entropy(fake_classes, torch.full((BATCH,), digit)) for digit in range(10)])
            d_loss = d_loss + settings.uniform_weight * every.mean()
        if settings.r1 and step in range(0, STEPS, settings.r1_every):
            real.requires_grad_()
            source, classes = discriminator(real)
            joint = source.sum() - BATCH * class_entropy(classes, labels)
            (gradient,) = torch.autograd.grad(joint, real, create_graph=True)
            d_loss = d_loss + settings.r1_every * settings.r1 / 2 * gradient.square().sum() / BATCH
        rate = (settings.lr_schedule, step, STEPS, settings.warmup_steps)
        d_optimizer.step(d_loss, scheduled(settings.d_lr, *rate))

        for turn in range(settings.g_steps):
            if turn:
                latents, wanted = inputs("noise", step, turn)
                fake = generator(latents, wanted)
            source, classes = discriminator(fake)
            g_loss = softplus(-source).mean() + settings.class_weight * reading(classes, wanted)
            g_optimizer.step(g_loss, scheduled(settings.g_lr, *rate))
        follow(average, generator, step, settings.ema_decay)

        logged.append(
            {
                "d_loss": d_loss.detach(),
                "g_loss": g_loss.detach(),
                "real_accuracy": accuracy(real_classes, labels),
                "fake_accuracy": accuracy(classes, wanted),
            }
        )
        if (step + 1) % settings.sample_every == 0 or step + 1 == STEPS:
            averages[step + 1] = at_rest(average, [inputs("batch norm", number) for number in range(20)], settings)
    return SimpleNamespace(
        logged=logged,
        averages=averages,
        generator=generator,
        discriminator=discriminator,
        d_optimizer=d_optimizer,
        g_optimizer=g_optimizer,
    )


@pytest.fixture(scope="module", params=VARIANTS.values(), ids=VARIANTS)
def both(request, tmp_path_factory, smooth_activations):
    """What a run left, and the account of it."""
    root = tmp_path_factory.mktemp("tree")
    folder = root / "digits" / "mnistm"
    pictures = write_pictures(folder / "data", PICTURES, 28)
    rows = [f"{index:05d}.png,{label}\n" for index, label in enumerate(LABELS.tolist())]
    (folder / "train.csv").write_text("image_name,label\n" + "".join(rows))
    recipe, *options = request.param
    words = (recipe, "--data", root, "--runs", root / "runs", "--width", 4, *ALWAYS, *SMALL, *options)
    config = parse_command_line(train_acgan.RECIPES, [str(word) for word in words])
    train_acgan.main(config)
    left = Left(config.folder)
    return left, account(SimpleNamespace(**left.settings), pictures)


def test_losses_and_accuracies(both):
    left, expected = both
    assert_log(left.lines, expected.logged, left.settings["log_every"], PICTURES // BATCH)


def test_networks_and_optimizers(both):
    left, expected = both
    assert left.checkpoint["step"] == STEPS
    assert_network(left.parts["generator"], expected.generator, expected.g_optimizer.slack)
    assert_network(left.parts["discriminator"], expected.discriminator, expected.d_optimizer.slack)
    assert_optimizer(left.parts["g_optimizer"], expected.g_optimizer)
    assert_optimizer(left.parts["d_optimizer"], expected.d_optimizer)


def test_the_average_is_saved_with_its_own_statistics(both):
    left, expected = both
    assert_network(left.parts["average"], expected.averages[STEPS], expected.g_optimizer.slack)
    assert_network(left.weights, expected.averages[STEPS], expected.g_optimizer.slack)
    if left.settings["keep_every"]:
        assert_network(left.kept(2), expected.averages[2], expected.g_optimizer.slack)


@torch.no_grad()
def test_sample_grids_are_of_the_average(both):
    """A row is a digit, and down a column the noise is the same."""
    left, expected = both
    latents, labels = image_noise(10, LATENT).repeat(10, 1), torch.arange(10).repeat_interleave(10)
    for step, average in expected.averages.items():
        images = average(latents, labels)
        assert_pictures(left.picture(step), grid(reduced(images) if images.shape[-1] > 28 else images, 10))
