"""The first steps of `train_dcgan.py`, beside an account of them in plain torch."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import pad, softplus

import train_dcgan
from models import NETWORKS
from tests.steps.generation_accounts import (
    ALWAYS,
    SGD,
    STEPS,
    Adam,
    Left,
    assert_log,
    assert_network,
    assert_optimizer,
    assert_pictures,
    at_rest,
    cross_entropy_with,
    follow,
    grid,
    image_batch,
    image_noise,
    seed_of,
    stream,
    write_pictures,
)
from training.config import parse_command_line

PICTURES, BATCH, LATENT = 10, 4, 6  # two batches an epoch, and two pictures left out
SMALL = ("--batch-size", BATCH, "--latent-size", LATENT, "--max-steps", STEPS, "--log-every", 1, "--sample-every", 2)
RATES = ("--d-lr", 1e-3, "--g-lr", 2e-3)
PLAIN_STEPS = ("--d-optimizer", "sgd", "--g-optimizer", "sgd", "--d-lr", 0.02, "--g-lr", 0.05)
LABELS = ("--width", 4, "--real-labels", 0.8, 1.6, "--fake-labels", -0.1, 1.2)
VARIANTS = {
    "dcgan": (
        *("dcgan-ema", "--width", 4, "--flip", "--lr-schedule", "halved", "--halve-every-epochs", 1),
        *("--log-every", 2, "--keep-every", 2, *RATES),
    ),
    "dcgan-2g": ("dcgan-2g", "--width", 4, "--label-flips", 0.4, "--keep-every", 2),
    "dcgan-long": ("dcgan-long", "--width", 4, "--ema-decay", 0.15, "--d-optimizer", "sgd", "--momentum", 0.9),
    "switches": (
        *("dcgan", "--width", 4, "--linear-stem", "--leaky-generator", "--no-dcgan-init", "--weight-decay", 0.3),
        *("--g-optimizer", "sgd", "--g-lr", 0.05),
    ),
    "dcgan-short": (
        *("dcgan-short", "--width", 4, "--d-steps", 2, "--g-steps", 3, "--max-steps", 0, "--epochs", STEPS),
        *("--real-labels", 0.7, 1.2, "--fake-labels", 0, 0.3),
    ),
    "labels": ("dcgan", *LABELS, "--label-flips", 0.3, "--flip", *PLAIN_STEPS),
    "labels above 1": ("dcgan", *LABELS, "--no-clip-labels", "--estimate-batch-norm", *PLAIN_STEPS),
    "pixelshuffle": (
        *("pixelshuffle", "--width", 4, "--no-channels-last", "--keep-every", 2, "--g-steps", 2),
        *("--ema-decay", 0.999, "--estimate-batch-norm"),
    ),
    "pixelshuffle, batch norm alone": (
        *("pixelshuffle", "--width", 4, "--no-channels-last", "--no-spectral-norm", "--weight-decay", 0.2),
    ),
    "sagan": ("sagan-ema", "--width", 8, "--lr-schedule", "halved", "--halve-every-epochs", 1, "--sample-every", STEPS),
    "r3gan": (
        *("r3gan", "--width", 4, "--r1", 20, "--r2", 2, "--penalty-every", 2, "--ema-share", 0.5),
        *("--keep-every", 2, *PLAIN_STEPS, "--d-lr", 0.005),
    ),
    "r3gan, several updates": (
        *("r3gan", "--width", 4, "--r1", 20, "--r2", 0, "--penalty-every", 3, "--no-flip", "--d-steps", 2),
        *("--g-steps", 2, "--max-steps", 0, "--epochs", STEPS, *PLAIN_STEPS, "--d-lr", 0.005),
    ),
    "wgan-gp": ("dcgan", "--width", 4, "--loss", "wgan-gp", "--gradient-penalty", 3, "--g-optimizer", "sgd", *RATES),
}


def networks_of(settings):
    size = {"latent_size": settings.latent_size, "width": settings.width}
    match settings.networks:
        case "dcgan":
            switches = {"bias": settings.bias, "initialise": settings.dcgan_init}
            stem = {"linear_stem": settings.linear_stem, "leaky": settings.leaky_generator}
            generator = NETWORKS["dcgan-generator"](**size, **switches, **stem)
            return generator, NETWORKS["dcgan-discriminator"](settings.width, **switches)
        case "pixelshuffle":
            generator = NETWORKS["pixelshuffle-generator"](**size)
            return generator, NETWORKS["dcgan-discriminator"](settings.width, spectral_norm=settings.spectral_norm)
        case "sagan":
            return NETWORKS["sagan-generator"](**size), NETWORKS["sagan-discriminator"](settings.width)
        case "fastgan":
            return NETWORKS["fastgan-generator"](**size), NETWORKS["r3gan-discriminator"](settings.width)


def augmented(images, *name):
    """Images brighter or darker, more or less saturated and of more or less contrast, and moved by up to 8 pixels."""
    draws = torch.rand(BATCH, 5, generator=stream("augmentation", *name))
    changed = []
    for image, (brightness, saturation, contrast, down, across) in zip(images, draws.tolist(), strict=True):
        image = image + brightness - 0.5
        image = image.mean(0) + 2 * saturation * (image - image.mean(0))
        image = image.mean() + (0.5 + contrast) * (image - image.mean())
        top, left = 16 - int(17 * down), 16 - int(17 * across)  # 8 where the image stays
        changed.append(pad(image, (8, 8, 8, 8))[:, top : top + 64, left : left + 64])
    return torch.stack(changed)


def discriminator_loss(settings, discriminator, real, fake, update):
    """The loss, the lazy penalty beside it, and the logits of real images.

    Real and generated images go through the discriminator one after the other, each normalised by themselves.
    """
    real, fake = real.detach().requires_grad_(), fake.detach().requires_grad_()
    real_logits, fake_logits = discriminator(real), discriminator(fake)
    penalty = torch.zeros(())
    if update in range(0, 99, settings.penalty_every):
        for gamma, logits, images in ((settings.r1, real_logits, real), (settings.r2, fake_logits, fake)):
            if not gamma:
                continue
            (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
            penalty = penalty + settings.penalty_every * gamma / 2 * gradient.square().sum() / BATCH
    loss = adversarial_loss(settings, discriminator, real, fake, real_logits, fake_logits, update)
    return loss, penalty, real_logits.detach()


def adversarial_loss(settings, discriminator, real, fake, real_logits, fake_logits, update):
    if settings.loss == "relativistic":
        return torch.log1p(torch.exp(fake_logits - real_logits)).mean()
    first, second, third = torch.rand(3, BATCH, 1, generator=stream("labels", update))
    if settings.loss == "hinge":
        return (1 - real_logits).clamp(min=0).mean() + (1 + fake_logits).clamp(min=0).mean()
    if settings.loss == "wgan-gp":
        share = first[:, :, None, None]  # of the real image
        between = (share * real + (1 - share) * fake).requires_grad_()
        (gradient,) = torch.autograd.grad(discriminator(between).sum(), between, create_graph=True)
        penalty = ((gradient.square().sum((1, 2, 3)).sqrt() - 1) ** 2).mean()
        return fake_logits.mean() - real_logits.mean() + settings.gradient_penalty * penalty
    (real_low, real_high), (fake_low, fake_high) = settings.real_labels, settings.fake_labels
    real_labels = real_low + (real_high - real_low) * first
    fake_labels = fake_low + (fake_high - fake_low) * second
    if settings.clip_labels:
        real_labels, fake_labels = real_labels.clamp(max=1), fake_labels.clamp(max=1)
    flipped = third < settings.label_flips
    real_labels, fake_labels = (
        torch.where(flipped, fake_labels, real_labels),
        torch.where(flipped, real_labels, fake_labels),
    )
    return cross_entropy_with(real_logits, real_labels) + cross_entropy_with(fake_logits, fake_labels)


def account(settings, pictures):
    """What is logged in each step, the moving average with its statistics where due, and all there is at the end."""
    torch.manual_seed(seed_of("weights"))
    generator, discriminator = networks_of(settings)
    average = copy.deepcopy(generator)

    def optimizer(kind, network):
        kind, moment = (Adam, settings.betas) if kind == "adam" else (SGD, settings.momentum)
        return kind(network, moment, settings.weight_decay)

    d_optimizer = optimizer(settings.d_optimizer, discriminator)
    g_optimizer = optimizer(settings.g_optimizer, generator)
    per_epoch = max(1, PICTURES // BATCH // settings.d_steps)
    statistics = torch.randn(20, 64, LATENT, generator=stream("batch norm"))

    def noise(*number):
        return torch.randn(BATCH, LATENT, generator=stream("noise", *number))

    logged, averages = [], {}
    for step in range(STEPS):
        torch.manual_seed(seed_of("step", step, 0))  # of dropout
        share = 0.5 ** (step // per_epoch // settings.halve_every_epochs) if settings.halve_every_epochs else 1.0
        for turn in range(settings.d_steps):
            update = step * settings.d_steps + turn
            real = image_batch(pictures, update, BATCH, settings.flip)
            fake = generator(noise(update))
            seen = fake
            if settings.augment:
                real, seen = augmented(real, "real", update), augmented(fake, "fake", update)
            d_loss, penalty, real_logits = discriminator_loss(settings, discriminator, real, seen, update)
            d_optimizer.step(d_loss + penalty, share * settings.d_lr)
        for turn in range(settings.g_steps):
            if turn:
                seen = generator(noise(step, turn))
                seen = augmented(seen, "fake", step, turn) if settings.augment else seen
            logits = discriminator(seen)
            match settings.loss:
                case "bce":
                    g_loss = softplus(-logits).mean()
                case "relativistic":
                    g_loss = softplus(real_logits - logits).mean()
                case _:
                    g_loss = -logits.mean()
            g_optimizer.step(g_loss, share * settings.g_lr)
        follow(average, generator, step, settings.ema_decay, settings.ema_share)
        logged.append({"d_loss": d_loss.detach(), "g_loss": g_loss.detach()})
        if settings.r1 or settings.r2:
            logged[-1]["penalty"] = penalty.detach()
        if (step + 1) % settings.sample_every == 0 or step + 1 == STEPS:
            averages[step + 1] = at_rest(average, ((latents,) for latents in statistics), settings)
    return SimpleNamespace(
        logged=logged,
        averages=averages,
        generator=generator,
        discriminator=discriminator,
        d_optimizer=d_optimizer,
        g_optimizer=g_optimizer,
        per_epoch=per_epoch,
    )


@pytest.fixture(scope="module", params=VARIANTS.values(), ids=VARIANTS)
def both(request, tmp_path_factory, smooth_activations):
    """What a run left, and the account of it."""
    data = tmp_path_factory.mktemp("faces")
    pictures = write_pictures(data, PICTURES, 64)
    recipe, *options = request.param
    words = (recipe, "--data", data, "--runs", tmp_path_factory.mktemp("runs"), *ALWAYS, *SMALL, *options)
    config = parse_command_line(train_dcgan.RECIPES, [str(word) for word in words])
    train_dcgan.main(config)
    left = Left(config.folder)
    return left, account(SimpleNamespace(**left.settings), pictures)


def test_losses(both):
    left, expected = both
    assert_log(left.lines, expected.logged, left.settings["log_every"], expected.per_epoch)


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
    left, expected = both
    for step, average in expected.averages.items():
        assert_pictures(left.picture(step), grid(average(image_noise(64, LATENT)), 8))
