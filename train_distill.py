"""Distil a diffusion model of digits into a few-step one: `python train_distill.py RECIPE --data ROOT --teacher W`.

The teacher is a network of `train_ddpm.py edm`. The student learns where the teacher's guided sampling path leaves each
phase of noise levels, so that an image takes one evaluation a phase, and guidance costs nothing (Heek, Hoogeboom,
Salimans, *Multistep Consistency Models*, 2024). It begins with the teacher's weights and learns from itself: one step
of the teacher's and the student's own jump from there are the target of its jump from here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn

from data.batches import ImageBatches
from data.digits import DOMAIN, load_classes
from inference.sampling import sample_grid
from models import NETWORKS
from models.consistency import Consistency
from models.edm import EDM
from models.generator import Sampling
from models.residual_unet import ResidualUNet
from models.weights import load_weights
from runtime.errors import UserError, run_command
from runtime.processes import share_of
from runtime.seeds import RandomStream
from runtime.settings import ABOVE_0, AT_LEAST_0, AT_LEAST_1, SHARE
from training.config import SampleGrids, TrainConfig, parse_command_line
from training.ema import EMA
from training.run import TrainingRun


@dataclass
class Config(SampleGrids, TrainConfig):
    """Settings of the distillation of a diffusion model of digits."""

    kind = "digits"

    teacher: Path = Path("runs/edm/weights.safetensors")
    """Weights of a network of train_ddpm.py edm."""
    student: str = ""
    """Weights of an earlier student with the same edges to start from; the teacher's if empty."""
    domain: str = DOMAIN
    """Digits to learn, a folder under ROOT/digits; or the teacher's classes of your own, a folder in ROOT."""

    edges: Annotated[tuple[float, ...], AT_LEAST_0] = Consistency.edges
    """Noise levels between the student's phases, falling from 80 to 0: one sampling step each."""
    substeps: Annotated[int, AT_LEAST_1] = 8
    """Steps that the teacher takes through a phase."""
    guidance: Annotated[float, AT_LEAST_0] = EDM.default_guidance
    """Guidance scale that the student learns."""
    guidance_interval: Annotated[tuple[float, float], AT_LEAST_0] = EDM.default_interval
    """Noise levels sigma between which the teacher is guided."""
    guidance_parallel: Annotated[float, SHARE] = 0.0
    """Share that is kept of the part of guidance parallel to the predicted image."""

    lr: Annotated[float, ABOVE_0] = 3e-4
    """Highest learning rate."""
    max_gradient_norm: Annotated[float, AT_LEAST_0] = 1.0
    """Clip the gradient's norm at this value (0: no clipping)."""

    def check(self) -> None:
        """Raise UserError for settings that cannot work."""
        super().check()
        EDM().check(self.teacher_sampling())
        Consistency(edges=self.edges)

    def teacher_sampling(self) -> Sampling:
        """How the teacher is guided."""
        return Sampling(
            guidance=self.guidance,
            guidance_interval=self.guidance_interval,
            guidance_parallel=self.guidance_parallel,
        )


RECIPES = {
    "consistency": (
        "Multistep consistency distillation, guidance included (9 epochs are 400,000 images).",
        Config(epochs=9, ema_decay=0.9993, lr_schedule="linear", warmup_steps=50),
    ),
}


def load_network(path: Path, process: type[EDM]) -> ResidualUNet:
    """The network of a weights file whose process is exactly `process`; raises UserError for another one."""
    network, _ = load_weights(path, ResidualUNet)
    if type(network.diffusion) is not process:
        needed = "a network of train_ddpm.py edm" if process is EDM else "a student of train_distill.py"
        raise UserError(f"{path} holds a network of another process: give {needed}")
    return network


def main(config: Config) -> None:
    """Train as `config` says and leave the run in its directory."""
    execution = config.execution()
    stream = RandomStream(config.seed, execution.device)

    # The teacher, and a student of the same shape that begins as its copy or as an earlier student.
    teacher = execution.place(load_network(config.teacher, EDM))
    name, arguments = teacher.origin
    arguments = arguments | {"prediction": "consistency", "edges": list(config.edges)}
    network = execution.prepare(NETWORKS[name](**arguments))
    start = load_network(Path(config.student), Consistency) if config.student else teacher
    try:
        network.load_state_dict(start.state_dict())
    except RuntimeError as error:
        raise UserError(f"{config.student} has other layers than the teacher: leave out --student") from error
    optimizer = torch.optim.Adam(network.parameters(), config.lr, fused=True)
    average = EMA(network, config.ema_decay)

    # Real digits, and the noise levels to learn at, each as often as the others.
    images, labels, classes = load_classes(config.data, config.domain, teacher.image_size, teacher.channels)
    if len(classes) != teacher.classes:
        raise UserError(f"{config.teacher} has {teacher.classes} classes, {config.domain} {len(classes)}: give its own")
    digits = ImageBatches(images, config.batch_size, stream, labels=labels)
    levels, edges = (values.float().to(execution.device) for values in network.diffusion.grid(config.substeps))
    places = torch.arange(config.batch_size)[share_of(config.batch_size)].to(execution.device)

    def noisy_batch(step: int) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
        """This process's noisy images (n, C, H, W), labels (n,), and (n,) each: their levels, the next, the edges."""
        noise = stream.draws("noise", step).normal(config.batch_size, *network.latent_shape)
        numbers = 1 + (step * config.batch_size + places) % (len(levels) - 1)
        images, labels = digits.labelled_batch(step)
        sigma, next_sigma, edge = levels[numbers], levels[numbers - 1], edges[numbers]
        noisy = images + sigma[:, None, None, None] * noise
        return noisy, labels, (sigma, next_sigma, edge)

    # The run: its directory, and everything that a checkpoint must hold to go on.
    parts = {"network": network, "average": average, "optimizer": optimizer}
    run = TrainingRun(config, execution, digits.per_epoch, parts, (average.network, name, arguments), classes)

    for step in run.steps():
        lr = optimizer.param_groups[0]["lr"] = run.learning_rate(config.lr)

        # The teacher goes one step along its path, and the student must jump as from there.
        noisy, labels, (sigma, next_sigma, edge) = noisy_batch(step)
        with execution.autocast():
            with torch.no_grad():
                sampling = config.teacher_sampling()
                next_noisy = teacher.diffusion.heun_step(teacher, noisy, sigma, next_sigma, labels, sampling)
            loss = network.diffusion.distillation_loss(network, noisy, labels, sigma, next_noisy, next_sigma, edge)
        optimizer.zero_grad()
        loss.backward()
        if config.max_gradient_norm:
            nn.utils.clip_grad_norm_(network.parameters(), config.max_gradient_norm)
        optimizer.step()
        average.update(network, step)

        run.log(loss=loss, lr=torch.full_like(loss, lr))
        run.finish_step(sample=lambda: {"samples": sample_grid(average.network, config.seed, execution)})

    run.close()


if __name__ == "__main__":
    run_command(lambda: main(parse_command_line(RECIPES)))
