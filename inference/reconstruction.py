"""The one way from faces to latents and back, for training curves, grids, inference and scores alike."""

import numpy as np
import torch
from torch import Tensor

from inference.classification import in_chunks
from inference.sampling import make_images
from models.vae import VAE, reconstruction_error
from runtime.device import Execution
from runtime.images import from_uint8, to_uint8

CHUNK = 50  # faces a network sees at once


def encode(network: VAE, images: np.ndarray, execution: Execution) -> tuple[Tensor, Tensor]:
    """Means and log-variances, float32 (N, latent_size) on the CPU, of the posteriors of faces, uint8 (N, H, W, C).

    `network` is a VAE in evaluation mode.
    """
    posteriors = in_chunks(lambda inputs: torch.cat(network.encode(inputs), 1), images, execution, CHUNK)
    return torch.from_numpy(posteriors).chunk(2, dim=1)


def decode(network: VAE, latents: Tensor, execution: Execution) -> np.ndarray:
    """Pictures uint8 (N, H, W, C) of latents (N, latent_size), by a VAE in evaluation mode."""
    return make_images(lambda part: network.decode(part.to(execution.device)), latents, execution=execution)


def reconstruct(network: VAE, images: np.ndarray, execution: Execution) -> tuple[np.ndarray, np.ndarray]:
    """What a VAE in evaluation mode makes of faces, uint8 (N, H, W, C), through their posterior means.

    The reconstructions come as uint8 (N, H, W, C), and with them each one's mean squared error (N,), taken before
    rounding, of values in [0, 1].
    """
    decoded = in_chunks(lambda inputs: network.decode(network.encode(inputs)[0]), images, execution, CHUNK)
    reconstructions = torch.from_numpy(decoded)
    return to_uint8(reconstructions), reconstruction_error(reconstructions, from_uint8(images)).numpy()
