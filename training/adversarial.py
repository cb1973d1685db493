"""What a GAN's script says of its loss and its optimizers, and what judges its images."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor, nn

from data.diff_augment import DRAWS, diff_augment
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
from models.projected import ProjectedFeatures, pretrained_lite0, projected_heads
from runtime.device import Execution
from runtime.errors import UserError
from runtime.images import from_uint8
from runtime.seeds import Draws, RandomStream
from runtime.settings import ABOVE_0, AT_LEAST_0, AT_LEAST_1, DECAY, SHARE, OnlyWith
from training.config import GeneratorConfig

JUDGES_PIXELS = OnlyWith("discriminator", values=("pixels", "both"))
JUDGES_FEATURES = OnlyWith("discriminator", values=("features", "both"))
BCE = OnlyWith("loss", values=("bce",))
ADAM = OnlyWith("d_optimizer", "g_optimizer", values=("adam",))
SGD = OnlyWith("d_optimizer", "g_optimizer", values=("sgd",))


@dataclass
class AdversarialConfig(GeneratorConfig):
    """Settings of adversarial training, and the losses and optimizers that they mean."""

    discriminator: Literal["pixels", "features", "both"] = "pixels"
    """Input of the discriminators: the image, its frozen ImageNet features at three scales, or both."""
    augment: bool = False
    """Differentiable augmentation of colour and position, of real and generated images (DiffAugment)."""

    loss: Literal["bce", "hinge", "wgan-gp", "relativistic"] = "bce"
    """The adversarial loss."""
    gradient_penalty: Annotated[float, AT_LEAST_0, OnlyWith("loss", values=("wgan-gp",))] = 10.0
    """Weight of the gradient penalty."""
    real_labels: Annotated[tuple[float, float], BCE] = (1.0, 1.0)
    """Range from which the label of each real image is drawn."""
    fake_labels: Annotated[tuple[float, float], BCE] = (0.0, 0.0)
    """Range from which the label of each generated image is drawn."""
    clip_labels: Annotated[bool, BCE] = True
    """Clip labels at 1; above it, the loss has no lower bound."""
    label_flips: Annotated[float, SHARE, BCE] = 0.0
    """Probability of exchanging the real and the fake label."""

    r1: Annotated[float, AT_LEAST_0, JUDGES_PIXELS] = 0.0
    """Weight γ of the penalty γ/2 |gradient|² on the discriminator of pixels at real images (0: none)."""
    r2: Annotated[float, AT_LEAST_0, JUDGES_PIXELS] = 0.0
    """The same at generated images."""
    feature_r1: Annotated[float, AT_LEAST_0, JUDGES_FEATURES] = 0.0
    """Weight γ of the penalty on the discriminators of features, at features of real images."""
    feature_r2: Annotated[float, AT_LEAST_0, JUDGES_FEATURES] = 0.0
    """The same at features of generated images."""
    penalty_every: Annotated[int, AT_LEAST_1, OnlyWith("r1", "r2", "feature_r1", "feature_r2", values=ABOVE_0)] = 4
    """Discriminator updates between these penalties, which are multiplied by it (lazy regularisation)."""
    feature_weight: Annotated[float, ABOVE_0, JUDGES_FEATURES] = 1.0
    """Weight of the discriminators of features together; that of pixels weighs 1."""

    d_steps: Annotated[int, AT_LEAST_1] = 1
    """Discriminator updates per step, each on new images."""
    g_steps: Annotated[int, AT_LEAST_1] = 1
    """Generator updates per step."""
    d_optimizer: Literal["adam", "sgd"] = "adam"
    """Optimizer of the discriminator."""
    g_optimizer: Literal["adam", "sgd"] = "adam"
    """Optimizer of the generator."""
    d_lr: Annotated[float, ABOVE_0] = 2e-4
    """Highest learning rate of the discriminator."""
    g_lr: Annotated[float, ABOVE_0] = 2e-4
    """Highest learning rate of the generator."""
    betas: Annotated[tuple[float, float], DECAY, ADAM] = (0.5, 0.999)
    """Adam's decay rates."""
    momentum: Annotated[float, DECAY, SGD] = 0.5
    """Momentum of SGD."""
    weight_decay: Annotated[float, AT_LEAST_0] = 0.0
    """L2 penalty of both optimizers."""

    def check(self) -> None:
        """Raise UserError for settings that cannot work."""
        super().check()
        if self.discriminator != "pixels" and self.loss in ("bce", "wgan-gp"):
            raise UserError(f"--loss {self.loss} judges pixels alone: use relativistic or hinge on features")

    def make_optimizer(self, network: nn.Module, kind: str, lr: float) -> torch.optim.Optimizer:
        """Adam or SGD over all parameters of `network`."""
        if kind == "adam":
            return torch.optim.Adam(network.parameters(), lr, self.betas, weight_decay=self.weight_decay, fused=True)
        return torch.optim.SGD(network.parameters(), lr, self.momentum, weight_decay=self.weight_decay)

    def discriminator_loss(
        self, discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, logits: list[Tensor], draws: Draws
    ) -> Tensor:
        """The loss of a discriminator that sees `real` and `fake` (n, …) and gives them `logits` (n, L) each."""
        match self.loss:
            case "relativistic":
                return relativistic_loss(*logits)
            case "hinge":
                return hinge_discriminator_loss(*logits)
        uniform = draws.uniform(3, self.batch_size, 1, batch_dim=1)
        if self.loss == "wgan-gp":
            penalty = gradient_penalty(discriminator, real, fake, uniform[0, :, 0])
            return wasserstein_discriminator_loss(*logits) + self.gradient_penalty * penalty
        real_labels = draw_labels(*self.real_labels, uniform[0], self.clip_labels)
        fake_labels = draw_labels(*self.fake_labels, uniform[1], self.clip_labels)
        flipped = flip_labels(real_labels, fake_labels, uniform[2] < self.label_flips)
        return bce_discriminator_loss(*logits, *flipped)

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        """The generator's part in the loss, of logits (n, L)."""
        if self.loss == "relativistic":
            return relativistic_loss(fake_logits, real_logits)
        return bce_generator_loss(fake_logits) if self.loss == "bce" else critic_generator_loss(fake_logits)


@dataclass
class Judge:
    """A discriminator, its weight beside the others, and its γ of R1 and R2."""

    network: nn.Module
    weight: float
    gammas: tuple[float, float]

    def penalty(self, logits: list[Tensor], judged: list[Tensor]) -> Tensor | int:
        """γ/2 |gradient|² of its logits (n, L) at real and at generated input (n, …), added up."""
        pairs = zip(self.gammas, logits, judged, strict=True)
        return sum(gamma / 2 * per_logit_penalty(scores, at) for gamma, scores, at in pairs if gamma)


class Judges:
    """The discriminators by name: of pixels, which `of_pixels` builds, of three scales of frozen features, or all.

    `images` are training images uint8 (N, H, W, C), by which features are scaled. Raises UserError for a batch that
    does not divide into the groups over which generated images are compared.
    """

    def __init__(
        self,
        config: AdversarialConfig,
        of_pixels: Callable[[], nn.Module],
        images: np.ndarray,
        execution: Execution,
        stream: RandomStream,
    ):
        self.config, self.execution, self.stream = config, execution, stream
        self.by_name: dict[str, Judge] = {}
        self.features: nn.Module | None = None
        if config.discriminator != "features":
            network = execution.prepare(of_pixels())
            self.by_name["discriminator"] = Judge(network, 1.0, (config.r1, config.r2))
        if config.discriminator != "pixels":
            self.features = execution.place(ProjectedFeatures(pretrained_lite0()))
            with execution.autocast():
                self.features.calibrate(from_uint8(images[:64], execution.device))
            heads, gammas = projected_heads(images.shape[1]), (config.feature_r1, config.feature_r2)
            for name, head in heads.items():
                self.by_name[name] = Judge(execution.prepare(head), config.feature_weight / len(heads), gammas)
        self.networks = nn.ModuleList(judge.network for judge in self.by_name.values())
        self.penalise = any(any(judge.gammas) for judge in self.by_name.values())

    @property
    def parts(self) -> dict[str, nn.Module]:
        """What a checkpoint must hold."""
        networks = {name: judge.network for name, judge in self.by_name.items()}
        return networks | ({"features": self.features} if self.features else {})

    def look(self, images: Tensor, *name: str | int) -> dict[str, Tensor]:
        """What each judge sees of images (n, C, H, W), augmented by the draws of this name."""
        if self.config.augment:
            draws = self.stream.draws("augmentation", *name)
            images = diff_augment(images, draws.uniform(self.config.batch_size, DRAWS))
        seen = [images] if "discriminator" in self.by_name else []
        if self.features:
            with self.execution.autocast():
                seen += self.features(images)
        return dict(zip(self.by_name, seen, strict=True))
