import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from models import NETWORKS
from models.acgan import ACGAN28Generator, ACGAN64Discriminator, ACGAN64Generator, joint_logits, uniform_label_loss

PAIRS = {"acgan28": 28, "acgan64": 64}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("acgan28-generator", 903_448),
        ("acgan28-discriminator", 102_928),
        ("acgan64-generator", 3_741_727),
        ("acgan64-discriminator", 2_848_459),
    ],
)
def test_parameter_counts(name, count):
    """Counted by hand from the reports' layers: convolutions of D1 without biases, of D2 with."""
    assert sum(parameter.numel() for parameter in NETWORKS[name]().parameters()) == count


def test_sizes_on_the_way_to_28():
    sizes = []
    generator = ACGAN28Generator(width=2).eval()
    for layer in generator.layers:
        if isinstance(layer, nn.ConvTranspose2d):
            layer.register_forward_hook(lambda _module, _inputs, output: sizes.append(output.shape[2]))
    generator(torch.randn(1, 100), torch.tensor([3]))
    assert sizes == [4, 8, 16, 15, 28]


def test_acgan64_is_dcgan_with_an_embedded_label():
    generator, discriminator = ACGAN64Generator(), ACGAN64Discriminator()
    assert (generator.embedding.in_features, generator.embedding.out_features) == (10, 20)
    assert generator.generator.layers[0].in_channels == 120
    assert discriminator.discriminator.layers[-1].out_channels == 11


@pytest.mark.parametrize(("name", "size"), PAIRS.items())
def test_shapes_ranges_and_one_step(name, size):
    torch.manual_seed(0)
    generator = NETWORKS[f"{name}-generator"](latent_size=12, width=4)
    discriminator = NETWORKS[f"{name}-discriminator"](width=4)
    latents, labels = torch.randn(6, 12), torch.arange(6)
    images = generator(latents, labels)
    assert images.shape == (6, 3, size, size)
    assert images.abs().max() <= 1
    source, classes = discriminator(images)
    assert source.shape == (6, 1)
    assert classes.shape == (6, 10)

    networks = nn.ModuleList([generator, discriminator])
    (source.square().mean() + cross_entropy(classes, labels)).backward()
    for parameter in networks.parameters():
        assert parameter.grad.isfinite().all()
    # Batch norm takes away biases before it; all else must be taught.
    taught = [p for p in networks.parameters() if p.grad.abs().max() > 0]
    assert len(taught) >= sum(1 for p in networks.parameters() if p.ndim > 1)


@pytest.mark.parametrize("name", PAIRS)
def test_the_label_makes_a_difference(name):
    generator = NETWORKS[f"{name}-generator"](latent_size=12, width=4).eval()
    latents = torch.randn(1, 12)
    assert not torch.equal(generator(latents, torch.tensor([1])), generator(latents, torch.tensor([2])))


def test_the_uniform_label_loss_is_the_cross_entropy_with_the_uniform_distribution():
    logits = torch.randn(6, 10, generator=torch.Generator().manual_seed(0))
    expected = cross_entropy(logits, torch.full((6, 10), 0.1))
    assert uniform_label_loss(logits).item() == pytest.approx(expected.item(), rel=1e-6)
    assert uniform_label_loss(torch.zeros(6, 10)).item() == pytest.approx(math.log(10))  # the least


def test_joint_logits_are_log_probabilities_together():
    source, classes, labels = torch.randn(6, 1), torch.randn(6, 10), torch.arange(6)
    expected = source[:, 0] - torch.stack(
        [cross_entropy(row, label) for row, label in zip(classes, labels, strict=True)]
    )
    torch.testing.assert_close(joint_logits(source, classes, labels)[:, 0], expected)
