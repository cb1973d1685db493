"""The VAE's start as a linear autoencoder."""

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from models.pyramid import start_linear
from models.vae import VAE, reconstruction_error


def smooth_images(count, seed=0):
    """Images that 4x4 colours make, in whose 2x2 pixels, of every stage, few directions occur."""
    corners = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return interpolate(corners, 64, mode="bilinear")


@pytest.fixture
def start():
    """A VAE in evaluation mode that starts as the linear autoencoder of `images`."""

    def start(images, width=24, latent_size=64, kl_weight=1e-7):
        torch.manual_seed(0)
        network = VAE(latent_size, width)
        start_linear(network, images, kl_weight)
        return network.eval()

    return start


def before_tanh(network, latents):
    return network.decoder[:-1](latents) / 1.25  # tanh(1.25 x) stays near x


@torch.inference_mode()
def test_images_of_few_components_come_back(start):
    """New ones too, when the latents have a component for each of the 48 numbers that make such an image."""
    network = start(smooth_images(200))
    images = smooth_images(50, seed=1)
    mean, _ = network.encode(images)
    torch.testing.assert_close(before_tanh(network, mean), images, atol=2e-3, rtol=0)
    assert reconstruction_error(network.decode(mean), images).mean() < 1e-3  # tanh bends the values a little


@torch.inference_mode()
def test_fewer_latents_keep_the_main_components(start):
    """The error is that of principal components found by numpy's singular value decomposition."""
    images = smooth_images(200)
    network = start(images, latent_size=16)
    flat = images.flatten(1).numpy().astype(np.float64)
    lost = np.linalg.svd(flat - flat.mean(0), compute_uv=False)[16:]
    error = (before_tanh(network, network.encode(images)[0]) - images).square().mean().item()
    assert error == pytest.approx((lost**2).sum() / flat.size, rel=0.01)


@torch.inference_mode()
def test_latents_are_spread_as_the_prior_is(start):
    images = smooth_images(200)
    mean, _ = start(images, latent_size=16).encode(images)
    torch.testing.assert_close(mean.T.cov(), torch.eye(16), atol=0.02, rtol=0)
    torch.testing.assert_close(mean.mean(0), torch.zeros(16), atol=1e-3, rtol=0)


@torch.inference_mode()
def test_posteriors_are_as_wide_as_costs_least(start):
    """A wider or a narrower one of any component makes error and KL together larger."""
    images, kl_weight = smooth_images(200), 1e-3
    network = start(images, latent_size=16, kl_weight=kl_weight)
    mean, log_variance = network.encode(images[:4])
    assert (log_variance.std(0) == 0).all()  # the same for all images
    centre = before_tanh(network, mean[:1])
    moved = before_tanh(network, mean[:1] + torch.eye(16))
    error = reconstruction_error(moved, centre)  # a component's, when it is wrong by 1

    def cost(log_variance):
        return error * log_variance.exp() + kl_weight * (log_variance.exp() - log_variance) / 2

    best = cost(log_variance[0])
    assert (cost(log_variance[0] + 0.1) > best).all()
    assert (cost(log_variance[0] - 0.1) > best).all()


@torch.inference_mode()
@pytest.mark.parametrize("count", [1, 5])
def test_a_few_images_are_enough(start, count):
    images = smooth_images(count)
    network = start(images)
    mean, log_variance = network.encode(images)
    assert log_variance.isfinite().all()
    torch.testing.assert_close(before_tanh(network, mean), images, atol=2e-3, rtol=0)


@torch.inference_mode()
def test_channels_without_a_component_keep_their_weights(start):
    """At 32x32 there are twelve components at most, two channels each; the other weights are those drawn."""
    torch.manual_seed(0)
    drawn = VAE(64, 32).encoder[0].weight
    weight = start(smooth_images(20), width=32).encoder[0].weight
    assert torch.equal(weight[24:], drawn[24:])
    assert torch.equal(weight[:24:2], -weight[1:24:2])
