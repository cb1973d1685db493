"""Faces through a VAE and back, and new ones from its prior."""

import numpy as np
import pytest
import torch

from inference.reconstruction import decode, encode, reconstruct
from inference.sampling import sample_images
from models.vae import VAE
from runtime.device import Execution
from runtime.seeds import image_seeds, random_stream

CPU = Execution(torch.device("cpu"))


@pytest.fixture(scope="module")
def network():
    """A narrow VAE whose latents matter and whose prior is not the standard one."""
    torch.manual_seed(0)
    network = VAE(latent_size=6, width=4).eval()
    torch.nn.init.normal_(network.decoder[0].weight)
    torch.nn.init.normal_(network.prior_mean)
    torch.nn.init.uniform_(network.prior_deviation, 0.5, 2)
    torch.nn.init.normal_(network.prior_factor, 0, 0.2)
    return network


@torch.no_grad()
def test_reconstructions_are_those_of_the_posterior_means(network):
    faces = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    images = torch.from_numpy(faces / 127.5 - 1).float().permute(0, 3, 1, 2)
    mean, log_variance = network.encode(images)
    for found, expected in zip(encode(network, faces, CPU), (mean, log_variance), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    decoded = network.decode(mean).double().permute(0, 2, 3, 1).numpy()
    pictures, errors = reconstruct(network, faces, CPU)
    assert np.abs(pictures - (decoded + 1) * 127.5).max() < 0.51
    np.testing.assert_allclose(errors, (((decoded + 1) / 2 - faces / 255) ** 2).mean((1, 2, 3)), rtol=1e-4)


@torch.no_grad()
def test_new_faces_are_drawn_from_the_prior_by_noise_of_their_own(network):
    noise = torch.stack([torch.randn(6 + 128, generator=random_stream(5, "image", index)) for index in range(2)])
    latents = network.prior_mean + network.prior_deviation * noise[:, :6] + noise[:, 6:] @ network.prior_factor.T
    expected = network.decode(latents).permute(0, 2, 3, 1).double().numpy()
    faces = sample_images(network, image_seeds(5, range(2)), CPU)
    assert np.abs(faces - (expected + 1) * 127.5).max() < 0.51
    assert np.abs(decode(network, latents, CPU) - (expected + 1) * 127.5).max() < 0.51
