"""Train a variational autoencoder on faces: `python train_vae.py vae --data ROOT`.

The encoder maps a face to a normal posterior over latents, the decoder a latent to a face. The loss is the squared
error of the reconstruction plus the weighted KL divergence of the posterior from the standard normal prior (Kingma,
Welling, *Auto-Encoding Variational Bayes*, 2014).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from data.batches import ImageBatches
from data.decoded import image_names
from data.faces import attributes_of, face_folder, load_faces
from inference.reconstruction import encode, reconstruct
from inference.sampling import sample_grid
from models import NETWORKS
from models.pyramid import start_linear
from models.vae import kl_divergence, reconstruction_error
from models.weights import not_defaults
from runtime.device import Execution
from runtime.errors import UserError, run_command
from runtime.files import write_arrays
from runtime.images import from_uint8, image_grid
from runtime.processes import share_weights
from runtime.seeds import RandomStream, derived_seed
from runtime.settings import ABOVE_0, AT_LEAST_0, AT_LEAST_1
from training.config import GeneratorConfig, parse_command_line
from training.ema import EMA, estimate_batch_norm
from training.run import TrainingRun

FITTED_FACES = 4096  # training faces that the linear start and the prior are fitted to


@dataclass
class Config(GeneratorConfig):
    """Settings of a variational autoencoder of faces."""

    kind = "vae"
    RENAMED: ClassVar[dict[str, str]] = GeneratorConfig.RENAMED | {"halve_every": "halve_every_steps"}

    latent_size: Annotated[int, AT_LEAST_1] = 1024
    """Components of the latent."""
    width: Annotated[int, AT_LEAST_1] = 32
    """Channels at half the size; all layers scale with it (32 as reported)."""
    flip: bool = False
    """Flip training images horizontally with probability 0.5."""

    kl_weight: Annotated[float, AT_LEAST_0] = 1e-4
    """Weight of the KL divergence; the mean squared error, of values in [0, 1], weighs 1."""
    kl_reduction: Literal["mean", "sum"] = "mean"
    """Average or sum the divergence over the components of the latent."""
    fit_prior: bool = False
    """Draw new faces from a normal distribution fitted to latents of training faces, instead of the standard one."""

    linear_start: bool = False
    """Initialise as a linear autoencoder fitted to training faces, instead of at random."""
    lr: Annotated[float, ABOVE_0] = 1e-4
    """Highest learning rate of Adam."""

    def check(self) -> None:
        """Raise UserError for settings that cannot work."""
        super().check()
        if self.linear_start and self.width < 2 * self.channels:
            least = 2 * self.channels
            raise UserError(f"--width must be at least {least} for a linear start (or give --no-linear-start)")


RECIPES = {
    # The report halves every 10 epochs and shows 50,000 steps. Of the course's faces, about 38,000, 10 epochs are 3,000
    # steps of 128, which is our choice of the batch: counted in steps, the schedule is the same on smaller sets.
    "vae": (
        "Report 003: VAE with 1024 latents; mean squared error and a lightly weighted KL (50,000 steps).",
        Config(
            epochs=1000,
            max_steps=50_000,
            lr_schedule="halved",
            halve_every_steps=3000,
            ema_decay=0.0,
            estimate_batch_norm=False,
            sample_epochs=5,
        ),
    ),
    "vae-ema": (
        "vae with EMA, a fitted prior and smaller batches (90 epochs).",
        Config(epochs=90, batch_size=32, lr=2e-4, lr_schedule="cosine", flip=True, fit_prior=True),
    ),
    "vae-pca": (
        "vae from a linear start, with EMA and a fitted prior (16 epochs).",
        Config(epochs=16, lr=3e-4, lr_schedule="cosine", flip=True, linear_start=True, fit_prior=True),
    ),
}


def main(config: Config) -> None:
    """Train as `config` says and leave the run in its directory."""
    execution = config.execution()
    stream = RandomStream(config.seed, execution.device)

    # Training faces, and validation faces, which a plain folder of pictures lacks.
    shape = {"size": config.size, "channels": config.channels}
    training = load_faces(config.data, **shape)
    faces = ImageBatches(training, config.batch_size, stream, config.flip)
    validation = load_faces(config.data, "val", **shape)
    held_out = face_folder(config.data, "val") != face_folder(config.data)

    # The network, its optimizer, and the EMA, which is measured and saved.
    torch.manual_seed(derived_seed(config.seed, "weights"))
    arguments = {"latent_size": config.latent_size, "width": config.width} | not_defaults("vae", **shape)
    network = execution.prepare(NETWORKS["vae"](**arguments))
    optimizer = torch.optim.Adam(network.parameters(), config.lr, fused=True)
    average = EMA(network, config.ema_decay)

    def draw_noise(purpose: str, number: int) -> Tensor:
        """This process's noise (n, latent_size), by which latents are drawn from their posteriors."""
        return stream.draws(purpose, number).normal(config.batch_size, config.latent_size)

    def refresh() -> None:
        """Re-estimate batch-norm statistics of the EMA, and fit the prior to its latents."""
        if config.estimate_batch_norm:
            inputs = ((faces.batch(number), draw_noise("batch norm", number)) for number in range(20))
            estimate_batch_norm(average.network, inputs, execution)
        if config.fit_prior:
            posteriors = encode(average.network, training[:FITTED_FACES], execution)
            average.network.fit_prior(*(part.to(execution.device) for part in posteriors))

    def sample() -> dict[str, np.ndarray]:
        """A sample grid of new faces, and one of ten held-out faces over their reconstructions."""
        faces, originals = sample_grid(average.network, config.seed, execution), validation[:10]
        pairs = np.concatenate([originals, reconstruct(average.network, originals, execution)[0]])
        return {"samples": faces, "reconstructions": image_grid(pairs, columns=len(originals))}

    def measure() -> dict[str, float]:
        """The mean squared error of the validation faces; their latents are saved for the report."""
        save_latents(run.folder / "latents.npz", average.network, config.data, validation, execution)
        _, errors = reconstruct(average.network, validation, execution)
        return {"val_mse" if held_out else "train_mse": float(errors.mean())}

    # The run: its directory, and everything that a checkpoint must hold to go on.
    parts = {"network": network, "average": average, "optimizer": optimizer}
    run = TrainingRun(config, execution, faces.per_epoch, parts, (average.network, "vae", arguments))

    # A linear start takes seconds to fit: only now that the directory is this run's, and if nothing was learned yet.
    if config.linear_start and run.step == 0:
        component_weight = config.kl_weight / (config.latent_size if config.kl_reduction == "mean" else 1)
        start_linear(network, from_uint8(training[:FITTED_FACES], execution.device), component_weight)
        share_weights(network)
        average.load_state_dict(network.state_dict())

    for step in run.steps():
        optimizer.param_groups[0]["lr"] = run.learning_rate(config.lr)

        # Reconstruct the faces from latents drawn from their posteriors.
        images = faces.batch(step)
        with execution.autocast():
            reconstructions, mean, log_variance = network(images, draw_noise("noise", step))
        mse = reconstruction_error(reconstructions, images).mean()
        loss = mse + config.kl_weight * kl_divergence(mean, log_variance, config.kl_reduction)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(network, step)

        run.log(mse=mse, kl=kl_divergence(mean.detach(), log_variance.detach()))
        run.finish_step(refresh, sample, measure)

    run.close()


def save_latents(path: Path, network: nn.Module, root: Path, images: np.ndarray, execution: Execution) -> None:
    """Write the posterior means of the validation faces `images`, and the attributes of each.

    The file holds `names` (N,), `latents` (N, D) float16, `deviations` (D,) of the posteriors (root mean square),
    `attribute_names` (A,) and `attributes` (N, A): -1 or 1, 0 where unknown.
    """
    names = image_names(face_folder(root, "val"))
    attribute_names, attributes = attributes_of(root, names)
    means, log_variances = encode(network, images, execution)
    write_arrays(
        path,
        names=np.array(names),
        latents=means.half().numpy(),
        deviations=log_variances.exp().mean(0).sqrt().numpy(),
        attribute_names=np.array(attribute_names, dtype=str),
        attributes=attributes,
    )


if __name__ == "__main__":
    run_command(lambda: main(parse_command_line(RECIPES)))
