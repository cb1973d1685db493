"""The first steps of `train_ddpm.py`, beside an account of them in plain torch."""

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import train_ddpm
from data.digits import write_labels
from models import NETWORKS
from tests.steps.generation_accounts import (
    ALWAYS,
    Adam,
    Left,
    assert_log,
    assert_network,
    assert_optimizer,
    assert_pictures,
    at_rest,
    batch_indices,
    contrast_part,
    follow,
    grid,
    in_unit_range,
    scheduled,
    seed_of,
    stream,
    write_pictures,
)
from training.config import parse_command_line

PICTURES, BATCH = 21, 6  # three batches an epoch, and three pictures left out
LABELS = np.array([index * 7 % 10 for index in range(PICTURES)])
SMALL = ("--batch-size", BATCH, "--log-every", 1, "--sample-every", 2)
DROPPED = ("--label-dropout", 0.4)
CONTEXT, ATTENTION = ("context-unet", "--width", 8, *DROPPED), ("attention-unet", "--width", 4, *DROPPED)
VARIANTS = {
    "context-unet": (
        *(*CONTEXT, "--max-steps", 4, "--log-every", 2, "--keep-every", 2),
        *("--diffusion-steps", 12, "--sample-steps", 2, "--guidance", 1, "--warmup-steps", 3, "--lr", 3e-4),
    ),
    "context-unet-64": (
        *("context-unet-64", "--width", 8, *DROPPED, "--max-steps", 4, "--keep-every", 2, "--log-every", 2),
        *("--diffusion-steps", 12, "--sample-steps", 4, "--warmup-steps", 3),
    ),
    "velocity": (
        *(*CONTEXT, "--max-steps", 3, "--prediction", "v", "--noise-schedule", "cosine", "--ema-decay", 0.15),
        "--estimate-batch-norm",
        *("--diffusion-steps", 9, "--sample-steps", 3, "--guidance", 1, "--optimizer", "adamw", "--lr", 2e-3),
        *("--lr-schedule", "cosine", "--warmup-steps", 1, "--max-gradient-norm", 0.2),
    ),
    "attention-unet": (
        *(*ATTENTION, "--max-steps", 4, "--sample-every", 9, "--keep-every", 2),
        *("--diffusion-steps", 10, "--sample-steps", 2, "--guidance", 3, "--max-gradient-norm", 1e6),
    ),
    "attention-unet, not averaged": (
        *(*ATTENTION, "--max-steps", 2, "--prediction", "v", "--noise-schedule", "cosine", "--ema-decay", 0),
        *("--diffusion-steps", 8, "--sample-steps", 4, "--guidance", 0.5, "--lr-schedule", "constant"),
        "--no-channels-last",
    ),
    "edm": (
        *("edm", "--width", 8, "--max-steps", 4, "--keep-every", 2, "--warmup-steps", 1, "--lr", 2e-3),
        *("--max-gradient-norm", 0.1, "--sample-steps", 5, "--guidance", 3, "--label-dropout", 0.4),
    ),
    "edm-faces": (
        *("edm-faces", "--width", 4, "--max-steps", 2, "--keep-every", 2, "--warmup-steps", 1, "--lr", 2e-3),
        *("--max-gradient-norm", 0.05, "--sample-steps", 3),
    ),
}


def alpha_bars(settings):
    """alpha_bar_t, float64 (T + 1,), from 1 at t = 0."""
    steps = settings.diffusion_steps
    if settings.noise_schedule == "linear":
        betas = np.linspace(1e-4, 0.02, steps)
    else:
        curve = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = np.minimum(1 - curve[1:] / curve[:-1], 0.999)
    return np.array([np.prod(1 - betas[:time]) for time in range(steps + 1)])


class Account:
    """The run again: its data and draws, its steps, and the images of its average."""

    betas = (0.9, 0.999)
    columns = 10  # of the sample grid

    def __init__(self, settings, pictures):
        self.settings, self.images = settings, in_unit_range(pictures)
        torch.manual_seed(seed_of("weights"))
        self.network = NETWORKS[settings.network](width=settings.width, **self.process())
        self.optimizer = Adam(self.network, self.betas)
        self.logged, self.averages = [], []

    def process(self):
        """The arguments that make the network's process."""
        settings = self.settings
        self.alpha_bar = torch.from_numpy(alpha_bars(settings))
        return {
            "steps": settings.diffusion_steps,
            "schedule": settings.noise_schedule,
            "prediction": settings.prediction,
        }

    def noisy_batch(self, purpose, number):
        """Noisy images, their times t/T and labels, -1 where dropped; the clean images and the noise; a_t and s_t."""
        indices = batch_indices(number, PICTURES, BATCH)
        images, labels = self.images[indices], torch.from_numpy(LABELS)[indices]
        draws = stream(purpose, number)
        times = torch.randint(1, self.settings.diffusion_steps + 1, (BATCH,), generator=draws)
        dropped = torch.rand(BATCH, generator=draws) < self.settings.label_dropout
        noise = torch.randn(BATCH, 3, 28, 28, generator=draws)
        labels = torch.where(dropped, -1, labels)
        image_level, noise_level = (
            level.sqrt().float()[:, None, None, None] for level in (self.alpha_bar[times], 1 - self.alpha_bar[times])
        )
        inputs = image_level * images + noise_level * noise, times / self.settings.diffusion_steps, labels
        target = noise if self.settings.prediction == "epsilon" else image_level * noise - noise_level * images
        return inputs, target

    def train(self, steps):
        average = copy.deepcopy(self.network)
        settings = self.settings
        for step in range(steps):
            inputs, target = self.noisy_batch("noise", step)
            loss = ((self.network(*inputs) - target) ** 2).mean()
            lr = scheduled(settings.lr, settings.lr_schedule, step, steps, settings.warmup_steps)
            self.logged.append({"loss": loss.detach(), "lr": lr})
            before = [parameter.detach().clone() for parameter in self.network.parameters()]
            self.optimizer.step(loss * self.clipping(loss), lr)
            if settings.optimizer == "adamw":  # weights decay apart from their gradients
                with torch.no_grad():
                    for parameter, value in zip(self.network.parameters(), before, strict=True):
                        parameter -= 0.01 * lr * value
            follow(average, self.network, step, settings.ema_decay)
            batches = (self.noisy_batch("batch norm", batch)[0] for batch in range(20))
            self.averages.append(at_rest(average, batches, settings))
        return self

    def clipping(self, loss):
        """By how much the gradient is scaled down to the greatest norm allowed."""
        greatest = self.settings.max_gradient_norm
        if not greatest:
            return 1.0
        gradients = torch.autograd.grad(loss, list(self.network.parameters()), retain_graph=True)
        self.norm = math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients))
        return min(1.0, greatest / self.norm)

    @torch.no_grad()
    def sheet(self, network):
        """Ten rows of digits 0 to 9, ten columns of noise, by DPM-Solver++(2M) with guidance."""
        noise = torch.stack([torch.randn(3, 28, 28, generator=stream("image", index)) for index in range(10)])
        x, labels = noise.repeat(10, 1, 1, 1), torch.arange(10).repeat_interleave(10)
        settings = self.settings
        level = [(math.sqrt(value), math.sqrt(1 - value)) for value in self.alpha_bar.tolist()]
        stride = settings.diffusion_steps // settings.sample_steps
        former = None
        for time in range(settings.diffusion_steps, 0, -stride):
            times = torch.full((100,), time / settings.diffusion_steps)
            without, given = network(x, times, torch.full_like(labels, -1)), network(x, times, labels)
            output = without + settings.guidance * (given - without)
            a, s = level[time]
            clean = (x - s * output) / a if settings.prediction == "epsilon" else a * x - s * output
            a_next, s_next = level[time - stride]
            if time == stride:  # the noise vanishes
                return clean
            half_log_snr = math.log(a / s)
            width = math.log(a_next / s_next) - half_log_snr
            direction = clean
            if former is not None:
                former_half_log_snr, former_clean = former
                ratio = (half_log_snr - former_half_log_snr) / width
                direction = (1 + 1 / (2 * ratio)) * clean - former_clean / (2 * ratio)
            x = s_next / s * x - a_next * (math.exp(-width) - 1) * direction
            former = half_log_snr, clean


class EDMAccount(Account):
    """The same with the noise levels and the preconditioning of EDM, in its own coordinates."""

    betas = (0.9, 0.99)

    def process(self):
        self.deviation = self.images.double().std(correction=0).item()
        return {"prediction": "edm", "sigma_data": self.deviation}

    def noisy_batch(self, purpose, number):
        images, labels = self.batch(number)
        draws = stream(purpose, number)
        sigma = torch.exp(1.2 * torch.randn(BATCH, generator=draws) - 1.2)
        dropped = torch.rand(BATCH, generator=draws) < self.settings.label_dropout
        noisy = images + sigma[:, None, None, None] * torch.randn(images.shape, generator=draws)
        total, level = (sigma**2 + self.deviation**2)[:, None, None, None], sigma[:, None, None, None]
        target = (images - self.deviation**2 / total * noisy) * total.sqrt() / (level * self.deviation)
        labels = None if labels is None else torch.where(dropped, -1, labels)
        return (noisy / total.sqrt(), sigma.log() / 4, labels), target

    def batch(self, number):
        """Images and labels."""
        indices = batch_indices(number, PICTURES, BATCH)
        return self.images[indices], torch.from_numpy(LABELS)[indices]

    def denoised(self, network, noisy, sigma, labels):
        total = sigma**2 + self.deviation**2
        output = network(noisy / math.sqrt(total), torch.full((len(noisy),), math.log(sigma) / 4), labels)
        return self.deviation**2 / total * noisy + sigma * self.deviation / math.sqrt(total) * output

    @torch.no_grad()
    def sheet(self, network):
        """By DPM-Solver++(2M), guided between the noise levels 0.4 and 12, but not along the clean image's contrast."""
        (noise, labels), settings = self.asked(), self.settings
        share = [step / (settings.sample_steps - 1) for step in range(settings.sample_steps)]
        levels = [(80 ** (1 / 7) * (1 - part) + settings.sigma_min ** (1 / 7) * part) ** 7 for part in share]
        x, former = math.sqrt(1 + 80**2) * noise, None
        for sigma, lower in zip(levels, [*levels[1:], 0], strict=True):
            clean = direction = self.denoised(network, x, sigma, labels)
            if labels is not None and 0.4 <= sigma <= 12:
                without = self.denoised(network, x, sigma, torch.full_like(labels, -1))
                guidance = (settings.guidance - 1) * (clean - without)
                clean = direction = clean + guidance - contrast_part(guidance, clean)
            if not lower:
                return clean
            if former is not None:
                higher, former_clean = former
                ratio = math.log(higher / sigma) / math.log(sigma / lower)
                direction = clean + (clean - former_clean) / (2 * ratio)
            x, former = lower / sigma * x + (1 - lower / sigma) * direction, (sigma, clean)

    def asked(self):
        """Noise and labels of the sample grid."""
        noise = torch.stack([torch.randn(3, 28, 28, generator=stream("image", index)) for index in range(10)])
        return noise.repeat(10, 1, 1, 1), torch.arange(10).repeat_interleave(10)


class FaceAccount(EDMAccount):
    """The same of faces, mirrored at random, without labels and guidance."""

    columns = 8

    def process(self):
        return super().process() | {"classes": 0, "size": 64, "fold": 4, "direct": True}

    def batch(self, number):
        images = self.images[batch_indices(number, PICTURES, BATCH)]
        mirrored = torch.rand(BATCH, generator=stream("flip", number)) < 0.5
        return torch.where(mirrored[:, None, None, None], images.flip(3), images), None

    def asked(self):
        return torch.stack([torch.randn(3, 64, 64, generator=stream("image", index)) for index in range(32)]), None


@pytest.fixture(scope="module", params=VARIANTS.values(), ids=VARIANTS)
def both(request, tmp_path_factory):
    """What a run left, and the account of it."""
    data = tmp_path_factory.mktemp("tree")
    recipe, *options = request.param
    if recipe == "edm-faces":
        pictures = write_pictures(data / "face" / "train", PICTURES, 64)
    else:
        folder = data / "digits" / "mnistm"
        pictures = write_pictures(folder / "data", PICTURES, 28)
        write_labels(folder / "train.csv", [f"{index:05d}.png" for index in range(PICTURES)], LABELS)
    words = (recipe, "--data", data, "--runs", tmp_path_factory.mktemp("runs"), *ALWAYS, *SMALL, *options)
    config = parse_command_line(train_ddpm.RECIPES, [str(word) for word in words])
    train_ddpm.main(config)
    left = Left(config.folder)
    account = {"edm": EDMAccount, "edm-faces": FaceAccount}.get(recipe, Account)
    return left, account(SimpleNamespace(**left.settings), pictures).train(config.max_steps)


def test_losses_and_learning_rates(both):
    left, expected = both
    assert_log(left.lines, expected.logged, left.settings["log_every"], PICTURES // BATCH)


def test_network_and_optimizer(both):
    left, expected = both
    assert left.checkpoint["step"] == len(expected.logged)
    assert_network(left.parts["network"], expected.network, expected.optimizer.slack)
    assert_optimizer(left.parts["optimizer"], expected.optimizer)


def test_the_average_is_saved_with_its_own_statistics(both):
    left, expected = both
    assert_network(left.parts["average"], expected.averages[-1], expected.optimizer.slack)
    assert_network(left.weights, expected.averages[-1], expected.optimizer.slack)
    if keep_every := left.settings["keep_every"]:
        assert_network(left.kept(keep_every), expected.averages[keep_every - 1], expected.optimizer.slack)


def test_sample_grids_are_of_the_average(both):
    left, expected = both
    last = len(expected.logged)
    for step in {min(left.settings["sample_every"], last), last}:
        assert_pictures(left.picture(step), grid(expected.sheet(expected.averages[step - 1]), expected.columns))


def test_gradients_are_long_enough_to_be_clipped(both):
    _, expected = both
    if 0 < expected.settings.max_gradient_norm < 1:
        assert expected.norm > expected.settings.max_gradient_norm
