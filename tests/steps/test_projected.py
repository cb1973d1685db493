"""The first steps of `train_dcgan.py` with discriminators of features, beside an account of them in plain torch."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import pad

import train_dcgan
from models import NETWORKS
from models.projected import ProjectedFeatures, pretrained_lite0, projected_heads
from tests.steps.generation_accounts import (
    ALWAYS,
    STEPS,
    Adam,
    Left,
    assert_close,
    assert_log,
    assert_network,
    assert_optimizer,
    follow,
    image_batch,
    in_unit_range,
    measured,
    seed_of,
    stream,
    write_pictures,
)
from training.config import parse_command_line

PICTURES, BATCH, LATENT = 18, 8, 6
SMALL = ("--width", 4, "--batch-size", BATCH, "--latent-size", LATENT, "--max-steps", STEPS, "--log-every", 1)
VARIANTS = {
    "projected": ("projected", "--feature-weight", 0.6, "--feature-r2", 0.4, "--g-steps", 2, "--d-steps", 2),
    "projected-pixel": ("projected-pixel", "--penalty-every", 2, "--feature-weight", 0.5, "--ema-share", 1.5),
    "hinge": ("projected", "--loss", "hinge", "--width", 8, "--no-flip"),
}


def networks_of(settings):
    """The generator, by name what judges images and features at 16, 8 and 4 pixels, and the features."""
    size = {"latent_size": LATENT, "width": settings.width}
    generator = NETWORKS[f"{settings.networks}-generator"](**size)
    judges = {}
    if settings.discriminator == "both":
        judges["discriminator"] = NETWORKS["r3gan-discriminator"](settings.width)
    features = ProjectedFeatures(pretrained_lite0())
    return generator, judges | projected_heads(), features


def changed(images, draws):
    """Brightness, saturation and contrast of each image, then its place, one after the other."""
    results = []
    for image, draw in zip(images, draws, strict=True):
        image = image + (draw[0] - 0.5)
        gray = image.mean(0, keepdim=True)
        image = gray + (image - gray) * (2 * draw[1])
        image = image.mean() + (image - image.mean()) * (draw[2] + 0.5)
        down, across = (math.floor(float(value) * 17) for value in draw[3:5])  # 0 to 16, 8 is no move
        results.append(pad(image, (8, 8, 8, 8))[:, 16 - down : 80 - down, 16 - across : 80 - across])
    return torch.stack(results)


class Together(torch.nn.Module):
    """All judges as one network, whose parameters one optimizer updates."""

    def __init__(self, judges):
        super().__init__()
        for name, judge in judges.items():
            self.add_module(name, judge)


def account(settings, pictures):
    """What is logged in each step, and all there is at the end."""
    torch.manual_seed(seed_of("weights"))
    generator, judges, features = networks_of(settings)
    average = copy.deepcopy(generator)
    with torch.no_grad():
        spread = [scale.std() for scale in features(in_unit_range(pictures[:64]))]
    features.deviations.copy_(torch.stack(spread))
    g_optimizer, d_optimizer = Adam(generator, settings.betas), Adam(Together(judges), settings.betas)
    of_features = {"weight": settings.feature_weight / 3, "gammas": (settings.feature_r1, settings.feature_r2)}
    of_pixels = {"weight": 1.0, "gammas": (settings.r1, settings.r2)}
    kinds = {name: of_pixels if name == "discriminator" else of_features for name in judges}
    penalises = any(sum(kind["gammas"]) for kind in kinds.values())

    def seen_of(images, *name):
        if settings.augment:
            images = changed(images, torch.rand(BATCH, 5, generator=stream("augmentation", *name)))
        seen = {"discriminator": images}
        seen |= dict(zip(("head16", "head8", "head4"), features(images), strict=True))
        return {name: seen[name] for name in judges}

    def margin(ahead, behind):
        return torch.log1p(torch.exp(behind - ahead)).mean()

    def noise(*number):
        return torch.randn(BATCH, LATENT, generator=stream("noise", *number))

    logged = []
    for step in range(STEPS):
        for turn in range(settings.d_steps):
            update = step * settings.d_steps + turn
            fake = generator(noise(update))
            real_seen = seen_of(image_batch(pictures, update, BATCH, settings.flip), "real", update)
            fake_seen = seen_of(fake, "fake", update)
            losses, real_logits = {}, {}
            penalty = torch.zeros(())
            for name, judge in judges.items():
                real, fake_input = (seen[name].detach().requires_grad_() for seen in (real_seen, fake_seen))
                logits = judge(real), judge(fake_input)
                if settings.loss == "hinge":
                    losses[name] = (1 - logits[0]).clamp(min=0).mean() + (1 + logits[1]).clamp(min=0).mean()
                else:
                    losses[name] = margin(*logits)
                if penalises and update % settings.penalty_every == 0:
                    for gamma, scores, judged in zip(kinds[name]["gammas"], logits, (real, fake_input), strict=True):
                        (gradient,) = torch.autograd.grad(scores.sum(), judged, create_graph=True)
                        squared = (gradient**2).sum() / BATCH / scores.shape[1]
                        penalty = penalty + kinds[name]["weight"] * gamma / 2 * settings.penalty_every * squared
                real_logits[name] = logits[0].detach()
            d_loss = sum(kinds[name]["weight"] * loss for name, loss in losses.items())
            d_optimizer.step(d_loss + penalty, settings.d_lr)
        for turn in range(settings.g_steps):
            if turn:
                fake = generator(noise(step, turn))
                fake_seen = seen_of(fake, "fake", step, turn)
            g_loss = torch.zeros(())
            for name, judge in judges.items():
                logits = judge(fake_seen[name])
                loss = -logits.mean() if settings.loss == "hinge" else margin(logits, real_logits[name])
                g_loss = g_loss + kinds[name]["weight"] * loss
            g_optimizer.step(g_loss, settings.g_lr)
        follow(average, generator, step, settings.ema_decay, settings.ema_share)
        values = {"d_loss": d_loss, "g_loss": g_loss}
        values |= {f"{name}_loss": loss for name, loss in losses.items()}
        values |= {"penalty": penalty} if penalises else {}
        logged.append({name: value.detach() for name, value in values.items()})
    statistics = torch.randn(20, 64, LATENT, generator=stream("batch norm"))
    return SimpleNamespace(
        logged=logged,
        generator=generator,
        judges=judges,
        features=features,
        average=measured(average, ((latents,) for latents in statistics)),
        g_optimizer=g_optimizer,
        d_optimizer=d_optimizer,
        per_epoch=max(1, PICTURES // BATCH // settings.d_steps),
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


def test_losses_and_penalties(both):
    left, expected = both
    assert_log(left.lines, expected.logged, 1, expected.per_epoch)


def test_networks_and_optimizers(both):
    left, expected = both
    assert_network(left.parts["generator"], expected.generator, expected.g_optimizer.slack)
    for name, judge in expected.judges.items():
        prefix = f"{name}."
        slack = {
            key.removeprefix(prefix): value
            for key, value in expected.d_optimizer.slack.items()
            if key.startswith(prefix)
        }
        assert slack.keys() == dict(judge.named_parameters()).keys()
        assert_network(left.parts[name], judge, slack)
    assert_optimizer(left.parts["g_optimizer"], expected.g_optimizer)
    assert_optimizer(left.parts["d_optimizer"], expected.d_optimizer)


def test_features_are_frozen_and_saved(both):
    left, expected = both
    for name, value in expected.features.state_dict().items():
        assert_close(left.parts["features"][name], value, name, 1e-6)


def test_the_average_follows_with_its_half_life(both):
    left, expected = both
    assert_network(left.parts["average"], expected.average, expected.g_optimizer.slack)
    assert_network(left.weights, expected.average, expected.g_optimizer.slack)
