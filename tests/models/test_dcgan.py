import pytest
import torch
from torch import nn

from models.dcgan import DCGANDiscriminator, DCGANGenerator


def test_the_generator_is_the_reported_one(layers, parameter_count):
    generator = DCGANGenerator()
    assert layers(generator) == (
        "T(100→512,4,1,0,nb) BN ReLU T(512→256,4,2,1,nb) BN ReLU T(256→128,4,2,1,nb) BN ReLU "
        "T(128→64,4,2,1,nb) BN ReLU T(64→3,4,2,1,nb) Tanh"
    )
    assert parameter_count(generator) == 3_576_704


def test_the_discriminator_is_the_reported_one(layers, parameter_count):
    discriminator = DCGANDiscriminator()
    assert layers(discriminator) == (
        "C(3→64,4,2,1,nb) LReLU0.2 C(64→128,4,2,1,nb) BN LReLU0.2 C(128→256,4,2,1,nb) BN LReLU0.2 "
        "C(256→512,4,2,1,nb) BN LReLU0.2 C(512→1,4,1,0,nb)"
    )
    assert parameter_count(discriminator) == 2_765_568


def test_biases_are_an_option_of_every_convolution(layers):
    assert "nb" not in layers(DCGANGenerator(width=8, bias=True))
    assert "nb" not in layers(DCGANDiscriminator(width=8, bias=True))


def test_pixelshuffle_s_discriminator_adds_spectral_norm_and_keeps_batch_norm(layers):
    plain, normalised = layers(DCGANDiscriminator(width=8)), layers(DCGANDiscriminator(width=8, spectral_norm=True))
    assert normalised == plain.replace("C(", "SN C(")


@pytest.mark.parametrize("network", [DCGANGenerator(), DCGANDiscriminator(), DCGANDiscriminator(spectral_norm=True)])
def test_initial_weights_are_those_of_the_paper(network):
    for layer in network.layers:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            normalised = hasattr(layer, "parametrizations")
            weight = layer.parametrizations.weight.original if normalised else layer.weight
            assert weight.mean().item() == pytest.approx(0, abs=2e-3)
            assert weight.std().item() == pytest.approx(0.02, rel=0.06)
        elif isinstance(layer, nn.BatchNorm2d):
            assert layer.weight.mean().item() == pytest.approx(1, abs=0.01)
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.4)
            assert torch.count_nonzero(layer.bias) == 0


def test_the_discriminator_can_have_more_outputs():
    discriminator = DCGANDiscriminator(width=8, outputs=11)
    assert discriminator(torch.zeros(2, 3, 64, 64)).shape == (2, 11)
