"""Train a variational autoencoder on 64x64 faces: `python train_vae.py vae --data ROOT`.

An encoder tells where in a space of latents a face may lie, a decoder makes a face of every point; the faces must come
back as they were, the points be spread as normal noise is (Kingma, Welling, *Auto-Encoding Variational Bayes*, 2014).
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from data.batches import ImageBatches
from data.decoded import image_names
from data.faces import attributes_of, face_folder, load_faces
from models import NETWORKS
from models.pyramid import start_linear
from models.vae import kl_divergence, reconstruction_error
from runtime.device import Execution
from runtime.errors import UserError, run_command
from runtime.files import write_atomically
from runtime.images import from_uint8
from runtime.reconstruction import encode, reconstruct
from runtime.sampling import sample_images
from runtime.seeds import derived_seed, image_latents, random_stream
from training.config import TrainConfig, parse_command_line
from training.ema import EMA, estimate_batch_norm
from training.processes import in_parallel, is_first, share_of, synchronise_batch_norm
from training.run import Run
from training.schedules import LearningRateSchedule, learning_rate

FITTED_FACES = 4096  # training faces that the linear start, and the prior of new faces, are fitted to


@dataclass
class Config(TrainConfig):
    """Settings of a variational autoencoder of faces."""

    latent_size: int = 1024
    """Components of a face's latent."""
    width: int = 32
    """Channels at 32x32; 32 is the reported size, all layers scale with it."""
    flip: bool = False
    """Mirror every second training image."""

    kl_weight: float = 1e-4
    """Weight of the KL divergence beside the mean squared error (of values in [0, 1])."""
    kl_reduction: Literal["mean", "sum"] = "mean"
    """Average the divergence over the latent's components, or sum it."""
    fit_prior: bool = True
    """Draw new faces as the latents of real ones are spread, instead of from the standard normal distribution."""

    linear_start: bool = True
    """Start as a linear autoencoder, fitted to the faces, instead of from random weights."""
    lr: float = 1e-4
    """Highest learning rate of Adam."""
    lr_schedule: LearningRateSchedule = "constant"
    """Course of the learning rate from the first step to the last."""
    halve_every: int = 0
    """Steps after which the learning rate is halved, again and again (0: never)."""

    def check(self) -> None:
        """Raise UserError for settings that cannot work."""
        super().check()
        if min(self.width, self.latent_size) < 1 or self.lr <= 0:
            raise UserError("--width and --latent-size must be at least 1, --lr above 0")
        if self.linear_start and self.width < 6:
            raise UserError("--width must be at least 6 for a linear start (or give --no-linear-start)")
        if min(self.kl_weight, self.halve_every) < 0:
            raise UserError("--kl-weight and --halve-every must not be negative")


RECIPES = {
    # The report halved every 10 epochs of its 40,000 faces: every 3,125 steps of 128, whatever the set.
    "vae": (
        "VAE with 1024 latents; mean squared error and a lightly weighted KL.",
        Config(epochs=160, halve_every=3125),
    ),
}


def main(config: Config) -> None:
    """Train as `config` says and leave the run in its directory."""
    # Where this runs, and this process's share of every batch.
    execution = config.execution()
    share = share_of(config.batch_size)
    stream = partial(random_stream, config.seed)

    # Faces to learn from, and others to be measured on; a plain folder of pictures has no others.
    training = load_faces(config.data)
    faces = ImageBatches(training, config.batch_size, stream, execution.device, config.flip, share)
    validation = load_faces(config.data, "val")
    held_out = face_folder(config.data, "val") != face_folder(config.data)

    # The network, its optimizer, and the averaged network that is measured and saved.
    torch.manual_seed(derived_seed(config.seed, "weights"))
    arguments = {"latent_size": config.latent_size, "width": config.width}
    network = synchronise_batch_norm(execution.place(NETWORKS["vae"](**arguments)), execution)
    optimizer = torch.optim.Adam(network.parameters(), config.lr, fused=True)
    average = EMA(network, config.ema_decay)
    autoencode = in_parallel(execution.compiled(network), execution)

    def draw_noise(purpose: str, number: int) -> Tensor:
        """This process's share (n, latent_size) of the noise that latents are drawn with."""
        noise = torch.randn(config.batch_size, config.latent_size, generator=stream(purpose, number))
        return noise[share].to(execution.device)

    def statistics_batches() -> Iterator[tuple[Tensor, Tensor]]:
        """What the network is given in training, for the averaged network's batch norm."""
        for number in range(20):
            yield faces.batch(number), draw_noise("batch norm", number)

    # The run: its directory, and everything that a checkpoint must hold to go on.
    run = Run(config, execution, faces.per_epoch, {"network": network, "average": average, "optimizer": optimizer})
    sheet_noise = image_latents(config.seed, range(64), network.noise_size)

    # A linear start takes seconds to fit: only now that the directory is this run's, and if nothing was learned yet.
    if config.linear_start and run.step == 0:
        component_weight = config.kl_weight / (config.latent_size if config.kl_reduction == "mean" else 1)
        start_linear(network, from_uint8(training[:FITTED_FACES], execution.device), component_weight)
        average.load_state_dict(network.state_dict())

    for step in run.steps():
        lr = learning_rate(config.lr, config.lr_schedule, step, run.total)
        halvings = step // config.halve_every if config.halve_every else 0
        optimizer.param_groups[0]["lr"] = lr * 0.5**halvings

        # Teach the network to give the faces back, from latents as close to noise as that allows.
        images = faces.batch(step)
        with execution.autocast():
            reconstructions, mean, log_variance = autoencode(images, draw_noise("noise", step))
        mse = reconstruction_error(reconstructions, images).mean()
        loss = mse + config.kl_weight * kl_divergence(mean, log_variance, config.kl_reduction)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(network, step)

        run.log(mse=mse, kl=kl_divergence(mean.detach(), log_variance.detach()))
        if run.sample_due() or run.checkpoint_due():
            estimate_batch_norm(average.network, statistics_batches(), execution)
            if config.fit_prior:
                posteriors = encode(average.network, training[:FITTED_FACES], execution)
                average.network.fit_prior(*(part.to(execution.device) for part in posteriors))
        if run.sample_due():
            run.save_sheet(sample_images(average.network.generate, sheet_noise, execution))
            originals = validation[:10]
            pictures, _ = reconstruct(average.network, originals, execution)
            run.save_sheet(np.concatenate([originals, pictures]), len(originals), "reconstructions")
        if run.checkpoint_due():
            _, errors = reconstruct(average.network, validation, execution)
            run.record(**{"val_mse" if held_out else "train_mse": float(errors.mean())})
            run.save(average.network, "vae", arguments)
            if is_first():
                save_latents(run.folder / "latents.npz", average.network, config.data, validation, execution)

    run.close()


def save_latents(path: Path, network: nn.Module, root: Path, images: np.ndarray, execution: Execution) -> None:
    """Write the posterior means of the validation faces `images` and what is known of each, to be drawn in the plane.

    The file holds `names` (N,), `latents` (N, D) float16, `deviations` (D,) of the posteriors (root mean square),
    `attribute_names` (A,) and `attributes` (N, A): -1 or 1, 0 where unknown.
    """
    names = image_names(face_folder(root, "val"))
    attribute_names, attributes = attributes_of(root, names)
    means, log_variances = encode(network, images, execution)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        names=np.array(names),
        latents=means.half().numpy(),
        deviations=log_variances.exp().mean(0).sqrt().numpy(),
        attribute_names=np.array(attribute_names, dtype=str),
        attributes=attributes,
    )
    write_atomically(path, buffer.getvalue())


if __name__ == "__main__":
    run_command(lambda: main(parse_command_line(RECIPES)))
