"""The one way from latents to pictures, for sample sheets, inference and scores alike."""

import numpy as np
import torch
from torch import Tensor, nn

from runtime.device import Execution
from runtime.images import to_uint8


@torch.inference_mode()
def sample_images(generator: nn.Module, latents: Tensor, execution: Execution, chunk: int = 50) -> np.ndarray:
    """Pictures uint8 (N, H, W, 3) of latents (N, latent_size), by a generator in evaluation mode.

    The network always sees `chunk` latents, the last chunk filled up with zeros: a picture then does not depend on
    how many others were asked for.
    """
    pictures = []
    for part in latents.split(chunk):
        filled = torch.cat([part, part.new_zeros(chunk - len(part), *part.shape[1:])])
        with execution.autocast():
            images = generator(filled.to(execution.device))
        pictures.append(to_uint8(images[: len(part)]))
    return np.concatenate(pictures)
