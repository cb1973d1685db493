"""Train a GAN on 64x64 faces: `python train_dcgan.py RECIPE --data ROOT`.

A generator turns noise into faces; a discriminator learns to tell them from real ones; each is trained against the
other (Goodfellow et al., *Generative Adversarial Networks*, 2014). The recipes are systems of networks and settings.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from data.batches import ImageBatches
from data.faces import load_faces
from models import NETWORKS
from models.adversarial import (
    bce_discriminator_loss,
    bce_generator_loss,
    critic_generator_loss,
    draw_labels,
    flip_labels,
    gradient_penalty,
    hinge_discriminator_loss,
    wasserstein_discriminator_loss,
)
from runtime.errors import UserError, run_command
from runtime.sampling import sample_images
from runtime.seeds import derived_seed, image_latents, random_stream
from training.config import TrainConfig, parse_command_line
from training.ema import EMA, estimate_batch_norm
from training.processes import in_parallel, share_of, synchronise_batch_norm
from training.run import Run


@dataclass
class Config(TrainConfig):
    """Settings of a face GAN."""

    networks: Literal["dcgan", "pixelshuffle", "sagan"] = "dcgan"
    """Which generator and discriminator."""
    latent_size: int = 100
    """Components of the noise vector."""
    width: int = 64
    """Channels of the widest feature maps; 64 is the reported size, all layers scale with it."""
    bias: bool = False
    """Biases in the convolutions (dcgan only)."""
    flip: bool = False
    """Mirror every second training image."""

    loss: Literal["bce", "hinge", "wgan-gp"] = "bce"
    """The adversarial loss."""
    gradient_penalty: float = 10.0
    """Weight of the gradient penalty (wgan-gp only)."""
    real_labels: tuple[float, float] = (1.0, 1.0)
    """Range from which the label of each real image is drawn (bce only)."""
    fake_labels: tuple[float, float] = (0.0, 0.0)
    """Range from which the label of each generated image is drawn (bce only)."""
    clip_labels: bool = True
    """Cut labels off at 1: above it, the loss has no lower bound."""
    label_flips: float = 0.0
    """Probability of exchanging an image's real and fake label (bce only)."""

    d_steps: int = 1
    """Discriminator updates in a step, each on new images."""
    g_steps: int = 1
    """Generator updates in a step."""
    d_optimizer: Literal["adam", "sgd"] = "adam"
    """Optimizer of the discriminator."""
    g_optimizer: Literal["adam", "sgd"] = "adam"
    """Optimizer of the generator."""
    d_lr: float = 2e-4
    """Learning rate of the discriminator."""
    g_lr: float = 2e-4
    """Learning rate of the generator."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's decay rates."""
    momentum: float = 0.5
    """Momentum of SGD."""
    halve_every: int = 0
    """Epochs after which both learning rates are halved, again and again (0: never)."""

    def check(self) -> None:
        """Raise UserError for settings that cannot work."""
        super().check()
        if min(self.d_steps, self.g_steps, self.width, self.latent_size) < 1:
            raise UserError("--d-steps, --g-steps, --width and --latent-size must be at least 1")
        divisor = {"dcgan": 1, "pixelshuffle": 2, "sagan": 8}[self.networks]  # of the smallest layer
        if self.width % divisor:
            raise UserError(f"--width must be a multiple of {divisor} for {self.networks}")
        if min(self.d_lr, self.g_lr) <= 0:
            raise UserError("--d-lr and --g-lr must be above 0")
        if not all(0 <= decay < 1 for decay in (*self.betas, self.momentum)):
            raise UserError("--betas and --momentum must be at least 0 and below 1")
        if self.halve_every < 0 or not 0 <= self.label_flips <= 1:
            raise UserError("--halve-every must be at least 0, --label-flips from 0 to 1")
        labels = (self.real_labels, self.fake_labels, self.label_flips)
        if self.loss != "bce" and labels != ((1.0, 1.0), (0.0, 0.0), 0.0):
            raise UserError(f"--real-labels, --fake-labels and --label-flips are of --loss bce, not of {self.loss}")


DCGAN = Config()
RECIPES = {
    "dcgan": ("DCGAN as its tutorial trains it (139 epochs).", replace(DCGAN, epochs=139)),
    "dcgan-2g": (
        "DCGAN with biases and two generator updates for one of the discriminator.",
        replace(DCGAN, epochs=120, bias=True, betas=(0.9, 0.999), g_steps=2, halve_every=40),
    ),
    "dcgan-long": (
        "DCGAN, slower and longer (600 epochs).",
        replace(DCGAN, epochs=600, batch_size=256, d_lr=1e-4, g_lr=1e-4),
    ),
    "dcgan-short": ("DCGAN in a few epochs.", replace(DCGAN, epochs=10, d_lr=1e-3, g_lr=1e-3)),
    "pixelshuffle": (
        "PixelShuffle generator; spectral norm, SGD and noisy labels for the discriminator.",
        Config(
            networks="pixelshuffle",
            epochs=300,
            batch_size=256,
            real_labels=(0.7, 1.03),
            fake_labels=(0.0, 0.33),
            g_lr=1e-4,
            d_optimizer="sgd",
            d_lr=1e-3,
        ),
    ),
    "sagan": (
        "Self-attention GAN with hinge loss.",
        Config(
            networks="sagan",
            latent_size=128,
            loss="hinge",
            batch_size=64,
            betas=(0.0, 0.9),
            d_lr=4e-4,
            g_lr=1e-4,
        ),
    ),
}


def describe_networks(config: Config) -> tuple[tuple[str, dict], tuple[str, dict]]:
    """Names in NETWORKS and arguments of the generator and the discriminator."""
    size = {"latent_size": config.latent_size, "width": config.width}
    match config.networks:
        case "dcgan":
            discriminator = "dcgan-discriminator", {"width": config.width, "bias": config.bias}
            return ("dcgan-generator", size | {"bias": config.bias}), discriminator
        case "pixelshuffle":
            discriminator = "dcgan-discriminator", {"width": config.width, "spectral_norm": True}
            return ("pixelshuffle-generator", size), discriminator
        case "sagan":
            return ("sagan-generator", size), ("sagan-discriminator", {"width": config.width})


def make_optimizer(network: nn.Module, kind: str, lr: float, config: Config) -> torch.optim.Optimizer:
    """Adam or SGD over all parameters of `network`."""
    if kind == "adam":
        return torch.optim.Adam(network.parameters(), lr, config.betas, fused=True)
    return torch.optim.SGD(network.parameters(), lr, config.momentum)


def main(config: Config) -> None:
    """Train as `config` says and leave the run in its directory."""
    # Where this runs, and this process's share of every batch.
    execution = config.execution()
    share = share_of(config.batch_size)
    stream = partial(random_stream, config.seed)

    # Real faces.
    faces = ImageBatches(load_faces(config.data), config.batch_size, stream, execution.device, config.flip, share)

    # Networks, their optimizers, and the averaged generator that samples are made of.
    torch.manual_seed(derived_seed(config.seed, "weights"))
    (g_name, g_arguments), (d_name, d_arguments) = describe_networks(config)
    generator = synchronise_batch_norm(execution.place(NETWORKS[g_name](**g_arguments)), execution)
    discriminator = synchronise_batch_norm(execution.place(NETWORKS[d_name](**d_arguments)), execution)
    g_optimizer = make_optimizer(generator, config.g_optimizer, config.g_lr, config)
    d_optimizer = make_optimizer(discriminator, config.d_optimizer, config.d_lr, config)
    average = EMA(generator, config.ema_decay)

    # What the steps call: compiled if asked, with gradients averaged over the processes. Judging the generator needs
    # no gradient of the discriminator's own, so that is called without averaging. Second derivatives are not compiled.
    generate = in_parallel(execution.compiled(generator), execution)
    judge = execution.compiled(discriminator)
    discriminate = in_parallel(judge, execution)

    def draw_noise(*number: int) -> Tensor:
        """This process's share (n, latent_size) of the latents of this number."""
        noise = torch.randn(config.batch_size, config.latent_size, generator=stream("noise", *number))
        return noise[share].to(execution.device)

    def discriminator_loss(real: Tensor, fake: Tensor, update: int) -> Tensor:
        """The chosen loss; `real` and `fake` are images (n, 3, 64, 64)."""
        draws = torch.rand(3, config.batch_size, 1, generator=stream("labels", update))[:, share].to(execution.device)
        with execution.autocast():
            real_logits, fake_logits = discriminate(real).float(), discriminate(fake).float()
        if config.loss == "hinge":
            return hinge_discriminator_loss(real_logits, fake_logits)
        if config.loss == "wgan-gp":
            with execution.autocast():
                penalty = gradient_penalty(discriminator, real, fake, draws[0, :, 0])
            return wasserstein_discriminator_loss(real_logits, fake_logits) + config.gradient_penalty * penalty
        real_labels = draw_labels(*config.real_labels, draws[0], config.clip_labels)
        fake_labels = draw_labels(*config.fake_labels, draws[1], config.clip_labels)
        labels = flip_labels(real_labels, fake_labels, draws[2] < config.label_flips)
        return bce_discriminator_loss(real_logits, fake_logits, *labels)

    generator_loss = bce_generator_loss if config.loss == "bce" else critic_generator_loss

    # The run: its directory, and everything that a checkpoint must hold to go on.
    parts = {
        "generator": generator,
        "discriminator": discriminator,
        "average": average,
        "g_optimizer": g_optimizer,
        "d_optimizer": d_optimizer,
    }
    run = Run(config, execution, max(1, faces.per_epoch // config.d_steps), parts)
    sheet_latents = image_latents(config.seed, range(64), config.latent_size)
    statistics_latents = torch.randn(20, 64, config.latent_size, generator=stream("batch norm"))

    for step in run.steps():
        halvings = step // run.steps_per_epoch // config.halve_every if config.halve_every else 0
        for optimizer, lr in ((d_optimizer, config.d_lr), (g_optimizer, config.g_lr)):
            optimizer.param_groups[0]["lr"] = lr * 0.5**halvings

        # Teach the discriminator to tell real from generated; the last generated batch serves the generator too.
        for update in range(step * config.d_steps, (step + 1) * config.d_steps):
            real = faces.batch(update)
            with execution.autocast():
                fake = generate(draw_noise(update))
            d_loss = discriminator_loss(real, fake.detach().float(), update)
            d_optimizer.zero_grad()
            d_loss.backward()
            d_optimizer.step()

        # Teach the generator to have its images taken for real.
        discriminator.requires_grad_(False)
        for update in range(config.g_steps):
            with execution.autocast():
                if update > 0:
                    fake = generate(draw_noise(step, update))
                g_loss = generator_loss(judge(fake).float())
            g_optimizer.zero_grad()
            g_loss.backward()
            g_optimizer.step()
        discriminator.requires_grad_(True)
        average.update(generator, step)

        run.log(d_loss=d_loss, g_loss=g_loss)
        if run.sample_due() or run.checkpoint_due():
            estimate_batch_norm(average.network, statistics_latents, execution)
        if run.sample_due():
            run.save_sheet(sample_images(average.network, sheet_latents, execution))
        if run.checkpoint_due():
            run.save(average.network, g_name, g_arguments)

    run.close()


if __name__ == "__main__":
    run_command(lambda: main(parse_command_line(RECIPES)))
