"""The first steps of `train_distill.py`, beside an account of them in plain torch."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import train_distill
from data.digits import write_labels
from models import NETWORKS
from models.weights import save_weights
from tests.steps.generation_accounts import (
    ALWAYS,
    Adam,
    Left,
    assert_log,
    assert_network,
    assert_optimizer,
    assert_pictures,
    batch_indices,
    contrast_part,
    follow,
    grid,
    in_unit_range,
    scheduled,
    stream,
    write_pictures,
)
from training.config import parse_command_line

PICTURES, BATCH, STEPS = 21, 6, 3
LABELS = np.array([index * 7 % 10 for index in range(PICTURES)])
SIGMA_DATA = 0.6
OPTIONS = (
    *("consistency", "--edges", 80, 4, 0, "--substeps", 2),
    *("--guidance", 3, "--guidance-interval", 0.5, 9, "--guidance-parallel", 0.25),
    *("--batch-size", BATCH, "--max-steps", STEPS, "--lr", 2e-3, "--warmup-steps", 1, "--max-gradient-norm", 0),
    *("--log-every", 1, "--ema-decay", 0.15),
)
# The noise levels of two phases in two steps each, evenly spaced in sigma^(1/7), and the edge that each jumps to.
MIDDLE = [((low ** (1 / 7) + high ** (1 / 7)) / 2) ** 7 for low, high in ((0.002, 4), (4, 80))]
GRID = [0.002, MIDDLE[0], 4, MIDDLE[1], 80]
EDGES = [None, 0, 0, 4, 4]


def images_like(values):
    return torch.tensor(values)[:, None, None, None]


def denoised(network, noisy, sigma, labels):
    """EDM's denoiser, at each image's noise level (N,)."""
    total, level = (sigma**2 + SIGMA_DATA**2)[:, None, None, None], sigma[:, None, None, None]
    output = network(noisy / total.sqrt(), sigma.log() / 4, labels)
    return SIGMA_DATA**2 / total * noisy + level * SIGMA_DATA / total.sqrt() * output


class Account:
    """The run again: its draws, the teacher's steps, the student's jumps and updates."""

    def __init__(self, settings, pictures, teacher):
        self.settings, self.images, self.teacher = settings, in_unit_range(pictures), teacher
        self.network = copy.deepcopy(teacher).requires_grad_(True)
        self.optimizer = Adam(self.network, (0.9, 0.999))
        self.logged = []

    def slope(self, noisy, sigma, labels):
        """The teacher's direction, guided by 3 from 0.5 to 9, by a quarter of that along the clean image's contrast."""
        clean = denoised(self.teacher, noisy, sigma, labels)
        without = denoised(self.teacher, noisy, sigma, torch.full_like(labels, -1))
        inside = ((sigma >= 0.5) & (sigma <= 9))[:, None, None, None]
        guidance = 2 * (clean - without)
        guidance = guidance - 0.75 * contrast_part(guidance, clean)
        clean = torch.where(inside, clean + guidance, clean)
        return (noisy - clean) / sigma[:, None, None, None]

    def loss(self, step):
        indices = batch_indices(step, PICTURES, BATCH)
        images, labels = self.images[indices], torch.from_numpy(LABELS)[indices]
        noise = torch.randn(BATCH, 3, 28, 28, generator=stream("noise", step))
        places = [1 + (step * BATCH + index) % 4 for index in range(BATCH)]
        sigma, lower = torch.tensor([GRID[place] for place in places]), torch.tensor([GRID[p - 1] for p in places])
        edge = images_like([float(EDGES[place]) for place in places])
        noisy = images + sigma[:, None, None, None] * noise
        with torch.no_grad():
            width = (lower - sigma)[:, None, None, None]
            first = self.slope(noisy, sigma, labels)
            reached = noisy + width * (first + self.slope(noisy + width * first, lower, labels)) / 2
            clean = denoised(self.network, reached, lower, labels)
            goal = clean + edge / lower[:, None, None, None] * (reached - clean)
        # Where the student's jump ends, beside the goal, in units of its network's output.
        clean = denoised(self.network, noisy, sigma, labels)
        level = sigma[:, None, None, None]
        jump = clean + edge / level * (noisy - clean)
        unit = (1 - edge / level) * level * SIGMA_DATA / (level**2 + SIGMA_DATA**2).sqrt()
        return (((jump - goal) / unit) ** 2).mean()

    def train(self):
        self.average = copy.deepcopy(self.network)
        for step in range(STEPS):
            loss = self.loss(step)
            lr = scheduled(self.settings.lr, "linear", step, STEPS, 1)
            self.logged.append({"loss": loss.detach(), "lr": lr})
            self.optimizer.step(loss, lr)
            follow(self.average, self.network, step, self.settings.ema_decay)
        return self

    @torch.no_grad()
    def sheet(self):
        """Ten rows of digits 0 to 9, ten columns of noise, in one evaluation a phase."""
        noise = torch.stack([torch.randn(3, 28, 28, generator=stream("image", index)) for index in range(10)])
        x, labels = noise.repeat(10, 1, 1, 1) * 80, torch.arange(10).repeat_interleave(10)
        clean = denoised(self.average, x, torch.full((100,), 80.0), labels)
        return denoised(self.average, clean + 4 / 80 * (x - clean), torch.full((100,), 4.0), labels)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What a run left, and the account of it."""
    data = tmp_path_factory.mktemp("tree")
    folder = data / "digits" / "mnistm"
    pictures = write_pictures(folder / "data", PICTURES, 28)
    write_labels(folder / "train.csv", [f"{index:05d}.png" for index in range(PICTURES)], LABELS)
    arguments = {"width": 8, "prediction": "edm", "sigma_data": SIGMA_DATA}
    torch.manual_seed(0)
    teacher = NETWORKS["residual-unet"](**arguments).requires_grad_(False)
    for value in teacher.parameters():
        torch.nn.init.normal_(value, 0, 0.15)
    save_weights(data / "teacher.safetensors", teacher, "residual-unet", arguments, {})
    words = (*OPTIONS, "--data", data, "--runs", tmp_path_factory.mktemp("runs"), *ALWAYS)
    words = (*words, "--teacher", data / "teacher.safetensors")
    config = parse_command_line(train_distill.RECIPES, [str(word) for word in words])
    train_distill.main(config)
    left = Left(config.folder)
    return left, Account(SimpleNamespace(**left.settings), pictures, teacher).train()


def test_losses_and_learning_rates(both):
    left, expected = both
    assert_log(left.lines, expected.logged, 1, PICTURES // BATCH)


def test_network_average_and_optimizer(both):
    left, expected = both
    assert_network(left.parts["network"], expected.network, expected.optimizer.slack)
    assert_network(left.parts["average"], expected.average, expected.optimizer.slack)
    assert_network(left.weights, expected.average, expected.optimizer.slack)
    assert_optimizer(left.parts["optimizer"], expected.optimizer)


def test_the_sample_grid_takes_one_evaluation_a_phase(both):
    left, expected = both
    assert_pictures(left.picture(STEPS), grid(expected.sheet(), 10))
