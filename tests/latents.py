"""The latents that images of a seed are made of, drawn without `runtime.seeds.image_noise`."""

import torch

from runtime.seeds import random_stream


def image_latents(seed, indices, latent_size):
    """Standard normal latents (len(indices), latent_size), one generator an image."""
    return torch.stack([torch.randn(latent_size, generator=random_stream(seed, "image", index)) for index in indices])
