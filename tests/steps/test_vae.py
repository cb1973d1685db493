"""The first steps of `train_vae.py`, beside an account of them in plain torch."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import train_vae
from models import NETWORKS
from tests.steps.generation_accounts import (
    ALWAYS,
    STEPS,
    Adam,
    Left,
    assert_close,
    assert_log,
    assert_network,
    assert_optimizer,
    assert_pictures,
    at_rest,
    follow,
    grid,
    image_batch,
    image_noise,
    in_unit_range,
    scheduled,
    seed_of,
    stream,
    write_pictures,
)
from training.config import parse_command_line

PICTURES, HELD_OUT, BATCH, LATENT = 10, 12, 4, 6  # two batches an epoch, and two pictures left out
SMALL = ("--batch-size", BATCH, "--latent-size", LATENT, "--max-steps", STEPS, "--log-every", 1, "--sample-every", 2)
FITTED = 7  # pictures that the start and the prior are fitted to; 4096 otherwise
PRIOR = ("prior_mean", "prior_deviation", "prior_factor")
VARIANTS = {
    "vae": ("vae", "--flip", "--halve-every-steps", 2, "--log-every", 2, "--kl-weight", 3e-4, "--keep-every", 2),
    "vae-pca": ("vae-pca", "--lr-schedule", "halved", "--halve-every-steps", 2, "--kl-weight", 3e-4),
    "random start": (
        *("vae-ema", "--kl-reduction", "sum", "--kl-weight", 0.02, "--no-fit-prior"),
        *("--lr", 1e-3, "--ema-decay", 0.15, "--keep-every", 2),
    ),
    "summed": (
        *("vae-pca", "--kl-reduction", "sum", "--lr", 1e-4, "--lr-schedule", "one-cycle", "--ema-decay", 0),
        *("--no-flip", "--keep-every", 2),
    ),
    "own pictures": ("vae", "--kl-weight", 0.1, "--lr", 5e-4, "--ema-decay", 0.999, "--estimate-batch-norm"),
}


@torch.no_grad()
def start(network, images, kl_weight):
    """Stands in for the linear start, whose signs are free: other weights, by what that is given."""
    for index, value in enumerate(network.parameters()):
        value.mul_(1 + 0.2 * images.flatten(1)[:, index].mean())
    network.log_variance.bias.fill_(kl_weight).log_()


def squared_error(network, images):
    """Mean squared error (N,) of images that come back through their posterior means, of values in [0, 1]."""
    return ((network.decode(network.encode(images)[0]) / 2 - images / 2) ** 2).mean((1, 2, 3))


def account(settings, pictures, held_out):
    """What is logged in each step, the moving average with its statistics where due, and all there is at the end."""
    torch.manual_seed(seed_of("weights"))
    network = NETWORKS["vae"](latent_size=LATENT, width=settings.width)
    if settings.linear_start:
        components = LATENT if settings.kl_reduction == "mean" else 1
        start(network, in_unit_range(pictures[:FITTED]), settings.kl_weight / components)
    average = copy.deepcopy(network)
    optimizer = Adam(network, (0.9, 0.999))

    def noise(purpose, number):
        return torch.randn(BATCH, LATENT, generator=stream(purpose, number))

    logged, averages, recorded = [], {}, {}
    for step in range(STEPS):
        images = image_batch(pictures, step, BATCH, settings.flip)
        mean, log_variance = network.encode(images)
        latents = mean + torch.exp(log_variance / 2) * noise("noise", step)
        mse = ((network.decode(latents) / 2 - images / 2) ** 2).mean()
        divergences = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1)
        weight = settings.kl_weight * (LATENT if settings.kl_reduction == "sum" else 1)
        loss = mse + weight * divergences.mean()
        halvings = step // settings.halve_every_steps if settings.lr_schedule == "halved" else 0
        optimizer.step(loss, scheduled(settings.lr, settings.lr_schedule, step, STEPS) / 2**halvings)
        follow(average, network, step, settings.ema_decay)
        logged.append({"mse": mse.detach(), "kl": divergences.mean().detach()})
        if (step + 1) % settings.sample_every == 0 or step + 1 == STEPS:
            batches = [(image_batch(pictures, n, BATCH, settings.flip), noise("batch norm", n)) for n in range(20)]
            averages[step + 1] = at_rest(average, batches, settings)
            with torch.no_grad():
                recorded[step + 1] = float(squared_error(averages[step + 1], in_unit_range(held_out)).mean())
    return SimpleNamespace(
        logged=logged,
        averages=averages,
        recorded=recorded,
        network=network,
        optimizer=optimizer,
        pictures=pictures,
        held_out=held_out,
    )


@pytest.fixture(scope="module", params=VARIANTS.items(), ids=VARIANTS)
def both(request, tmp_path_factory, smooth_activations):
    """What a run left, and the account of it."""
    variant, (recipe, *options) = request.param
    root = tmp_path_factory.mktemp("tree")
    if variant == "own pictures":
        pictures = held_out = write_pictures(root, PICTURES, 64)
    else:
        pictures = write_pictures(root / "face" / "train", PICTURES, 64)
        held_out = write_pictures(root / "face" / "val", HELD_OUT, 64, first=PICTURES)
        rows = [f"{index:05d}.png,{1 - index % 3 % 2 * 2}\n" for index in range(PICTURES + HELD_OUT - 1)]
        (root / "face" / "attributes.csv").write_text("image_name,Smiling\n" + "".join(rows[::-1]))
    words = (recipe, "--data", root, "--runs", root / "runs", "--width", 6, *ALWAYS, *SMALL, *options)
    config = parse_command_line(train_vae.RECIPES, [str(word) for word in words])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_vae, "start_linear", start)
        patch.setattr(train_vae, "FITTED_FACES", FITTED)
        train_vae.main(config)
    left = Left(config.folder)
    return left, account(SimpleNamespace(**left.settings), pictures, held_out)


def saved(left):
    """Weights files by their steps."""
    return {STEPS: left.weights} | ({2: left.kept(2)} if left.settings["keep_every"] else {})


def test_losses(both):
    left, expected = both
    assert_log(left.lines, expected.logged, left.settings["log_every"], PICTURES // BATCH)


def test_errors_of_held_out_pictures_are_recorded_with_checkpoints(both):
    """Where no pictures are held out, it is the training pictures' error, and called so."""
    left, expected = both
    name = "val_mse" if len(expected.held_out) == HELD_OUT else "train_mse"
    recorded = {line["step"]: line[name] for line in left.lines if name in line}
    assert recorded.keys() == (expected.recorded.keys() if left.settings["keep_every"] else {STEPS})
    for step, value in recorded.items():
        assert value == pytest.approx(expected.recorded[step], abs=2e-6, rel=1e-4)
    assert not any({"val_mse", "train_mse"} - {name} & line.keys() for line in left.lines)


def test_network_and_optimizer(both):
    left, expected = both
    assert left.checkpoint["step"] == STEPS
    assert_network(left.parts["network"], expected.network, expected.optimizer.slack)
    assert_optimizer(left.parts["optimizer"], expected.optimizer)


def test_the_average_is_saved_with_its_own_statistics(both):
    left, expected = both
    for step, state in [*saved(left).items(), (STEPS, left.parts["average"])]:
        assert_network(state, expected.averages[step], expected.optimizer.slack, skip=PRIOR)


@torch.no_grad()
def test_the_prior_is_that_of_the_training_pictures(both):
    """Mean and covariance of latents drawn from all posteriors; the columns of the factor are any square root of it."""
    left, expected = both
    for step, state in saved(left).items():
        if not left.settings["fit_prior"]:
            mean, covariance = torch.zeros(LATENT), torch.eye(LATENT)
        else:
            means, log_variances = expected.averages[step].encode(in_unit_range(expected.pictures[:FITTED]))
            mean, centred = means.mean(0), means - means.mean(0)
            covariance = centred.T @ centred / (len(means) - 1) + torch.diag(log_variances.exp().mean(0))
        factor = state["prior_factor"]
        assert_close(state["prior_mean"], mean, "mean", 1e-3, 1e-5)
        assert_close(factor @ factor.T + torch.diag(state["prior_deviation"] ** 2), covariance, "covariance", 1e-3)


@torch.no_grad()
def test_sample_grids_are_of_the_average_and_its_prior(both):
    left, expected = both
    for step, state in saved(left).items():
        factor = state["prior_factor"]
        own, common = image_noise(64, LATENT + factor.shape[1]).split([LATENT, factor.shape[1]], 1)
        latents = state["prior_mean"] + own * state["prior_deviation"] + common @ factor.T
        assert_pictures(left.picture(step), grid(expected.averages[step].decode(latents), 8))


@torch.no_grad()
def test_grids_show_held_out_pictures_above_what_comes_back(both):
    left, expected = both
    shown = in_unit_range(expected.held_out[:10])
    for step, average in expected.averages.items():
        back = average.decode(average.encode(shown)[0])
        assert_pictures(left.picture(step, "reconstructions"), grid(torch.cat([shown, back]), 10))


@torch.no_grad()
def test_latents_of_held_out_pictures_are_kept(both):
    left, expected = both
    table = np.load(left.folder / "latents.npz")
    means, log_variances = expected.averages[STEPS].encode(in_unit_range(expected.held_out))
    assert table["latents"].dtype == np.float16
    np.testing.assert_allclose(table["latents"], means, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(table["deviations"], log_variances.exp().mean(0).sqrt(), rtol=1e-3)
    if len(expected.held_out) == HELD_OUT:
        assert table["names"].tolist() == [f"{index:05d}.png" for index in range(PICTURES, PICTURES + HELD_OUT)]
        smiles = [1 - index % 3 % 2 * 2 for index in range(PICTURES, PICTURES + HELD_OUT - 1)]
        assert table["attributes"].tolist() == [[smile] for smile in smiles] + [[0]]  # of the last nothing is known
