"""The U-Nets of diffusion."""

import pytest
import torch

from models import NETWORKS
from models.attention_unet import AttentionUNet, sinusoids
from models.context_unet import ContextUNet
from models.diffusion import Diffusion
from models.guidance import NO_LABEL
from models.residual_unet import ResidualUNet

UNETS = ["context-unet", "attention-unet"]


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameter_counts():
    assert count(ContextUNet(width=128)) == 6_590_211
    assert count(AttentionUNet(width=64)) == 23_335_299
    assert count(ResidualUNet(width=96)) == 5_816_172
    assert count(ResidualUNet(width=128, classes=0, fold=4, size=64)) == 10_403_504


@pytest.fixture(params=UNETS)
def unet(request):
    torch.manual_seed(0)
    return NETWORKS[request.param](width=8)


def test_it_carries_its_process(unet):
    kind = type(unet)
    evenly = (1, 0.8, 0.6, 0.4, 0.2, 0)  # report 004 shows t = 1000, 800, … 0; 002, from 500: 500, 300, 100, 60, 40, 0
    snapshots = (1, 0.6, 0.2, 0.12, 0.08, 0) if kind is ContextUNet else evenly
    process = Diffusion(30, "cosine", "v", snapshots)
    assert kind(width=8, steps=30, schedule="cosine", prediction="v").diffusion == process
    assert ContextUNet(width=8).diffusion == Diffusion(500)
    assert AttentionUNet(width=8).diffusion == Diffusion(1000, snapshots=evenly)
    assert not any("diffusion" in key for key in unet.state_dict())


def test_a_step_changes_every_parameter(unet):
    images, times, labels = torch.randn(4, 3, 28, 28), torch.tensor([0.1, 0.5, 0.9, 1.0]), torch.tensor([0, 3, 9, -1])
    output = unet(images, times, labels)
    assert output.shape == images.shape
    output.square().mean().backward()
    for name, parameter in unet.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@torch.no_grad()
def test_time_and_label_make_a_difference(unet):
    unet.eval()
    image = torch.randn(1, 3, 28, 28)

    def output(time, label):
        return unet(image, torch.tensor([time]), torch.tensor([label]))

    base = output(0.5, 3)
    assert torch.equal(base, output(0.5, 3))
    for other in (output(0.502, 3), output(0.5, 4), output(0.5, NO_LABEL)):
        assert not torch.equal(base, other)


@torch.no_grad()
def test_images_do_not_mind_their_neighbours(unet):
    """Both halves of guidance go through in one batch."""
    unet.eval()
    images, times, labels = torch.randn(3, 3, 28, 28), torch.tensor([0.2, 0.4, 1.0]), torch.tensor([5, NO_LABEL, 7])
    together = unet(images, times, labels)
    for index in range(3):
        alone = unet(images[index : index + 1], times[index : index + 1], labels[index : index + 1])
        torch.testing.assert_close(together[index : index + 1], alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_time_is_exact_in_bf16():
    """499/500 and 1 are the same number in bfloat16, but not to the network."""
    unet = ContextUNet(width=8).eval()
    seen = []
    unet.time1.register_forward_hook(lambda _module, inputs, output: seen.append((inputs[0].dtype, output.dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        unet(torch.randn(2, 3, 28, 28), torch.tensor([0.998, 1.0]), torch.tensor([1, 2]))
    assert seen == [(torch.float32, torch.float32)]


def test_sinusoids():
    encoding = sinusoids(torch.tensor([0.0, 0.25]), 8)
    assert encoding[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    frequencies = torch.tensor([1, 0.1, 0.01, 0.001])
    torch.testing.assert_close(encoding[1], torch.cat([(250 * frequencies).sin(), (250 * frequencies).cos()]))


def test_the_direct_path_adds_the_input_times_a_gain_of_the_time():
    torch.manual_seed(0)
    arguments = {"width": 4, "classes": 0, "fold": 4, "size": 64}
    plain, direct = ResidualUNet(**arguments), ResidualUNet(**arguments, direct=True)
    missing, foreign = direct.load_state_dict(plain.state_dict(), strict=False)
    assert sorted(missing) == ["direct.bias", "direct.weight"] and not foreign
    images, times = torch.randn(2, 3, 64, 64), torch.tensor([-0.5, 0.5])
    assert torch.equal(direct(images, times), plain(images, times))
    torch.nn.init.normal_(direct.direct.weight)
    gains = (direct(images, times) - plain(images, times)) / images
    assert torch.allclose(gains, gains[:, :1, :1, :1].expand_as(gains), rtol=1e-3)
    assert (gains[0, 0, 0, 0] - gains[1, 0, 0, 0]).abs() > 1e-2
