"""Train a GAN on faces, or on any pictures: `python train_dcgan.py RECIPE --data ROOT`.

A generator maps noise vectors to images; a discriminator classifies images as real or generated; each is trained
against the other (Goodfellow et al., *Generative Adversarial Networks*, 2014). The discriminator judges pixels, frozen
features of a classifier, or both, each by a network of its own. The recipes are systems of networks and settings.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
import tyro
from torch import Tensor

from data.batches import ImageBatches
from data.faces import load_faces
from inference.sampling import sample_grid
from models import NETWORKS
from models.minibatch import check_groups
from models.weights import blueprint, not_defaults
from runtime.errors import run_command
from runtime.seeds import RandomStream, derived_seed
from runtime.settings import ABOVE_0, AT_LEAST_0, AT_LEAST_1, OnlyWith
from training.adversarial import AdversarialConfig, Judges
from training.config import parse_command_line, varied
from training.ema import EMA, estimate_batch_norm
from training.run import TrainingRun

OF_DCGAN = OnlyWith("networks", values=("dcgan",))  # what an option acts with


@dataclass
class Config(AdversarialConfig):
    """Settings of a face GAN."""

    kind = "faces"
    RENAMED: ClassVar[dict[str, str]] = AdversarialConfig.RENAMED | {"halve_every": "halve_every_epochs"}

    networks: tyro.conf.Suppress[Literal["dcgan", "pixelshuffle", "sagan", "fastgan"]] = "dcgan"
    """Generator and discriminator of pixels (fastgan: R3GAN's residual discriminator)."""
    latent_size: Annotated[int, AT_LEAST_1] = 100
    """Components of the noise vector."""
    width: Annotated[int, AT_LEAST_1] = 64
    """Base channel count (ngf = ndf); 64 as reported."""
    bias: Annotated[bool, OF_DCGAN] = False
    """Biases in the convolutions."""
    linear_stem: Annotated[bool, OF_DCGAN] = False
    """Make the first 4x4 feature maps by a linear layer instead of a transposed convolution."""
    leaky_generator: Annotated[bool, OF_DCGAN] = False
    """LeakyReLU instead of ReLU in the generator."""
    dcgan_init: Annotated[bool, OF_DCGAN] = True
    """Initial weights of the DCGAN paper instead of PyTorch's."""
    spectral_norm: Annotated[bool, OnlyWith("networks", values=("pixelshuffle",))] = True
    """Spectral norm in the discriminator."""
    flip: bool = False
    """Flip training images horizontally with probability 0.5."""
    ema_share: Annotated[float, AT_LEAST_0, OnlyWith("ema_decay", values=ABOVE_0)] = 0.0
    """Largest half-life of the EMA as a share of the steps done (0: a short warm-up instead)."""

    def check(self) -> None:
        """Raise UserError for settings that cannot work."""
        super().check()
        generator, arguments, *_ = self.network_arguments()
        blueprint(generator, **arguments)

    def network_arguments(self) -> tuple[str, dict[str, Any], str, dict[str, Any]]:
        """Names in NETWORKS and arguments of the generator and of the discriminator of pixels."""
        generator: dict[str, Any] = {"latent_size": self.latent_size, "width": self.width}
        discriminator: dict[str, Any] = {"width": self.width}
        if self.networks == "dcgan":
            both = {"bias": self.bias, "initialise": self.dcgan_init}
            generator |= both | {"linear_stem": self.linear_stem, "leaky": self.leaky_generator}
            discriminator |= both
        if self.networks == "pixelshuffle":
            discriminator |= {"spectral_norm": self.spectral_norm}
        partner = {"pixelshuffle": "dcgan", "fastgan": "r3gan"}.get(self.networks, self.networks)
        names = f"{self.networks}-generator", f"{partner}-discriminator"
        shapes = [not_defaults(name, size=self.size, channels=self.channels) for name in names]
        return names[0], generator | shapes[0], names[1], discriminator | shapes[1]


# What no report states is our choice: docs/faces.md lists it.
DCGAN = Config(ema_decay=0.0, estimate_batch_norm=False)
SLOWER, FASTER = {"batch_size": 256, "d_lr": 1e-4, "g_lr": 1e-4}, {"d_lr": 1e-3, "g_lr": 1e-3}
TWO_UPDATES = replace(DCGAN, epochs=120, g_steps=2, bias=True, betas=(0.9, 0.999), lr_schedule="halved")
TWO_UPDATES = replace(TWO_UPDATES, halve_every_epochs=40)
PIXELSHUFFLE = replace(DCGAN, networks="pixelshuffle", epochs=300, batch_size=256, g_lr=1e-4, d_lr=1e-3)
PIXELSHUFFLE = replace(PIXELSHUFFLE, d_optimizer="sgd", real_labels=(0.7, 1.03), fake_labels=(0.0, 0.33))
SAGAN = replace(DCGAN, networks="sagan", latent_size=128, loss="hinge", batch_size=64)
SAGAN = replace(SAGAN, betas=(0.0, 0.9), d_lr=4e-4, g_lr=1e-4)
AVERAGED = {"ema_decay": 0.999, "estimate_batch_norm": True}
RELATIVISTIC = Config(networks="fastgan", latent_size=128, flip=True, augment=True, loss="relativistic", batch_size=64)
RELATIVISTIC = replace(RELATIVISTIC, betas=(0.0, 0.99), ema_decay=0.998, ema_share=0.05)
R3GAN = replace(RELATIVISTIC, r1=1.0, r2=1.0)
PROJECTED = replace(RELATIVISTIC, discriminator="features", feature_r1=1.0, feature_r2=1.0)
RECIPES = {
    "dcgan": ("Report 000: DCGAN as its tutorial trains it (139 epochs).", replace(DCGAN, epochs=139)),
    "dcgan-ema": ("dcgan with EMA of the generator's weights (26 epochs).", replace(DCGAN, epochs=26, **AVERAGED)),
    "dcgan-2g": ("Report 001: DCGAN with biases, two updates of G for one of D (120 epochs).", TWO_UPDATES),
    "dcgan-long": ("Report 002: DCGAN in batches of 256 at 1e-4 (600 epochs).", replace(DCGAN, epochs=600, **SLOWER)),
    "dcgan-short": ("Report 003: DCGAN at 1e-3 (10 epochs).", replace(DCGAN, epochs=10, sample_epochs=10, **FASTER)),
    "pixelshuffle": ("Report 002: PixelShuffle in G; spectral norm, SGD and noisy labels for D.", PIXELSHUFFLE),
    "sagan": ("Report 004: self-attention GAN with hinge loss (its settings are the SAGAN paper's).", SAGAN),
    "sagan-ema": ("sagan with EMA of the generator's weights (22 epochs).", replace(SAGAN, epochs=22, **AVERAGED)),
    "r3gan": ("Relativistic loss, R1 and R2 on pixels, DiffAugment, no normalisation in D.", R3GAN),
    "projected": ("r3gan's loss on frozen ImageNet features of the image.", PROJECTED),
    "projected-pixel": ("projected, and on pixels.", replace(PROJECTED, discriminator="both", r1=0.1, r2=0.1)),
}
# With a part changed, for the ablation and the reports' claims.
VARIANTS = {
    "dcgan-1g": ("dcgan-2g", {"g_steps": 1}),
    "dcgan-1g-plain": ("dcgan-2g", {"g_steps": 1, "linear_stem": True, "dcgan_init": False}),
    "dcgan-3g": ("dcgan-2g", {"g_steps": 3}),
    "dcgan-2g-leaky": ("dcgan-2g", {"leaky_generator": True}),
    "dcgan-2g-sgd": ("dcgan-2g", {"d_optimizer": "sgd"}),
    "dcgan-2g-flip": ("dcgan-2g", {"flip": True}),
    "pixelshuffle-adam": ("pixelshuffle", {"d_optimizer": "adam", "d_lr": 1e-4, "spectral_norm": False}),
    "r3gan-r1": ("r3gan", {"r2": 0.0}),
    "r3gan-no-penalty": ("r3gan", {"r1": 0.0, "r2": 0.0}),
    "r3gan-bce": ("r3gan", {"loss": "bce"}),
    "r3gan-dcgan": ("r3gan", {"networks": "dcgan"}),
    "r3gan-no-augment": ("r3gan", {"augment": False}),
    "r3gan-fixed-ema": ("r3gan", {"ema_share": 0.0, "ema_decay": 0.999}),
    "r3gan-no-ema": ("r3gan", {"ema_decay": 0.0}),
}
RECIPES |= varied(RECIPES, VARIANTS)


def main(config: Config) -> None:
    """Train as `config` says and leave the run in its directory."""
    execution = config.execution()
    stream = RandomStream(config.seed, execution.device)
    if config.networks == "fastgan" or config.discriminator != "pixels":
        check_groups(config.batch_size)

    # Real faces.
    images = load_faces(config.data, size=config.size, channels=config.channels)
    faces = ImageBatches(images, config.batch_size, stream, config.flip)

    # The generator, and the judges: discriminators of pixels, of three scales of frozen features, or all of them.
    torch.manual_seed(derived_seed(config.seed, "weights"))
    g_name, g_arguments, d_name, d_arguments = config.network_arguments()
    generator = execution.prepare(NETWORKS[g_name](**g_arguments))
    judges = Judges(config, lambda: NETWORKS[d_name](**d_arguments), images, execution, stream)

    # Their optimizers, and the EMA of the generator, which makes the samples.
    g_optimizer = config.make_optimizer(generator, config.g_optimizer, config.g_lr)
    d_optimizer = config.make_optimizer(judges.networks, config.d_optimizer, config.d_lr)
    average = EMA(generator, config.ema_decay, config.ema_share)

    def draw_noise(*number: int) -> Tensor:
        """This process's share (n, latent_size) of the latents of this number."""
        return stream.draws("noise", *number).normal(config.batch_size, config.latent_size)

    def refresh() -> None:
        """Re-estimate batch-norm statistics of the EMA."""
        if config.estimate_batch_norm:
            latents = torch.randn(20, 64, config.latent_size, generator=stream("batch norm"))
            estimate_batch_norm(average.network, latents, execution)

    # The run: its directory, and everything that a checkpoint must hold to go on.
    parts = {"generator": generator, **judges.parts, "average": average}
    parts |= {"g_optimizer": g_optimizer, "d_optimizer": d_optimizer}
    per_epoch = max(1, faces.per_epoch // config.d_steps)
    run = TrainingRun(config, execution, per_epoch, parts, (average.network, g_name, g_arguments))

    for step in run.steps():
        for optimizer, peak in ((d_optimizer, config.d_lr), (g_optimizer, config.g_lr)):
            optimizer.param_groups[0]["lr"] = run.learning_rate(peak)

        # Update the discriminators; their last generated batch serves the generator's first update.
        for update in range(step * config.d_steps, (step + 1) * config.d_steps):
            penalised = judges.penalise and update % config.penalty_every == 0
            with torch.no_grad():
                real_seen = judges.look(faces.batch(update), "real", update)
            with execution.autocast():
                fake = generator(draw_noise(update))
            fake_seen = judges.look(fake.float(), "fake", update)
            penalty = torch.zeros((), device=execution.device)
            real_logits, d_losses = {}, {}
            for name, judge in judges.by_name.items():
                seen = [part[name].detach().requires_grad_(penalised) for part in (real_seen, fake_seen)]
                discriminate = judge.network.forward if penalised else judge.network  # second derivatives: not compiled
                with execution.autocast():
                    logits = [discriminate(part).float() for part in seen]
                    draws = stream.draws("labels", update)
                    d_losses[name] = config.discriminator_loss(judge.network.forward, *seen, logits, draws)
                if penalised:
                    penalty = penalty + config.penalty_every * judge.weight * judge.penalty(logits, seen)
                real_logits[name] = logits[0].detach()
            d_loss = sum(judges.by_name[name].weight * loss for name, loss in d_losses.items())
            d_optimizer.zero_grad()
            (d_loss + penalty).backward()
            d_optimizer.step()

        # Update the generator by the discriminators as they are now.
        judges.networks.requires_grad_(False)
        for update in range(config.g_steps):
            if update > 0:
                with execution.autocast():
                    fake = generator(draw_noise(step, update))
                fake_seen = judges.look(fake.float(), "fake", step, update)
            with execution.autocast():
                g_loss = sum(
                    judge.weight * config.generator_loss(judge.network(fake_seen[name]).float(), real_logits[name])
                    for name, judge in judges.by_name.items()
                )
            g_optimizer.zero_grad()
            g_loss.backward()
            g_optimizer.step()
        judges.networks.requires_grad_(True)
        average.update(generator, step)

        details = {f"{name}_loss": loss for name, loss in d_losses.items()} if len(d_losses) > 1 else {}
        details |= {"penalty": penalty} if judges.penalise else {}
        run.log(d_loss=d_loss, **details, g_loss=g_loss)
        run.finish_step(refresh, lambda: {"samples": sample_grid(average.network, config.seed, execution)})

    run.close()


if __name__ == "__main__":
    run_command(lambda: main(parse_command_line(RECIPES)))
