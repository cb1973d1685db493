"""Train a diffusion model on digits or faces: `python train_ddpm.py RECIPE --data ROOT`.

A U-Net learns to predict the noise in images; sampling starts from pure noise and removes it step by step (Ho et al.,
*Denoising Diffusion Probabilistic Models*, 2020) over discrete times, or in `edm` over continuous noise levels (Karras
et al., *Elucidating the Design Space of Diffusion-Based Generative Models*, 2022). Labels are dropped for guidance.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from torch import Tensor, nn

from data.batches import ImageBatches
from data.digits import DOMAIN, load_classes
from data.faces import load_faces
from inference.sampling import sample_grid
from models import NETWORKS
from models.diffusion import Schedule
from models.edm import EDM, pixel_deviation
from models.generator import Sampling
from models.guidance import drop_labels
from models.weights import blueprint, load_into, not_defaults
from runtime.ahead import Ahead
from runtime.errors import UserError, run_command
from runtime.seeds import RandomStream, derived_seed
from runtime.settings import ABOVE_0, AT_LEAST_0, AT_LEAST_1, DECAY, SHARE, OneOf, OnlyWith, Range
from training.config import GeneratorConfig, parse_command_line, varied
from training.ema import EMA, estimate_batch_norm
from training.run import TrainingRun

OF_DIGITS = OnlyWith("images", values=("digits",))  # what an option acts with
DISCRETE = OnlyWith("prediction", values=("epsilon", "v"))  # times, where EDM has noise levels


@dataclass
class Config(GeneratorConfig):
    """Settings of a diffusion model."""

    images: tyro.conf.Suppress[Literal["digits", "faces"]] = "digits"
    """Class-conditional digits, or unconditional faces, flipped horizontally with probability 0.5."""
    network: tyro.conf.Suppress[Literal["context-unet", "attention-unet", "residual-unet"]] = "context-unet"
    """The U-Net."""
    width: Annotated[int, AT_LEAST_1] = 128
    """Base channel count; 128 (context-unet) and 64 (attention-unet) as reported."""
    fold: Annotated[int, AT_LEAST_1, OnlyWith("network", values=("residual-unet",))] = 2
    """Side of the squares of pixels that residual-unet folds into channels (space to depth)."""
    direct: Annotated[bool, OnlyWith("network", values=("residual-unet",))] = False
    """Add the input of residual-unet, times a learned function of the noise level, to its output."""
    domain: Annotated[str, OF_DIGITS] = DOMAIN
    """Digits to learn, a folder under ROOT/digits; or classes of your own, a folder in ROOT (docs/data.md)."""
    size: Annotated[int, OneOf(numbers=(0, 28, 32, 64, 128))] = 0
    """Height and width of the images, 28, 32, 64 or 128 (0: 28 for digits, 64 for faces); other pictures are cut to
    their centred square and resized."""

    diffusion_steps: Annotated[int, AT_LEAST_1, DISCRETE] = 500
    """T, the number of diffusion steps."""
    noise_schedule: Annotated[Schedule, DISCRETE] = "linear"
    """The noise schedule: betas from 1e-4 to 0.02, or the cosine schedule."""
    prediction: Literal["epsilon", "v", "edm"] = "epsilon"
    """What the network predicts: the noise, the velocity v, or the image as EDM's preconditioning has it, over
    continuous noise levels (residual-unet only)."""
    sigma_min: Annotated[float, Range(0, 1, open_low=True), OnlyWith("prediction", values=("edm",))] = 0.02
    """Last noise level of EDM's sampling: noise below it that the network cannot yet remove does not stay in images."""
    label_dropout: Annotated[float, SHARE, OF_DIGITS] = 0.1
    """Probability of dropping the label, for classifier-free guidance."""
    estimate_batch_norm: Annotated[bool, OnlyWith("network", values=("context-unet",))] = True
    """Re-estimate the batch-norm statistics of the EMA before use, instead of taking the training network's."""

    start: str = ""
    """Weights of an earlier network with the same layers to train on; random ones if empty."""
    optimizer: Literal["adam", "adamw"] = "adam"
    """adamw: with weight decay 0.01."""
    lr: Annotated[float, ABOVE_0] = 1e-4
    """Highest learning rate."""
    betas: Annotated[tuple[float, float], DECAY] = (0.9, 0.999)
    """Adam's decay rates."""
    max_gradient_norm: Annotated[float, AT_LEAST_0] = 0.0
    """Clip the gradient's norm at this value (0: no clipping)."""

    sample_steps: Annotated[int, AT_LEAST_1] = 20
    """Steps of DPM-Solver++ for the sample grids; with discrete times, a divisor of --diffusion-steps."""
    guidance: Annotated[float, AT_LEAST_0, OF_DIGITS] = 2.0
    """Guidance scale of the sample grids."""

    @property
    def kind(self) -> str:
        """A generator of faces or of digits."""
        return self.images

    def check(self) -> None:
        """Raise UserError for settings that cannot work."""
        super().check()
        if self.prediction == "edm" and self.network != "residual-unet":
            raise UserError(f"--prediction edm needs --network residual-unet: {self.network} is built for whole steps")
        blueprint(self.network, **self.network_arguments()).check(self.sampling())

    @property
    def image_size(self) -> int:
        """Height and width of the images."""
        return self.size or {"digits": 28, "faces": 64}[self.images]

    def sampling(self) -> Sampling:
        """The settings of sample grids."""
        return Sampling("dpm++", self.sample_steps, self.guidance if self.images == "digits" else None)

    def network_arguments(self, classes: int = 10) -> dict[str, Any]:
        """What the network of so many classes is built with, but for what EDM knows of the images."""
        shape = not_defaults(self.network, classes=classes, size=self.image_size, channels=self.channels)
        arguments = {"width": self.width, "prediction": self.prediction} | shape
        if self.network == "residual-unet":
            arguments |= {"fold": self.fold, "direct": self.direct}
        if self.prediction == "edm":
            return arguments | {"sigma_min": self.sigma_min}
        return arguments | {"steps": self.diffusion_steps, "schedule": self.noise_schedule}


# What no report states is our choice: docs/digits.md lists it.
CONTEXT_UNET = Config(epochs=300, ema_decay=0.0, estimate_batch_norm=False)
ATTENTION_UNET = Config(network="attention-unet", width=64, diffusion_steps=1000, optimizer="adamw", lr=3e-3)
ATTENTION_UNET = replace(ATTENTION_UNET, lr_schedule="one-cycle", ema_decay=0.995)
SHORT_ATTENTION_UNET = {"width": 24, "diffusion_steps": 600, "epochs": 9, "batch_size": 64, "lr": 2e-3}
# Warm-up is over 20,000 images; the EMA's decay is never reached, its half-life stays at 8 % of the images seen.
EDM_DIGITS = Config(network="residual-unet", prediction="edm", width=96, epochs=26, lr=6e-4, betas=(0.9, 0.99))
EDM_DIGITS = replace(EDM_DIGITS, lr_schedule="linear", warmup_steps=156, max_gradient_norm=1.0, ema_decay=0.9999)
EDM_DIGITS = replace(EDM_DIGITS, sample_steps=12, guidance=EDM.default_guidance)
EDM_FACES = replace(EDM_DIGITS, images="faces", fold=4, direct=True, sigma_min=0.08, epochs=44, batch_size=64, lr=4e-4)
EDM_FACES = replace(EDM_FACES, warmup_steps=312)
EDM_GUIDE = replace(EDM_FACES, width=48, epochs=6)
RECIPES = {
    "context-unet": ("Report 002: DDPM with a convolutional U-Net (300 epochs).", CONTEXT_UNET),
    "context-unet-64": (
        "context-unet at width 64, T = 600, higher learning rate with cosine decay, EMA (14 epochs).",
        Config(width=64, diffusion_steps=600, epochs=14, lr=5e-4, lr_schedule="cosine", warmup_steps=300),
    ),
    "attention-unet": ("Report 004: DDPM with a U-Net with self-attention.", ATTENTION_UNET),
    "attention-unet-24": (
        "attention-unet at width 24, T = 600, smaller batches and clipped gradients (9 epochs).",
        replace(ATTENTION_UNET, **SHORT_ATTENTION_UNET, max_gradient_norm=1.0, ema_decay=0.998),
    ),
    "edm": ("EDM with an efficient residual U-Net on folded images (26 epochs are 1.16 million images).", EDM_DIGITS),
    "edm-faces": ("EDM of faces folded to 16x16 (44 epochs are 558,000 images).", EDM_FACES),
    "edm-faces-guide": ("A narrower edm-faces, trained for less long, to guide it (inference.autoguide).", EDM_GUIDE),
}
VARIANTS = {  # for claims of report 002, narrower and so sooner trained; and for the ablation of edm
    "context-unet-w32": ("context-unet", {"width": 32}),
    "context-unet-w64": ("context-unet", {"width": 64}),
    "context-unet-w32-t1000": ("context-unet", {"width": 32, "diffusion_steps": 1000}),
    "edm-epsilon": ("edm", {"prediction": "epsilon", "diffusion_steps": 600, "noise_schedule": "cosine"}),
    "edm-v": ("edm", {"prediction": "v", "diffusion_steps": 600, "noise_schedule": "cosine"}),
    "edm-unfolded": ("edm", {"fold": 1, "width": 48}),  # about as many operations an image
    "edm-no-ema": ("edm", {"ema_decay": 0.0}),
}
RECIPES |= varied(RECIPES, VARIANTS)


def main(config: Config) -> None:
    """Train as `config` says and leave the run in its directory."""
    execution, faces = config.execution(), config.images == "faces"
    stream = RandomStream(config.seed, execution.device)

    # Real images.
    if faces:
        images, labels, classes = load_faces(config.data, "train", config.image_size, config.channels), None, ()
    else:
        images, labels, classes = load_classes(config.data, config.domain, config.image_size, config.channels)
    real = ImageBatches(images, config.batch_size, stream, flip=faces, labels=labels)

    # The network, its optimizer, and the EMA, which makes the samples.
    torch.manual_seed(derived_seed(config.seed, "weights"))
    measured = {"sigma_data": pixel_deviation(images)} if config.prediction == "edm" else {}
    arguments = config.network_arguments(len(classes)) | measured
    network = execution.prepare(NETWORKS[config.network](**arguments))
    if config.start and not config.resume:
        load_into(network, config.start)
    diffusion = network.diffusion
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    optimizer = kind(network.parameters(), config.lr, config.betas, fused=True)
    average = EMA(network, config.ema_decay)

    def draw(stream: RandomStream, purpose: str, number: int) -> list[Tensor]:
        """This process's times (n,), numbers (n,) uniform in [0, 1), and noise (n, C, H, W)."""
        draws, size = stream.draws(purpose, number), config.batch_size
        return [draws.of(diffusion.random_times, size), draws.uniform(size), draws.normal(size, *network.latent_shape)]

    ahead = Ahead(partial(draw, RandomStream(config.seed), "noise"), execution.device)

    def noisy_batch(number: int, drawn: list[Tensor]) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """This process's images (n, C, H, W), labels (n,) with some dropped, times (n,) and noise."""
        times, uniform, noise = drawn
        if faces:
            return real.batch(number), None, times, noise
        images, labels = real.labelled_batch(number)
        return images, drop_labels(labels, uniform, config.label_dropout), times, noise

    def refresh() -> None:
        """Re-estimate batch-norm statistics of the EMA on the network's training inputs."""
        if config.estimate_batch_norm:
            batches = (noisy_batch(number, draw(stream, "batch norm", number)) for number in range(20))
            inputs = ((*diffusion.inputs(images, noise, times), labels) for images, labels, times, noise in batches)
            estimate_batch_norm(average.network, inputs, execution)

    def sample() -> dict[str, np.ndarray]:
        """A sample grid from fixed noise vectors: 32 faces, or a row a class."""
        return {"samples": sample_grid(average.network, config.seed, execution, config.sampling(), faces=32)}

    # The run: its directory, and everything that a checkpoint must hold to go on.
    parts = {"network": network, "average": average, "optimizer": optimizer}
    run = TrainingRun(config, execution, real.per_epoch, parts, (average.network, config.network, arguments), classes)

    for step in run.steps():
        lr = optimizer.param_groups[0]["lr"] = run.learning_rate(config.lr)
        with execution.autocast():
            loss = diffusion.loss(network, *noisy_batch(step, ahead(step)))
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
