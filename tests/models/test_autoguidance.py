"""A network guided by a worse one."""

import pytest
import torch

from models.autoguidance import AutoGuided
from models.generator import Sampling
from models.residual_unet import ResidualUNet

FACES = {"classes": 0, "fold": 4, "size": 64, "sigma_data": 0.6}


def random_weights(network):
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.1)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def guided():
    return random_weights(AutoGuided(FACES | {"width": 8, "sigma_min": 0.1}, FACES | {"width": 4}, scale=3))


def test_images_lie_beyond_the_network_seen_from_the_guide(guided):
    noisy, sigma = torch.randn(2, 3, 64, 64), torch.tensor([0.5, 4.0])
    process = guided.diffusion
    assert process == guided.network.diffusion and process.sigma_min == 0.1
    image, better, worse = (process.denoise(net, noisy, sigma, None) for net in (guided, guided.network, guided.guide))
    assert not torch.allclose(better, worse, atol=1e-2)
    torch.testing.assert_close(image, better + 2 * (better - worse))


def test_it_is_sampled_as_the_network_is(guided):
    noise, sampling = torch.randn(1, 3, 64, 64), Sampling(steps=3)
    assert (guided.classes, guided.image_size) == (0, 64)
    with_guide, alone = (network.sample(lambda: noise, None, sampling) for network in (guided, guided.network))
    assert with_guide.shape == alone.shape and not torch.allclose(with_guide, alone, atol=1e-2)
    guided.scale = 1
    torch.testing.assert_close(guided.sample(lambda: noise, None, sampling), alone)
    guided.scale = 3


def test_labels_reach_both():
    guided = random_weights(AutoGuided({"width": 8}, {"width": 4}))
    images, times = torch.randn(2, 3, 28, 28), torch.zeros(2)
    labels = torch.tensor([3, 7])
    expected = 2 * guided.network(images, times, labels) - guided.guide(images, times, labels)
    torch.testing.assert_close(guided(images, times, labels), expected)


@pytest.mark.parametrize("other", [{"sigma_data": 0.5}, {"classes": 10}, {"size": 32}, {"prediction": "v"}], ids=str)
def test_a_guide_of_something_else_is_refused(other, error_of):
    line = error_of(lambda: AutoGuided(FACES | {"width": 8}, FACES | {"width": 4} | other))
    assert "the guide was trained on other images or another process" in line
    assert AutoGuided(FACES | {"width": 8}, FACES | {"width": 4, "sigma_min": 0.5}).diffusion.sigma_min == 0.002
    assert isinstance(AutoGuided(FACES, FACES).guide, ResidualUNet)
