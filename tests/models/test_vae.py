"""The VAE's layers, draw and losses."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference_kl

from models.vae import VAE, kl_divergence, reconstruction_error


def test_layers_and_sizes_are_the_reported(parameter_count):
    network = VAE()
    channels = [3, 32, 64, 128, 256, 512]
    kernels = sum(9 * before * after for before, after in pairwise(channels))
    assert parameter_count(network.encoder) == kernels + 3 * sum(channels[1:])  # a bias, and batch norm's two
    assert parameter_count(network.mean) == parameter_count(network.log_variance) == 2048 * 1024 + 1024
    assert parameter_count(network) == 9_444_451
    features = network.encoder(torch.zeros(2, 3, 64, 64))
    assert features.shape == (2, 512 * 2 * 2)
    sizes = []
    for layer in network.decoder:
        if isinstance(layer, torch.nn.ConvTranspose2d):
            layer.register_forward_hook(lambda layer, inputs, output: sizes.append(tuple(output.shape[1:])))
    assert network.decode(torch.zeros(2, 1024)).shape == (2, 3, 64, 64)
    assert sizes == [(256, 4, 4), (128, 8, 8), (64, 16, 16), (32, 32, 32), (32, 64, 64)]


def test_latents_are_drawn_from_the_posterior():
    """With a decoder that shows its latents, what comes back is mean + deviation · noise."""
    torch.manual_seed(0)
    network = VAE(latent_size=5, width=4).eval()
    images, noise = torch.rand(3, 3, 64, 64) * 2 - 1, torch.randn(3, 5)
    network.decode = lambda latents: latents
    latents, mean, log_variance = network(images, noise)
    torch.testing.assert_close((latents - mean) / noise, log_variance.exp().sqrt())
    assert torch.equal(network(images, 0 * noise)[0], mean)


def test_gradients_reach_every_parameter():
    torch.manual_seed(0)
    network = VAE(latent_size=5, width=4)
    images = torch.rand(3, 3, 64, 64) * 2 - 1
    reconstructions, mean, log_variance = network(images, torch.randn(3, 5))
    (reconstruction_error(reconstructions, images).mean() + kl_divergence(mean, log_variance)).backward()
    # Batch norm takes away the biases of the convolutions before it.
    still = {name for name, value in network.named_parameters() if value.grad.abs().max() < 1e-7}
    assert all(name.endswith("bias") for name in still)
    assert {"mean.bias", "log_variance.bias", "decoder.17.bias"}.isdisjoint(still)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_kl_divergence_is_that_of_torch_distributions(reduction):
    torch.manual_seed(0)
    mean, log_variance = torch.randn(7, 5), torch.randn(7, 5)
    expected = reference_kl(Normal(mean, log_variance.exp().sqrt()), Normal(0.0, 1.0))
    expected = expected.mean() if reduction == "mean" else expected.sum(1).mean()
    torch.testing.assert_close(kl_divergence(mean, log_variance, reduction), expected)


def test_the_error_is_on_the_scale_from_0_to_1():
    random = np.random.default_rng(0)
    first, second = random.random((4, 3, 8, 8)), random.random((4, 3, 8, 8))
    errors = reconstruction_error(torch.from_numpy(2 * first - 1), torch.from_numpy(2 * second - 1))
    np.testing.assert_allclose(errors, ((first - second) ** 2).mean((1, 2, 3)), rtol=1e-6)


def test_an_unfitted_prior_is_standard_normal():
    torch.manual_seed(0)
    network = VAE(latent_size=5, width=4).eval()
    noise = torch.randn(3, network.noise_size)
    assert torch.equal(network.generate(noise), network.decode(noise[:, :5]))


@pytest.mark.parametrize("latent_size", [5, 200])
def test_the_fitted_prior_has_the_posteriors_mean_and_covariance(latent_size):
    """Of few components exactly; of many, the variance of each and the covariance of the main directions."""
    torch.manual_seed(0)
    mixing = torch.randn(latent_size, latent_size) * torch.logspace(0, -2, latent_size)
    means = torch.randn(4000, latent_size) @ mixing.T + torch.randn(latent_size)
    log_variances = torch.randn(4000, latent_size)
    network = VAE(latent_size, width=4).eval()
    network.fit_prior(means, log_variances)
    network.decode = lambda latents: latents
    drawn = network.generate(torch.randn(100_000, network.noise_size))
    expected = means.T.cov() + log_variances.exp().mean(0).diag()
    scale = expected.diagonal().sqrt()
    torch.testing.assert_close(drawn.mean(0) / scale, means.mean(0) / scale, atol=0.02, rtol=0)
    torch.testing.assert_close(drawn.T.cov() / scale.outer(scale), expected / scale.outer(scale), atol=0.03, rtol=0)
