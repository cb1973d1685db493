"""What holds for all face networks, at a small width."""

import pytest
import torch
from torch import nn

from models import NETWORKS
from models.adversarial import (
    bce_discriminator_loss,
    bce_generator_loss,
    critic_generator_loss,
    gradient_penalty,
    hinge_discriminator_loss,
    wasserstein_discriminator_loss,
)
from models.sagan import SelfAttention

PAIRS = {
    "dcgan": (("dcgan-generator", {}), ("dcgan-discriminator", {})),
    "dcgan with biases": (("dcgan-generator", {"bias": True}), ("dcgan-discriminator", {"bias": True})),
    "pixelshuffle": (("pixelshuffle-generator", {}), ("dcgan-discriminator", {"spectral_norm": True})),
    "sagan": (("sagan-generator", {}), ("sagan-discriminator", {})),
}


def discriminator_loss(loss, discriminator, real, fake):
    real_logits, fake_logits = discriminator(real), discriminator(fake)
    match loss:
        case "bce":
            ones = torch.ones_like(real_logits)
            return bce_discriminator_loss(real_logits, fake_logits, ones, 0 * ones)
        case "hinge":
            return hinge_discriminator_loss(real_logits, fake_logits)
        case "wgan-gp":
            penalty = gradient_penalty(discriminator, real, fake, torch.rand(len(real)))
            return wasserstein_discriminator_loss(real_logits, fake_logits) + 10 * penalty


def without_effect(network):
    """Names of the parameters that change no output, so that their gradient is zero but for rounding.

    Batch norm takes away a bias before it; softmax a key's bias, which adds the same to all scores of a query.
    """
    names = {f"{name}.key.bias" for name, module in network.named_modules() if isinstance(module, SelfAttention)}
    for index in range(len(network.layers) - 1):
        if isinstance(network.layers[index + 1], nn.BatchNorm2d):
            names.add(f"layers.{index}.bias")
    return names


def unchanged(network, before):
    equal = {name for name, parameter in network.named_parameters() if torch.equal(parameter, before[name])}
    return equal - without_effect(network)


def snapshot(network):
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


@pytest.fixture(params=PAIRS)
def pair(request):
    torch.manual_seed(0)
    (g_name, g_arguments), (d_name, d_arguments) = PAIRS[request.param]
    return NETWORKS[g_name](latent_size=12, width=8, **g_arguments), NETWORKS[d_name](width=8, **d_arguments)


def test_shapes_and_ranges(pair):
    generator, discriminator = pair
    for count in (1, 3):
        images = generator.eval()(torch.randn(count, 12))
        assert images.shape == (count, 3, 64, 64)
        assert images.abs().max() <= 1
        assert discriminator.eval()(images).shape == (count, 1)
    assert generator.latent_size == 12
    wild = generator.train()(1e3 * torch.randn(4, 12))
    assert wild.isfinite().all()
    assert wild.abs().max() <= 1


@pytest.mark.parametrize("loss", ["bce", "hinge", "wgan-gp"])
def test_one_step_changes_every_parameter(pair, loss):
    generator, discriminator = pair
    for network in pair:
        for module in network.modules():
            if isinstance(module, SelfAttention):
                nn.init.constant_(module.gamma, 0.5)  # at 0, where it starts, query, key and value get no gradient
    real, latents = torch.rand(4, 3, 64, 64) * 2 - 1, torch.randn(4, 12)

    before = snapshot(discriminator)
    optimizer = torch.optim.SGD(discriminator.parameters(), 0.1)
    discriminator_loss(loss, discriminator, real, generator(latents).detach()).backward()
    optimizer.step()
    # What is added to real and generated logits alike changes no critic's loss (hinge's: while both are within 1).
    constant = {f"layers.{len(discriminator.layers) - 1}.bias"} if loss != "bce" else set()
    assert unchanged(discriminator, before) - constant == set()

    before = snapshot(generator)
    optimizer = torch.optim.SGD(generator.parameters(), 10)
    generator_loss = bce_generator_loss if loss == "bce" else critic_generator_loss
    generator_loss(discriminator(generator(latents))).backward()
    optimizer.step()
    assert unchanged(generator, before) == set()


SPECTRALLY_NORMALISED = {
    "pixelshuffle's discriminator": ("dcgan-discriminator", {"spectral_norm": True}, 5),
    "sagan's generator": ("sagan-generator", {}, 4),
    "sagan's discriminator": ("sagan-discriminator", {}, 4),
}


@pytest.mark.parametrize(("name", "arguments", "layers"), SPECTRALLY_NORMALISED.values(), ids=SPECTRALLY_NORMALISED)
@torch.no_grad()
def test_spectral_norm_brings_the_largest_singular_value_to_one(name, arguments, layers):
    torch.manual_seed(0)
    network = NETWORKS[name](width=16, **arguments)
    normalised = [module for module in network.modules() if hasattr(module, "parametrizations")]
    assert len(normalised) == layers
    for module in normalised:
        for _ in range(500):  # in training, every use of the weight is a step of the power iteration
            weight = module.weight
        outputs = 1 if isinstance(module, nn.ConvTranspose2d) else 0
        largest = torch.linalg.svdvals(weight.transpose(0, outputs).flatten(1))[0].item()
        assert largest == pytest.approx(1, abs=1e-3)
