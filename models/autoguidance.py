"""Autoguidance: a diffusion network guided by a worse version of itself.

Where the two differ the worse one makes the larger error of the same kind, so going on from it through the better one
leads towards what both aim at, without labels and without losing variety (Karras et al., *Guiding a Diffusion Model
with a Bad Version of Itself*, NeurIPS 2024, section 4).
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from models.edm import EDM
from models.residual_unet import ResidualUNet
from models.samplers import DiffusionModel, Process
from runtime.errors import UserError


class AutoGuided(DiffusionModel):
    """Two residual U-Nets of one process: guide + scale·(network - guide), their predictions being linear in images.

    `network` and `guide` are the arguments of each; 1 is the network alone. Raises UserError for two that were not
    trained on the same images.
    """

    def __init__(self, network: dict[str, Any], guide: dict[str, Any], scale: float = 2.0):
        super().__init__()
        self.network, self.guide, self.scale = ResidualUNet(**network), ResidualUNet(**guide), scale
        if _task(self.network) != _task(self.guide):
            raise UserError("the guide was trained on other images or another process: train it as the network")
        self.classes, self.image_size = self.network.classes, self.network.image_size
        self.channels = self.network.channels
        self.diffusion = self.network.diffusion

    def forward(self, images: Tensor, times: Tensor, labels: Tensor | None = None) -> Tensor:
        """The guided prediction for noisy images (N, channels, size, size), times (N,) and labels (N,)."""
        return torch.lerp(self.guide(images, times, labels), self.network(images, times, labels), self.scale)


def _task(network: ResidualUNet) -> tuple[int, int, int, Process]:
    """What a network predicts, and of what; where its sampling ends does not matter."""
    process = network.diffusion
    process = replace(process, sigma_min=0) if isinstance(process, EDM) else process
    return network.classes, network.image_size, network.channels, process
