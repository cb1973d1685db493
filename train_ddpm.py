"""Train a class-conditional diffusion model on 28x28 digits: `python train_ddpm.py RECIPE --data ROOT`.

A U-Net learns to see the noise in noisy digits; digits are then made from pure noise, step by step (Ho et al.,
*Denoising Diffusion Probabilistic Models*, 2020), over discrete times in the reports' recipes and over continuous noise
levels in `edm` (Karras et al., *Elucidating the Design Space of Diffusion-Based Generative Models*, 2022). The label is
now and then left out, so that one network predicts with and without it, as guidance needs.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from torch import Tensor, nn

from data.batches import ImageBatches
from data.digits import load_classes
from data.faces import load_faces
from inference.sampling import check_sampling, grid_requests, sample_digits, sample_faces
from models import NETWORKS
from models.diffusion import Diffusion, Schedule
from models.edm import EDM
from models.guidance import drop_labels
from models.samplers import Process, Sampling
from runtime.errors import UserError, run_command
from runtime.images import sheet
from runtime.seeds import RandomStream, derived_seed
from runtime.settings import ABOVE_0, AT_LEAST_0, AT_LEAST_1, DECAY, SHARE, OnlyWith
from training.config import GeneratorConfig, parse_command_line
from training.ema import EMA, estimate_batch_norm
from training.run import Run

DISCRETE = OnlyWith("prediction", values=("epsilon", "v"))  # times, where EDM has noise levels


@dataclass
class Config(GeneratorConfig):
    """Settings of a diffusion model of digits."""

    network: tyro.conf.Suppress[Literal["context-unet", "attention-unet", "residual-unet"]] = "context-unet"
    """Which U-Net."""
    width: Annotated[int, AT_LEAST_1] = 128
    """Base channel count, in the reports 128 (context-unet) and 64 (attention-unet)."""
    images: tyro.conf.Suppress[Literal["digits", "faces"]] = "digits"
    """What is drawn: digits of given classes, or faces, which have none."""
    fold: Annotated[int, OnlyWith("network", values=("residual-unet",))] = 2
    """Side of the squares of pixels that residual-unet folds into channels."""
    domain: str = "mnistm"
    """Which digits: a folder under ROOT/digits."""

    diffusion_steps: Annotated[int, AT_LEAST_1, DISCRETE] = 500
    """T, the steps from a clean image to pure noise."""
    noise_schedule: Annotated[Schedule, DISCRETE] = "linear"
    """How fast the noise grows."""
    prediction: Literal["epsilon", "v", "edm"] = "epsilon"
    """What the network predicts: the noise, the velocity v, or the image as EDM's preconditioning has it, over
    continuous noise levels (residual-unet only)."""
    label_dropout: Annotated[float, SHARE] = 0.1
    """Probability of dropping the label, for classifier-free guidance."""

    optimizer: Literal["adam", "adamw"] = "adam"
    """adamw adds a decay of the weights by 0.01 times the learning rate."""
    lr: Annotated[float, ABOVE_0] = 1e-4
    """Highest learning rate."""
    betas: Annotated[tuple[float, float], DECAY] = (0.9, 0.999)
    """Decay of Adam's running means of the gradients and of their squares."""
    max_gradient_norm: Annotated[float, AT_LEAST_0] = 0.0
    """Scale larger gradients down to this norm (0: leave them)."""

    sample_steps: Annotated[int, AT_LEAST_1] = 20
    """Steps of DPM-Solver++ for the sample sheets; with discrete times, a divisor of --diffusion-steps."""
    guidance: Annotated[float, AT_LEAST_0] = 2.0
    """Guidance scale of the sample sheets."""

    def check(self) -> None:
        """Raise UserError for settings that cannot work."""
        super().check()
        multiple = {"context-unet": 8, "attention-unet": 4, "residual-unet": 2}[self.network]
        if self.width % multiple:
            raise UserError(f"--width must be a multiple of {multiple} for {self.network}")
        if self.fold not in (1, 2, 4) or (self.fold == 4 and self.images == "digits"):
            raise UserError("--fold must be 1 or 2: 28 pixels are to be halved once more")
        if self.prediction == "edm" and self.network != "residual-unet":
            raise UserError(f"--prediction edm needs --network residual-unet: {self.network} is built for whole steps")
        process: Process = EDM() if self.prediction == "edm" else Diffusion(self.diffusion_steps)
        check_sampling(process, self.sampling())

    def sampling(self) -> Sampling:
        """How sample sheets are made."""
        return Sampling("dpm++", self.sample_steps, self.guidance)

    def network_arguments(self, images: np.ndarray) -> dict[str, Any]:
        """What the network is built with, for training digits uint8 (N, 28, 28, 3)."""
        arguments: dict[str, Any] = {"width": self.width, "prediction": self.prediction}
        if self.network == "residual-unet":
            arguments["fold"] = self.fold
            if self.images == "faces":
                arguments |= {"classes": 0, "size": images.shape[1]}
        if self.prediction == "edm":
            return arguments | {"sigma_data": pixel_deviation(images)}
        return arguments | {"steps": self.diffusion_steps, "schedule": self.noise_schedule}


# What no report states is our choice: docs/digits.md lists it.
ATTENTION_UNET = Config(
    network="attention-unet",
    width=64,
    diffusion_steps=1000,
    optimizer="adamw",
    lr=3e-3,
    lr_schedule="one-cycle",
    ema_decay=0.995,
)
RECIPES = {
    "context-unet": (
        "Report 002: DDPM with a convolutional U-Net (300 epochs).",
        Config(epochs=300, ema_decay=0.0, estimate_batch_norm=False),
    ),
    "context-unet-64": (
        "Half as wide, T = 600, a higher learning rate that decays, and an average (14 epochs).",
        Config(width=64, diffusion_steps=600, epochs=14, lr=5e-4, lr_schedule="cosine", warmup_steps=300),
    ),
    "attention-unet": ("Report 004: DDPM with a U-Net with self-attention.", ATTENTION_UNET),
    "attention-unet-24": (
        "Three eighths as wide, T = 600, smaller batches and clipped gradients (9 epochs).",
        replace(
            ATTENTION_UNET,
            width=24,
            diffusion_steps=600,
            epochs=9,
            batch_size=64,
            lr=2e-3,
            max_gradient_norm=1.0,
            ema_decay=0.998,
        ),
    ),
    "edm": (
        "EDM with an efficient residual U-Net on folded images (36 epochs are 1.6 million images).",
        Config(
            network="residual-unet",
            width=96,
            prediction="edm",
            epochs=36,
            lr=6e-4,
            betas=(0.9, 0.99),
            lr_schedule="linear",
            warmup_steps=156,  # 20,000 images
            max_gradient_norm=1.0,
            ema_decay=0.9999,  # never reached: the average's half-life stays at 8 % of the images seen
            sample_steps=16,
            guidance=1.5,
        ),
    ),
    "edm-faces": (
        "EDM of faces folded to 16x16 (240 epochs are 3 million images).",
        Config(
            images="faces",
            network="residual-unet",
            width=128,
            fold=4,
            prediction="edm",
            label_dropout=1.0,
            epochs=240,
            batch_size=64,
            lr=4e-4,
            betas=(0.9, 0.99),
            lr_schedule="linear",
            warmup_steps=312,
            max_gradient_norm=1.0,
            ema_decay=0.9999,
            sample_steps=18,
            guidance=1.0,
        ),
    ),
}


def make_optimizer(network: nn.Module, config: Config) -> torch.optim.Optimizer:
    """Adam or AdamW over all parameters of `network`."""
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(network.parameters(), config.lr, config.betas, fused=True)


def pixel_deviation(images: np.ndarray) -> float:
    """Standard deviation of all values of uint8 images, as they are in [-1, 1]: EDM's sigma_data."""
    counts, values = np.bincount(images.ravel(), minlength=256), np.arange(256) / 127.5 - 1
    mean = np.average(values, weights=counts)
    return float(np.sqrt(np.average((values - mean) ** 2, weights=counts)))


def main(config: Config) -> None:
    """Train as `config` says and leave the run in its directory."""
    execution = config.execution()
    stream = RandomStream(config.seed, execution.device)

    # Real digits.
    if config.images == "faces":
        images = load_faces(config.data)
        labels = np.zeros(len(images), np.int64)
    else:
        images, labels = load_classes(config.data, config.domain)
    digits = ImageBatches(images, config.batch_size, stream, flip=config.images == "faces", labels=labels)

    # The network, its optimizer, and the averaged network that samples are made by.
    torch.manual_seed(derived_seed(config.seed, "weights"))
    arguments = config.network_arguments(images)
    network = execution.prepare(NETWORKS[config.network](**arguments))
    diffusion = network.diffusion
    optimizer = make_optimizer(network, config)
    average = EMA(network, config.ema_decay)

    def noisy_batch(purpose: str, number: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """This process's images (n, 3, 28, 28), labels (n,) with some dropped, times (n,) and noise."""
        draws = stream.draws(purpose, number)
        times = draws.share(diffusion.random_times(config.batch_size, draws.generator))
        uniform = draws.uniform(config.batch_size)
        noise = draws.normal(config.batch_size, 3, *size)
        images, labels = digits.labelled_batch(number)
        return images, drop_labels(labels, uniform, config.label_dropout), times, noise

    size = images.shape[1:3]
    grid_seeds, grid_labels = grid_requests(config.seed)

    def refresh() -> None:
        """Estimate the averaged network's batch norm, on what the network is given in training."""
        if not config.estimate_batch_norm:
            return
        batches = (noisy_batch("batch norm", number) for number in range(20))
        inputs = ((*diffusion.inputs(images, noise, times), labels) for images, labels, times, noise in batches)
        estimate_batch_norm(average.network, inputs, execution)

    def sample() -> dict[str, np.ndarray]:
        """A sample grid: a row a digit, the same noise down a column."""
        if config.images == "faces":
            return {
                "samples": sheet(sample_faces(average.network, config.seed, 32, execution, sampling=config.sampling()))
            }
        pictures = sample_digits(average.network, grid_seeds, grid_labels, execution, config.sampling())
        return {"samples": sheet(pictures, columns=10)}

    # The run: its directory, and everything that a checkpoint must hold to go on.
    parts = {"network": network, "average": average, "optimizer": optimizer}
    run = Run(config, execution, digits.per_epoch, parts, (average.network, config.network, arguments))

    for step in run.steps():
        lr = optimizer.param_groups[0]["lr"] = run.learning_rate(config.lr)

        # Teach the network to see the noise.
        images, labels, times, noise = noisy_batch("noise", step)
        with execution.autocast():
            loss = diffusion.loss(network, images, labels, times, noise)
        optimizer.zero_grad()
        loss.backward()
        if config.max_gradient_norm:
            nn.utils.clip_grad_norm_(network.parameters(), config.max_gradient_norm)
        optimizer.step()
        average.update(network, step)

        run.log(loss=loss, lr=torch.full_like(loss, lr))
        run.finish_step(refresh, sample)

    run.close()


if __name__ == "__main__":
    run_command(lambda: main(parse_command_line(RECIPES)))
