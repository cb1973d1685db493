"""Train a GAN on 64x64 faces: `python train_dcgan.py RECIPE --data ROOT`.

A generator turns noise into faces; a discriminator learns to tell them from real ones; each is trained against the
other (Goodfellow et al., *Generative Adversarial Networks*, 2014). The recipes are systems of networks and settings.
The discriminator judges pixels, frozen features of a classifier, or both, each a network of its own.
"""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
import tyro
from torch import Tensor, nn

from data.batches import ImageBatches
from data.diff_augment import DRAWS, diff_augment
from data.faces import load_faces
from inference.sampling import sample_grid
from models import NETWORKS
from models.adversarial import (
    bce_discriminator_loss,
    bce_generator_loss,
    critic_generator_loss,
    draw_labels,
    flip_labels,
    gradient_penalty,
    hinge_discriminator_loss,
    per_logit_penalty,
    relativistic_loss,
    wasserstein_discriminator_loss,
)
from models.minibatch import GROUP
from models.projected import ProjectedFeatures, pretrained_lite0, projected_heads
from runtime.errors import UserError, run_command
from runtime.images import from_uint8
from runtime.processes import share_of
from runtime.seeds import RandomStream, derived_seed
from runtime.settings import ABOVE_0, AT_LEAST_0, AT_LEAST_1, DECAY, SHARE, OnlyWith
from training.config import GeneratorConfig, parse_command_line
from training.ema import EMA, estimate_batch_norm
from training.run import Run

# What an option acts with.
OF_DCGAN = OnlyWith("networks", values=("dcgan",))
JUDGES_PIXELS = OnlyWith("discriminator", values=("pixels", "both"))
JUDGES_FEATURES = OnlyWith("discriminator", values=("features", "both"))
BCE = OnlyWith("loss", values=("bce",))
ADAM = OnlyWith("d_optimizer", "g_optimizer", values=("adam",))
SGD = OnlyWith("d_optimizer", "g_optimizer", values=("sgd",))


@dataclass
class Config(GeneratorConfig):
    """Settings of a face GAN."""

    RENAMED: ClassVar[dict[str, str]] = GeneratorConfig.RENAMED | {"halve_every": "halve_every_epochs"}

    networks: tyro.conf.Suppress[Literal["dcgan", "pixelshuffle", "sagan", "fastgan"]] = "dcgan"
    """Which generator and discriminator of pixels (fastgan: R3GAN's residual discriminator)."""
    discriminator: Literal["pixels", "features", "both"] = "pixels"
    """What is judged: the image, frozen ImageNet features of it at three scales, or both."""
    latent_size: Annotated[int, AT_LEAST_1] = 100
    """Components of the noise vector."""
    width: Annotated[int, AT_LEAST_1] = 64
    """Channels of the widest feature maps, 64 in the reports; all layers scale with it."""
    bias: Annotated[bool, OF_DCGAN] = False
    """Biases in the convolutions."""
    linear_stem: Annotated[bool, OF_DCGAN] = False
    """Make the first 4x4 feature maps by a linear layer instead of a transposed convolution."""
    leaky_generator: Annotated[bool, OF_DCGAN] = False
    """LeakyReLU in the generator as in the discriminator."""
    dcgan_init: Annotated[bool, OF_DCGAN] = True
    """Draw initial weights as the DCGAN paper does, instead of by PyTorch's defaults."""
    spectral_norm: Annotated[bool, OnlyWith("networks", values=("pixelshuffle",))] = True
    """Spectral norm in the discriminator."""
    flip: bool = False
    """Mirror each training image with probability 1/2."""
    augment: bool = False
    """Change colours and position of all that is judged, real or generated (DiffAugment)."""

    loss: Literal["bce", "hinge", "wgan-gp", "relativistic"] = "bce"
    """The adversarial loss."""
    r1: Annotated[float, AT_LEAST_0, JUDGES_PIXELS] = 0.0
    """Weight γ of the penalty γ/2 |gradient|² on the discriminator of pixels at real images (0: none)."""
    r2: Annotated[float, AT_LEAST_0, JUDGES_PIXELS] = 0.0
    """The same at generated images."""
    feature_r1: Annotated[float, AT_LEAST_0, JUDGES_FEATURES] = 0.0
    """Weight γ of the penalty on the discriminators of features, at features of real images."""
    feature_r2: Annotated[float, AT_LEAST_0, JUDGES_FEATURES] = 0.0
    """The same at features of generated images."""
    penalty_every: Annotated[int, AT_LEAST_1, OnlyWith("r1", "r2", "feature_r1", "feature_r2", values=ABOVE_0)] = 4
    """Updates between these penalties, which are multiplied by it (lazy regularisation)."""
    feature_weight: Annotated[float, ABOVE_0, JUDGES_FEATURES] = 1.0
    """Weight of the discriminators of features, together, where that of pixels weighs 1."""
    gradient_penalty: Annotated[float, AT_LEAST_0, OnlyWith("loss", values=("wgan-gp",))] = 10.0
    """Weight of the gradient penalty."""
    real_labels: Annotated[tuple[float, float], BCE] = (1.0, 1.0)
    """Range from which the label of each real image is drawn."""
    fake_labels: Annotated[tuple[float, float], BCE] = (0.0, 0.0)
    """Range from which the label of each generated image is drawn."""
    clip_labels: Annotated[bool, BCE] = True
    """Cut labels off at 1: above it, the loss has no lower bound."""
    label_flips: Annotated[float, SHARE, BCE] = 0.0
    """Probability of exchanging an image's real and fake label."""

    d_steps: Annotated[int, AT_LEAST_1] = 1
    """Discriminator updates in a step, each on new images."""
    g_steps: Annotated[int, AT_LEAST_1] = 1
    """Generator updates in a step."""
    d_optimizer: Literal["adam", "sgd"] = "adam"
    """Optimizer of the discriminator."""
    g_optimizer: Literal["adam", "sgd"] = "adam"
    """Optimizer of the generator."""
    d_lr: Annotated[float, ABOVE_0] = 2e-4
    """Learning rate of the discriminator."""
    g_lr: Annotated[float, ABOVE_0] = 2e-4
    """Learning rate of the generator."""
    betas: Annotated[tuple[float, float], DECAY, ADAM] = (0.5, 0.999)
    """Adam's decay rates."""
    momentum: Annotated[float, DECAY, SGD] = 0.5
    """Momentum of SGD."""
    weight_decay: Annotated[float, AT_LEAST_0] = 0.0
    """L2 penalty of both optimizers."""
    ema_share: Annotated[float, AT_LEAST_0, OnlyWith("ema_decay", values=ABOVE_0)] = 0.0
    """Largest half-life of the EMA as a share of the steps done (0: a short warm-up instead)."""

    def check(self) -> None:
        """Raise UserError for settings that cannot work."""
        super().check()
        divisor = {"dcgan": 1, "pixelshuffle": 2, "sagan": 8, "fastgan": 2}[self.networks]  # of the smallest layer
        if self.width % divisor:
            raise UserError(f"--width must be a multiple of {divisor} for {self.networks}")
        if self.discriminator != "pixels" and self.loss in ("bce", "wgan-gp"):
            raise UserError(f"--loss {self.loss} judges pixels alone: use relativistic or hinge on features")


# What no report states is our choice: docs/faces.md lists it.
DCGAN = Config(ema_decay=0.0, estimate_batch_norm=False)
SAGAN = replace(
    DCGAN, networks="sagan", latent_size=128, loss="hinge", batch_size=64, betas=(0.0, 0.9), d_lr=4e-4, g_lr=1e-4
)
AVERAGED = {"ema_decay": 0.999, "estimate_batch_norm": True}
RELATIVISTIC = Config(
    networks="fastgan",
    latent_size=128,
    flip=True,
    augment=True,
    loss="relativistic",
    batch_size=64,
    betas=(0.0, 0.99),
    ema_decay=0.998,
    ema_share=0.05,
)
RECIPES = {
    "dcgan": ("Report 000: DCGAN as its tutorial trains it (139 epochs).", replace(DCGAN, epochs=139)),
    "dcgan-ema": ("dcgan with averaged generator weights (26 epochs).", replace(DCGAN, epochs=26, **AVERAGED)),
    "dcgan-2g": (
        "Report 001: DCGAN with biases and two generator updates for one of the discriminator (120 epochs).",
        replace(
            DCGAN, epochs=120, bias=True, betas=(0.9, 0.999), g_steps=2, lr_schedule="halved", halve_every_epochs=40
        ),
    ),
    "dcgan-long": (
        "Report 002: DCGAN, slower and longer (600 epochs).",
        replace(DCGAN, epochs=600, batch_size=256, d_lr=1e-4, g_lr=1e-4),
    ),
    "dcgan-short": ("Report 003: DCGAN in 10 epochs.", replace(DCGAN, epochs=10, d_lr=1e-3, g_lr=1e-3)),
    "pixelshuffle": (
        "Report 002: PixelShuffle generator; spectral norm, SGD and noisy labels for the discriminator (300 epochs).",
        replace(
            DCGAN,
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
    "sagan": ("Report 004: self-attention GAN with hinge loss (its settings are the SAGAN paper's).", SAGAN),
    "sagan-ema": ("sagan with averaged generator weights (22 epochs).", replace(SAGAN, epochs=22, **AVERAGED)),
    "r3gan": (
        "Relativistic loss with R1 and R2 on pixels, augmentation, residual discriminator without norm.",
        replace(RELATIVISTIC, r1=1.0, r2=1.0),
    ),
    "projected": (
        "The same on frozen ImageNet features of the image.",
        replace(RELATIVISTIC, discriminator="features", feature_r1=1.0, feature_r2=1.0),
    ),
    "projected-pixel": (
        "The same on both: features for the whole, pixels for the details.",
        replace(RELATIVISTIC, discriminator="both", r1=0.1, r2=0.1, feature_r1=1.0, feature_r2=1.0),
    ),
}


def describe_networks(config: Config) -> tuple[tuple[str, dict], tuple[str, dict]]:
    """Names in NETWORKS and arguments of the generator and the discriminator."""
    size = {"latent_size": config.latent_size, "width": config.width}
    match config.networks:
        case "dcgan":
            both = {"width": config.width, "bias": config.bias, "initialise": config.dcgan_init}
            generator = {"linear_stem": config.linear_stem, "leaky": config.leaky_generator}
            return ("dcgan-generator", size | both | generator), ("dcgan-discriminator", both)
        case "pixelshuffle":
            discriminator = "dcgan-discriminator", {"width": config.width, "spectral_norm": config.spectral_norm}
            return ("pixelshuffle-generator", size), discriminator
        case "sagan":
            return ("sagan-generator", size), ("sagan-discriminator", {"width": config.width})
        case "fastgan":
            return ("fastgan-generator", size), ("r3gan-discriminator", {"width": config.width})


def make_optimizer(network: nn.Module, kind: str, lr: float, config: Config) -> torch.optim.Optimizer:
    """Adam or SGD over all parameters of `network`."""
    if kind == "adam":
        return torch.optim.Adam(network.parameters(), lr, config.betas, weight_decay=config.weight_decay, fused=True)
    return torch.optim.SGD(network.parameters(), lr, config.momentum, weight_decay=config.weight_decay)


@dataclass
class Judge:
    """A discriminator, its weight beside the others, and its γ of R1 and R2."""

    network: nn.Module
    weight: float
    gammas: tuple[float, float]


def main(config: Config) -> None:
    """Train as `config` says and leave the run in its directory."""
    execution = config.execution()
    stream = RandomStream(config.seed, execution.device)
    count = len(range(config.batch_size)[share_of(config.batch_size)])
    if (config.networks == "fastgan" or config.discriminator != "pixels") and (count < 2 or count % min(GROUP, count)):
        raise UserError(
            f"--batch-size: {count} images a process do not divide into groups of {GROUP} for the deviation"
        )

    # Real faces.
    images = load_faces(config.data)
    faces = ImageBatches(images, config.batch_size, stream, config.flip)

    # The generator, and the discriminators by name: of pixels, of three scales of frozen features, or all of them.
    torch.manual_seed(derived_seed(config.seed, "weights"))
    (g_name, g_arguments), (d_name, d_arguments) = describe_networks(config)
    generator = execution.prepare(NETWORKS[g_name](**g_arguments))
    judges: dict[str, Judge] = {}
    if config.discriminator != "features":
        network = execution.prepare(NETWORKS[d_name](**d_arguments))
        judges["discriminator"] = Judge(network, 1.0, (config.r1, config.r2))
    if config.discriminator != "pixels":
        features = execution.place(ProjectedFeatures(pretrained_lite0()))
        with execution.autocast():
            features.calibrate(from_uint8(images[:64], execution.device))
        heads, gammas = projected_heads(), (config.feature_r1, config.feature_r2)
        for name, head in heads.items():
            judges[name] = Judge(execution.prepare(head), config.feature_weight / len(heads), gammas)
    discriminators = nn.ModuleList(judge.network for judge in judges.values())
    penalises = any(any(judge.gammas) for judge in judges.values())

    # Their optimizers, and the averaged generator that samples are made of.
    g_optimizer = make_optimizer(generator, config.g_optimizer, config.g_lr, config)
    d_optimizer = make_optimizer(discriminators, config.d_optimizer, config.d_lr, config)
    average = EMA(generator, config.ema_decay, config.ema_share)

    def draw_noise(*number: int) -> Tensor:
        """This process's share (n, latent_size) of the latents of this number."""
        return stream.draws("noise", *number).normal(config.batch_size, config.latent_size)

    def look(images: Tensor, *name: str | int) -> dict[str, Tensor]:
        """What each discriminator sees of images (n, 3, 64, 64), augmented by the draws of this name."""
        if config.augment:
            images = diff_augment(images, stream.draws("augmentation", *name).uniform(config.batch_size, DRAWS))
        seen = {"discriminator": images}
        if config.discriminator != "pixels":
            with execution.autocast():
                seen |= zip(heads, features(images), strict=True)
        return {name: seen[name] for name in judges}

    def discriminator_loss(name: str, real: Tensor, fake: Tensor, logits: tuple[Tensor, Tensor], update: int) -> Tensor:
        """The chosen loss of a discriminator that sees `real` and `fake` and gives them `logits` (n, L)."""
        if config.loss == "relativistic":
            return relativistic_loss(*logits)
        if config.loss == "hinge":
            return hinge_discriminator_loss(*logits)
        draws = stream.draws("labels", update).uniform(3, config.batch_size, 1, batch_dim=1)
        if config.loss == "wgan-gp":
            with execution.autocast():
                penalty = gradient_penalty(judges[name].network.forward, real, fake, draws[0, :, 0])
            return wasserstein_discriminator_loss(*logits) + config.gradient_penalty * penalty
        real_labels = draw_labels(*config.real_labels, draws[0], config.clip_labels)
        fake_labels = draw_labels(*config.fake_labels, draws[1], config.clip_labels)
        return bce_discriminator_loss(*logits, *flip_labels(real_labels, fake_labels, draws[2] < config.label_flips))

    def generator_loss(fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        """The generator's part in the chosen loss."""
        if config.loss == "relativistic":
            return relativistic_loss(fake_logits, real_logits)
        return bce_generator_loss(fake_logits) if config.loss == "bce" else critic_generator_loss(fake_logits)

    def refresh() -> None:
        """Estimate the averaged generator's batch norm."""
        if not config.estimate_batch_norm:
            return
        latents = torch.randn(20, 64, config.latent_size, generator=stream("batch norm"))
        estimate_batch_norm(average.network, latents, execution)

    def sample() -> dict[str, np.ndarray]:
        """A sample grid from fixed noise vectors."""
        return {"samples": sample_grid(average.network, config.seed, execution)}

    # The run: its directory, and everything that a checkpoint must hold to go on.
    parts = {"generator": generator, **{name: judge.network for name, judge in judges.items()}, "average": average}
    parts |= {"g_optimizer": g_optimizer, "d_optimizer": d_optimizer}
    if config.discriminator != "pixels":
        parts["features"] = features
    per_epoch = max(1, faces.per_epoch // config.d_steps)
    run = Run(config, execution, per_epoch, parts, (average.network, g_name, g_arguments))

    for step in run.steps():
        for optimizer, peak in ((d_optimizer, config.d_lr), (g_optimizer, config.g_lr)):
            optimizer.param_groups[0]["lr"] = run.learning_rate(peak)

        # Teach the discriminators to tell real from generated; the last generated batch serves the generator too.
        for update in range(step * config.d_steps, (step + 1) * config.d_steps):
            penalised = penalises and update % config.penalty_every == 0
            with torch.no_grad():
                real_seen = look(faces.batch(update), "real", update)
            with execution.autocast():
                fake = generator(draw_noise(update))
            fake_seen = look(fake.float(), "fake", update)
            penalty = torch.zeros((), device=execution.device)
            real_logits, d_losses = {}, {}
            for name, judge in judges.items():
                real = real_seen[name].requires_grad_(penalised)
                fake = fake_seen[name].detach().requires_grad_(penalised)
                discriminate = judge.network.forward if penalised else judge.network  # second derivatives: not compiled
                with execution.autocast():
                    logits = discriminate(real).float(), discriminate(fake).float()
                d_losses[name] = discriminator_loss(name, real, fake, logits, update)
                if penalised:
                    pairs = zip(judge.gammas, logits, (real, fake), strict=True)
                    terms = [gamma / 2 * per_logit_penalty(scores, at) for gamma, scores, at in pairs if gamma]
                    penalty = penalty + config.penalty_every * judge.weight * sum(terms)
                real_logits[name] = logits[0].detach()
            d_loss = sum(judges[name].weight * loss for name, loss in d_losses.items())
            d_optimizer.zero_grad()
            (d_loss + penalty).backward()
            d_optimizer.step()

        # Teach the generator to have its images taken for real, by the discriminators as they are now.
        discriminators.requires_grad_(False)
        for update in range(config.g_steps):
            if update > 0:
                with execution.autocast():
                    fake = generator(draw_noise(step, update))
                fake_seen = look(fake.float(), "fake", step, update)
            with execution.autocast():
                g_loss = sum(
                    judge.weight * generator_loss(judge.network(fake_seen[name]).float(), real_logits[name])
                    for name, judge in judges.items()
                )
            g_optimizer.zero_grad()
            g_loss.backward()
            g_optimizer.step()
        discriminators.requires_grad_(True)
        average.update(generator, step)

        details = {f"{name}_loss": loss for name, loss in d_losses.items()} if len(d_losses) > 1 else {}
        details |= {"penalty": penalty} if penalises else {}
        run.log(d_loss=d_loss, **details, g_loss=g_loss)
        run.finish_step(refresh, sample)

    run.close()


if __name__ == "__main__":
    run_command(lambda: main(parse_command_line(RECIPES)))
