"""Train an ACGAN on digits: `python train_acgan.py RECIPE --data ROOT`.

A generator turns noise and a label into a digit; a discriminator learns to tell it from real ones and to read it; each
is trained on its own half of the game, and both on reading: the one learns it, the other must be legible (Odena et al.,
*Conditional Image Synthesis with Auxiliary Classifier GANs*, 2017). The recipes are systems of networks and settings.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import torch
import tyro
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from data.batches import ImageBatches
from data.digits import load_classes
from inference.sampling import sample_grid
from models import NETWORKS
from models.acgan import doubt_loss, joint_logits
from models.adversarial import bce_discriminator_loss, bce_generator_loss, r1_penalty
from runtime.errors import run_command
from runtime.seeds import RandomStream, derived_seed
from runtime.settings import ABOVE_0, AT_LEAST_0, AT_LEAST_1, DECAY, OnlyWith, Range
from training.config import GeneratorConfig, parse_command_line
from training.ema import EMA, estimate_batch_norm
from training.run import Run


@dataclass
class Config(GeneratorConfig):
    """Settings of an ACGAN of digits."""

    kind = "digits"

    networks: tyro.conf.Suppress[Literal["acgan28", "acgan64"]] = "acgan28"
    """Which generator and discriminator; acgan64 sees digits enlarged to 64x64, and its samples are brought back."""
    latent_size: Annotated[int, AT_LEAST_1] = 100
    """Components of the noise vector."""
    width: Annotated[int, AT_LEAST_1] = 28
    """Channels of the widest feature maps, in the reports 28 (acgan28) and 64 (acgan64)."""
    scalar_label: bool = False
    """Give the generator the label as one number instead of a one-hot vector."""
    domain: str = "mnistm"
    """Which digits: a folder under ROOT/digits."""

    class_weight: Annotated[float, AT_LEAST_0] = 1.0
    """Weight of reading the digit beside telling real from generated."""
    class_activation: Literal["none", "softmax", "sigmoid"] = "none"
    """What the discriminator's class output passes before the cross-entropy, which takes it for logits all the same."""
    fake_class_weight: Annotated[float, AT_LEAST_0] = 0.0
    """Weight with which the discriminator also learns to read generated digits as they were meant (the paper: 1).
    Above 0 the two can agree on a script of their own, which nobody else reads."""
    real_label: Annotated[float, Range(0, 1, open_low=True)] = 1.0
    """The discriminator's target for real images; below 1 it grows less sure (one-sided smoothing)."""
    doubt: Annotated[float, AT_LEAST_0] = 0.0
    """Weight with which the discriminator learns to be unsure which digit a generated image shows: what it still reads
    there it reads as in real images. 0: as in the paper."""
    doubt_from: Annotated[int, AT_LEAST_0, OnlyWith("doubt", values=ABOVE_0)] = 0
    """Step from which on: a generator that cannot be read yet would learn nothing of its classes."""
    r1: Annotated[float, AT_LEAST_0] = 0.0
    """Weight γ of the penalty on the discriminator's gradient at real images, which keeps the game from circling (0:
    none, as in the paper)."""
    r1_every: Annotated[int, AT_LEAST_1, OnlyWith("r1", values=ABOVE_0)] = 16
    """Steps between penalties, each then this many times as heavy."""

    g_steps: Annotated[int, AT_LEAST_1] = 1
    """Generator updates in a step."""
    d_lr: Annotated[float, ABOVE_0] = 2e-4
    """Highest learning rate of the discriminator."""
    g_lr: Annotated[float, ABOVE_0] = 2e-4
    """Highest learning rate of the generator."""
    betas: Annotated[tuple[float, float], DECAY] = (0.5, 0.999)
    """Adam's decay rates."""


# What no report states is our choice: docs/digits.md lists it.
ACGAN28 = Config(epochs=139, ema_decay=0.0, estimate_batch_norm=False)
ACGAN64 = replace(ACGAN28, networks="acgan64", width=64, epochs=10, d_lr=1e-4, g_lr=1e-4)
IMPROVED = {"lr_schedule": "cosine", "r1": 0.3, "ema_decay": 0.999, "estimate_batch_norm": True}
LEGIBLE_64 = {"class_weight": 4.0, "real_label": 0.9, "doubt": 0.6, "doubt_from": 477}
RECIPES = {
    "acgan28": ("Report 000: ACGAN at the digits' own size, with DCGAN's settings (139 epochs).", ACGAN28),
    "acgan28-r1": (
        "acgan28 with R1, doubt about generated digits and an average (10 epochs).",
        replace(ACGAN28, epochs=10, doubt=0.3, **IMPROVED),
    ),
    "acgan64": ("Report 001: DCGAN made conditional, at 64x64 (10 epochs).", ACGAN64),
    "acgan64-r1": (
        "acgan64 with R1, doubt, smooth labels, four times the class loss and an average (3 epochs).",
        replace(ACGAN64, epochs=3, batch_size=64, d_lr=2e-4, g_lr=4e-4, **IMPROVED, **LEGIBLE_64),
    ),
}
ACTIVATIONS = {"none": nn.Identity(), "softmax": nn.Softmax(dim=1), "sigmoid": nn.Sigmoid()}


def make_optimizer(network: nn.Module, lr: float, config: Config) -> torch.optim.Optimizer:
    """Adam over all parameters of `network`."""
    return torch.optim.Adam(network.parameters(), lr, config.betas, fused=True)


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """The share of logits (N, 10) that are highest at their label (N,)."""
    return (logits.argmax(1) == labels).float().mean()


def main(config: Config) -> None:
    """Train as `config` says and leave the run in its directory."""
    execution = config.execution()
    stream = RandomStream(config.seed, execution.device)

    # Real digits.
    images, labels = load_classes(config.data, config.domain)
    digits = ImageBatches(images, config.batch_size, stream, labels=labels)

    # Networks, their optimizers, and the averaged generator that samples are made of.
    torch.manual_seed(derived_seed(config.seed, "weights"))
    g_name, d_name = f"{config.networks}-generator", f"{config.networks}-discriminator"
    g_arguments = {"latent_size": config.latent_size, "width": config.width, "scalar_label": config.scalar_label}
    generator = execution.prepare(NETWORKS[g_name](**g_arguments))
    discriminator = execution.prepare(NETWORKS[d_name](width=config.width))
    g_optimizer = make_optimizer(generator, config.g_lr, config)
    d_optimizer = make_optimizer(discriminator, config.d_lr, config)
    average = EMA(generator, config.ema_decay)

    def real_batch(number: int) -> tuple[Tensor, Tensor]:
        """This process's real images, at the networks' size and in [-1, 1], and their labels (n,)."""
        images, labels = digits.labelled_batch(number)
        return (interpolate(images, 64, mode="bilinear") if config.networks == "acgan64" else images), labels

    def draw_inputs(purpose: str, *number: int) -> tuple[Tensor, Tensor]:
        """This process's latents (n, latent_size) and labels (n,) for the generator."""
        draws = stream.draws(purpose, *number)
        return draws.normal(config.batch_size, config.latent_size), draws.integers(0, 10, config.batch_size)

    def class_loss(classes: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the class output (n, 10) with labels (n,)."""
        return cross_entropy(ACTIVATIONS[config.class_activation](classes), labels)

    def refresh() -> None:
        """Estimate the averaged generator's batch norm."""
        if config.estimate_batch_norm:
            estimate_batch_norm(average.network, (draw_inputs("batch norm", number) for number in range(20)), execution)

    def sample() -> dict[str, np.ndarray]:
        """A sample grid: a row a digit, the same noise down a column."""
        return {"samples": sample_grid(average.network, config.seed, execution)}

    # The run: its directory, and everything that a checkpoint must hold to go on.
    parts = {
        "generator": generator,
        "discriminator": discriminator,
        "average": average,
        "g_optimizer": g_optimizer,
        "d_optimizer": d_optimizer,
    }
    run = Run(config, execution, digits.per_epoch, parts, (average.network, g_name, g_arguments))

    for step in run.steps():
        for optimizer, peak in ((d_optimizer, config.d_lr), (g_optimizer, config.g_lr)):
            optimizer.param_groups[0]["lr"] = run.learning_rate(peak)

        # Teach the discriminator to tell real from generated, and to read both.
        real, real_labels = real_batch(step)
        latents, fake_labels = draw_inputs("noise", step)
        with execution.autocast():
            fake = generator(latents, fake_labels)
            real_source, real_classes = (logits.float() for logits in discriminator(real))
            fake_source, fake_classes = (logits.float() for logits in discriminator(fake.detach()))
        ones = torch.ones_like(real_source)
        source_loss = bce_discriminator_loss(real_source, fake_source, config.real_label * ones, 0 * ones)
        reading_loss = class_loss(real_classes, real_labels)
        if config.fake_class_weight:
            reading_loss = reading_loss + config.fake_class_weight * class_loss(fake_classes, fake_labels)
        d_loss = source_loss + config.class_weight * reading_loss
        if config.doubt and step >= config.doubt_from:
            d_loss = d_loss + config.doubt * doubt_loss(fake_classes)
        if config.r1 and step % config.r1_every == 0:  # rarely, for it takes a second derivative
            real = real.detach().requires_grad_()
            penalty = r1_penalty(joint_logits(*discriminator.forward(real), real_labels), real)
            d_loss = d_loss + config.r1_every * config.r1 / 2 * penalty
        d_optimizer.zero_grad()
        d_loss.backward()
        d_optimizer.step()

        # Teach the generator to have its images taken for real, and read as they were meant.
        discriminator.requires_grad_(False)
        for update in range(config.g_steps):
            if update > 0:
                latents, fake_labels = draw_inputs("noise", step, update)
                with execution.autocast():
                    fake = generator(latents, fake_labels)
            with execution.autocast():
                source, classes = (logits.float() for logits in discriminator(fake))
            g_loss = bce_generator_loss(source) + config.class_weight * class_loss(classes, fake_labels)
            g_optimizer.zero_grad()
            g_loss.backward()
            g_optimizer.step()
        discriminator.requires_grad_(True)
        average.update(generator, step)

        run.log(
            d_loss=d_loss,
            g_loss=g_loss,
            real_accuracy=accuracy(real_classes, real_labels),
            fake_accuracy=accuracy(classes, fake_labels),
        )
        run.finish_step(refresh, sample)

    run.close()


if __name__ == "__main__":
    run_command(lambda: main(parse_command_line(RECIPES)))
