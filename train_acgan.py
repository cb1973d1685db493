"""Train an ACGAN on digits: `python train_acgan.py RECIPE --data ROOT`.

The generator maps a noise vector and a label to an image; the discriminator predicts real or generated, and the class.
Both minimise the class loss (Odena et al., *Conditional Image Synthesis with Auxiliary Classifier GANs*, 2017). The
recipes are systems of networks and settings.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
import tyro
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from data.batches import ImageBatches
from data.digits import DOMAIN, load_classes
from inference.sampling import sample_grid
from models import NETWORKS
from models.acgan import joint_logits, uniform_label_loss
from models.adversarial import bce_discriminator_loss, bce_generator_loss, r1_penalty
from models.weights import not_defaults
from runtime.errors import UserError, run_command
from runtime.seeds import RandomStream, derived_seed
from runtime.settings import ABOVE_0, AT_LEAST_0, AT_LEAST_1, DECAY, OneOf, OnlyWith, Range
from training.config import GeneratorConfig, parse_command_line, varied
from training.ema import EMA, estimate_batch_norm
from training.run import TrainingRun


@dataclass
class Config(GeneratorConfig):
    """Settings of an ACGAN of digits."""

    kind = "digits"
    RENAMED = GeneratorConfig.RENAMED | {"doubt": "uniform_weight", "doubt_from": "uniform_from"}

    networks: tyro.conf.Suppress[Literal["acgan28", "acgan64"]] = "acgan28"
    """Generator and discriminator; acgan64 is trained on digits resized to 64x64, its samples are resized to --size."""
    latent_size: Annotated[int, AT_LEAST_1] = 100
    """Components of the noise vector."""
    width: Annotated[int, AT_LEAST_1] = 28
    """Base channel count (ngf = ndf); 28 (acgan28) and 64 (acgan64) as reported."""
    scalar_label: bool = False
    """Give the generator the label as one number instead of a one-hot vector."""
    domain: str = DOMAIN
    """Digits to learn, a folder under ROOT/digits; or classes of your own, a folder in ROOT (docs/data.md)."""
    size: Annotated[int, OneOf(numbers=(28, 32, 64))] = 28
    """Height and width of the images, 28, 32 or, of acgan64, 64; other pictures are cut to their centred square and
    resized."""

    class_weight: Annotated[float, AT_LEAST_0] = 1.0
    """Weight of the class loss; that of real or generated weighs 1."""
    class_activation: Literal["none", "softmax", "sigmoid"] = "none"
    """Applied to the discriminator's class output before the cross-entropy, which takes the result for logits."""
    fake_class_weight: Annotated[float, AT_LEAST_0] = 0.0
    """Weight of the discriminator's class loss on generated digits (the paper: 1). Above 0, the two networks can agree
    on digits that no other classifier recognises."""
    real_label: Annotated[float, Range(0, 1, open_low=True)] = 1.0
    """The discriminator's target for real images; below 1: one-sided label smoothing."""
    uniform_weight: Annotated[float, AT_LEAST_0] = 0.0
    """Weight of the uniform-label loss: the discriminator's class output of generated digits is trained towards the
    uniform distribution (the paper: 0)."""
    uniform_from: Annotated[int, AT_LEAST_0, OnlyWith("uniform_weight", values=ABOVE_0)] = 0
    """First step of the uniform-label loss; applied earlier, it prevents class learning."""
    r1: Annotated[float, AT_LEAST_0] = 0.0
    """Weight γ of the penalty γ/2 |gradient|² on the discriminator at real images (0: none, as in the paper)."""
    r1_every: Annotated[int, AT_LEAST_1, OnlyWith("r1", values=ABOVE_0)] = 16
    """Steps between these penalties, which are multiplied by it (lazy regularisation)."""

    g_steps: Annotated[int, AT_LEAST_1] = 1
    """Generator updates in a step."""
    d_lr: Annotated[float, ABOVE_0] = 2e-4
    """Highest learning rate of the discriminator."""
    g_lr: Annotated[float, ABOVE_0] = 2e-4
    """Highest learning rate of the generator."""
    betas: Annotated[tuple[float, float], DECAY] = (0.5, 0.999)
    """Adam's decay rates."""

    def check(self) -> None:
        """Raise UserError for settings that cannot work."""
        super().check()
        if self.size == 64 and self.networks == "acgan28":
            raise UserError("--size 64 is for acgan64: acgan28 makes 28 or 32 pixels")


# What no report states is our choice: docs/digits.md lists it.
ACGAN28 = Config(epochs=139, ema_decay=0.0, estimate_batch_norm=False)
ACGAN64 = replace(ACGAN28, networks="acgan64", width=64, epochs=10, d_lr=1e-4, g_lr=1e-4)
IMPROVED = {"lr_schedule": "cosine", "r1": 0.3, "ema_decay": 0.999, "estimate_batch_norm": True}
UNIFORM_64 = {"class_weight": 4.0, "real_label": 0.9, "uniform_weight": 0.6, "uniform_from": 477}
RECIPES = {
    "acgan28": ("Report 000: ACGAN at the digits' own size, with DCGAN's settings (139 epochs).", ACGAN28),
    "acgan28-r1": (
        "acgan28 with R1, the uniform-label loss and EMA (10 epochs).",
        replace(ACGAN28, epochs=10, uniform_weight=0.3, **IMPROVED),
    ),
    "acgan64": ("Report 001: DCGAN made conditional, at 64x64 (10 epochs).", ACGAN64),
    "acgan64-r1": (
        "acgan64 with R1, uniform-label loss, label smoothing, four times the class loss and EMA (3 epochs).",
        replace(ACGAN64, epochs=3, batch_size=64, d_lr=2e-4, g_lr=4e-4, **IMPROVED, **UNIFORM_64),
    ),
}
VARIANTS = {"acgan28-scalar": ("acgan28", {"scalar_label": True})}  # for a claim of report 001
RECIPES |= varied(RECIPES, VARIANTS)
ACTIVATIONS = {"none": nn.Identity(), "softmax": nn.Softmax(dim=1), "sigmoid": nn.Sigmoid()}


def make_optimizer(network: nn.Module, lr: float, config: Config) -> torch.optim.Optimizer:
    """Adam over all parameters of `network`."""
    return torch.optim.Adam(network.parameters(), lr, config.betas, fused=True)


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """The share of logits (N, K) that are highest at their label (N,)."""
    return (logits.argmax(1) == labels).float().mean()


def main(config: Config) -> None:
    """Train as `config` says and leave the run in its directory."""
    execution = config.execution()
    stream = RandomStream(config.seed, execution.device)

    # Real digits.
    images, labels, names = load_classes(config.data, config.domain, config.size, config.channels)
    digits = ImageBatches(images, config.batch_size, stream, labels=labels)

    # Networks, their optimizers, and the EMA of the generator, which makes the samples.
    torch.manual_seed(derived_seed(config.seed, "weights"))
    g_name, d_name = f"{config.networks}-generator", f"{config.networks}-discriminator"
    g_arguments = {"latent_size": config.latent_size, "width": config.width, "scalar_label": config.scalar_label}
    shared = {"classes": len(names), "channels": config.channels}
    g_arguments |= not_defaults(g_name, size=config.size, **shared)
    generator = execution.prepare(NETWORKS[g_name](**g_arguments))
    discriminator = execution.prepare(NETWORKS[d_name](width=config.width, **shared))
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
        return draws.normal(config.batch_size, config.latent_size), draws.integers(0, len(names), config.batch_size)

    def class_loss(classes: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the class output (n, K) with labels (n,)."""
        return cross_entropy(ACTIVATIONS[config.class_activation](classes), labels)

    def refresh() -> None:
        """Re-estimate batch-norm statistics of the EMA."""
        if config.estimate_batch_norm:
            estimate_batch_norm(average.network, (draw_inputs("batch norm", number) for number in range(20)), execution)

    # The run: its directory, and everything that a checkpoint must hold to go on.
    parts = {
        "generator": generator,
        "discriminator": discriminator,
        "average": average,
        "g_optimizer": g_optimizer,
        "d_optimizer": d_optimizer,
    }
    run = TrainingRun(config, execution, digits.per_epoch, parts, (average.network, g_name, g_arguments), names)

    for step in run.steps():
        for optimizer, peak in ((d_optimizer, config.d_lr), (g_optimizer, config.g_lr)):
            optimizer.param_groups[0]["lr"] = run.learning_rate(peak)

        # Update the discriminator: real or generated, and the class.
        real, real_labels = real_batch(step)
        latents, fake_labels = draw_inputs("noise", step)
        with execution.autocast():
            fake = generator(latents, fake_labels)
            real_source, real_classes = (logits.float() for logits in discriminator(real))
            fake_source, fake_classes = (logits.float() for logits in discriminator(fake.detach()))
        ones = torch.ones_like(real_source)
        source_loss = bce_discriminator_loss(real_source, fake_source, config.real_label * ones, 0 * ones)
        classes_loss = class_loss(real_classes, real_labels)
        if config.fake_class_weight:
            classes_loss = classes_loss + config.fake_class_weight * class_loss(fake_classes, fake_labels)
        d_loss = source_loss + config.class_weight * classes_loss
        if config.uniform_weight and step >= config.uniform_from:
            d_loss = d_loss + config.uniform_weight * uniform_label_loss(fake_classes)
        if config.r1 and step % config.r1_every == 0:  # seldom, as it takes a second derivative
            real = real.detach().requires_grad_()
            penalty = r1_penalty(joint_logits(*discriminator.forward(real), real_labels), real)
            d_loss = d_loss + config.r1_every * config.r1 / 2 * penalty
        d_optimizer.zero_grad()
        d_loss.backward()
        d_optimizer.step()

        # Update the generator: its images are to be taken for real and for their class.
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
        run.finish_step(refresh, lambda: {"samples": sample_grid(average.network, config.seed, execution)})

    run.close()


if __name__ == "__main__":
    run_command(lambda: main(parse_command_line(RECIPES)))
