"""Train a class-conditional diffusion model on 28x28 digits: `python train_ddpm.py RECIPE --data ROOT`.

A U-Net learns to see the noise in noisy digits; digits are then made from pure noise, step by step (Ho et al.,
*Denoising Diffusion Probabilistic Models*, 2020). The label is now and then left out, so that one network predicts with
and without it, as guidance needs. The recipes are systems of networks and settings.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from data.batches import ImageBatches
from data.digits import load_classes
from models import NETWORKS
from models.diffusion import Diffusion, Prediction, Sampling, Schedule, drop_labels
from runtime.errors import UserError, run_command
from runtime.sampling import check_sampling, grid_requests, sample_digits
from runtime.seeds import derived_seed, random_stream
from training.config import TrainConfig, parse_command_line
from training.ema import EMA, estimate_batch_norm
from training.processes import in_parallel, share_of, synchronise_batch_norm
from training.run import Run
from training.schedules import LearningRateSchedule, learning_rate


@dataclass
class Config(TrainConfig):
    """Settings of a diffusion model of digits."""

    network: Literal["context-unet", "attention-unet"] = "context-unet"
    """Which U-Net."""
    width: int = 128
    """Channels at full size; the reported widths are 128 (context-unet) and 64 (attention-unet)."""
    domain: str = "mnistm"
    """Which digits: a folder under ROOT/digits."""

    diffusion_steps: int = 500
    """T, the steps from a clean image to pure noise."""
    noise_schedule: Schedule = "linear"
    """How fast the noise grows."""
    prediction: Prediction = "epsilon"
    """What the network predicts: the noise, or the velocity v."""
    label_dropout: float = 0.1
    """Share of training images whose label the network is not told."""

    optimizer: Literal["adam", "adamw"] = "adam"
    """adamw adds a decay of the weights by 0.01 times the learning rate."""
    lr: float = 1e-4
    """Highest learning rate."""
    lr_schedule: LearningRateSchedule = "constant"
    """Course of the learning rate from the first step to the last."""
    warmup: int = 0
    """Steps over which the learning rate rises to its highest (constant and cosine)."""
    max_gradient_norm: float = 0.0
    """Scale larger gradients down to this norm (0: leave them)."""

    sample_steps: int = 20
    """Steps of DPM-Solver++ for the sample sheets, a divisor of --diffusion-steps."""
    guidance: float = 2.0
    """Guidance scale of the sample sheets."""

    def check(self) -> None:
        """Raise UserError for settings that cannot work."""
        super().check()
        if self.diffusion_steps < 1 or self.lr <= 0:
            raise UserError("--diffusion-steps must be at least 1 and --lr above 0")
        multiple = 8 if self.network == "context-unet" else 4
        if self.width < 1 or self.width % multiple:
            raise UserError(f"--width must be a multiple of {multiple} for {self.network}")
        if not 0 <= self.label_dropout <= 1:
            raise UserError("--label-dropout is a share: from 0 to 1")
        if min(self.warmup, self.max_gradient_norm) < 0:
            raise UserError("--warmup and --max-gradient-norm must not be negative")
        check_sampling(Diffusion(self.diffusion_steps), self.sampling())

    def sampling(self) -> Sampling:
        """How sample sheets are made."""
        return Sampling("dpm++", self.sample_steps, self.guidance)


RECIPES = {
    "context-unet": ("DDPM with a convolutional U-Net (300 epochs).", Config(epochs=300)),
    "attention-unet": (
        "DDPM with a U-Net with self-attention.",
        Config(
            network="attention-unet",
            width=64,
            diffusion_steps=1000,
            optimizer="adamw",
            lr=3e-3,
            lr_schedule="one-cycle",
            ema_decay=0.995,
        ),
    ),
}


def make_optimizer(network: nn.Module, config: Config) -> torch.optim.Optimizer:
    """Adam or AdamW over all parameters of `network`."""
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(network.parameters(), config.lr, fused=True)


def main(config: Config) -> None:
    """Train as `config` says and leave the run in its directory."""
    # Where this runs, and this process's share of every batch.
    execution = config.execution()
    share = share_of(config.batch_size)
    stream = partial(random_stream, config.seed)

    # Real digits.
    images, labels = load_classes(config.data, config.domain)
    digits = ImageBatches(images, config.batch_size, stream, execution.device, part=share, labels=labels)

    # The network, its optimizer, and the averaged network that samples are made by.
    torch.manual_seed(derived_seed(config.seed, "weights"))
    arguments = {
        "width": config.width,
        "steps": config.diffusion_steps,
        "schedule": config.noise_schedule,
        "prediction": config.prediction,
    }
    network = synchronise_batch_norm(execution.place(NETWORKS[config.network](**arguments)), execution)
    diffusion = network.diffusion
    optimizer = make_optimizer(network, config)
    average = EMA(network, config.ema_decay)
    denoise = in_parallel(execution.compiled(network), execution)

    def noisy_batch(purpose: str, number: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """This process's images (n, 3, 28, 28), labels (n,) with some dropped, times (n,) on the CPU, and noise."""
        generator = stream(purpose, number)
        times = torch.randint(1, diffusion.steps + 1, (config.batch_size,), generator=generator)
        uniform = torch.rand(config.batch_size, generator=generator)
        noise = torch.randn(config.batch_size, 3, 28, 28, generator=generator)
        images, labels = digits.labelled_batch(number)
        labels = drop_labels(labels, uniform[share].to(execution.device), config.label_dropout)
        return images, labels, times[share], noise[share].to(execution.device)

    def statistics_batches() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """What the network is given in training, for the averaged network's batch norm."""
        for number in range(20):
            images, labels, times, noise = noisy_batch("batch norm", number)
            yield diffusion.add_noise(images, noise, times), diffusion.fractions(times, images), labels

    # The run: its directory, and everything that a checkpoint must hold to go on.
    run = Run(config, execution, digits.per_epoch, {"network": network, "average": average, "optimizer": optimizer})
    sheet_seeds, sheet_labels = grid_requests(config.seed)

    for step in run.steps():
        lr = learning_rate(config.lr, config.lr_schedule, step, run.total, config.warmup)
        optimizer.param_groups[0]["lr"] = lr

        # Teach the network to see the noise.
        images, labels, times, noise = noisy_batch("noise", step)
        with execution.autocast():
            loss = diffusion.loss(denoise, images, labels, times, noise)
        optimizer.zero_grad()
        loss.backward()
        if config.max_gradient_norm:
            nn.utils.clip_grad_norm_(network.parameters(), config.max_gradient_norm)
        optimizer.step()
        average.update(network, step)

        run.log(loss=loss, lr=torch.full_like(loss, lr))
        if run.sample_due() or run.checkpoint_due():
            estimate_batch_norm(average.network, statistics_batches(), execution)
        if run.sample_due():
            run.save_sheet(sample_digits(average.network, sheet_seeds, sheet_labels, execution, config.sampling()), 10)
        if run.checkpoint_due():
            run.save(average.network, config.network, arguments)

    run.close()


if __name__ == "__main__":
    run_command(lambda: main(parse_command_line(RECIPES)))
