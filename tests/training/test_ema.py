import pytest
import torch
from torch import nn

from models.dcgan import DCGANGenerator
from models.pixelshuffle import PixelShuffleGenerator
from models.sagan import SAGANGenerator
from runtime.device import Execution
from training.ema import EMA, estimate_batch_norm

EXECUTION = Execution(torch.device("cpu"))


def change(network, step):
    """Stand-in for a training step: other parameters and buffers."""
    torch.manual_seed(step)
    for value in [*network.parameters(), *network.buffers()]:
        value.data = torch.randn(value.shape).to(value.dtype) if value.is_floating_point() else value + step


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_parameters_are_averaged_and_buffers_copied(decay):
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = EMA(network, decay)
    expected = {name: parameter.detach().double() for name, parameter in network.named_parameters()}
    for step in range(30):
        change(network, step)
        average.update(network, step)
        used = min(decay, (1 + step) / (10 + step))
        for name, parameter in network.named_parameters():
            expected[name] = used * expected[name] + (1 - used) * parameter.detach().double()
    for name, parameter in average.network.named_parameters():
        torch.testing.assert_close(parameter.double(), expected[name])
        assert not parameter.requires_grad
    for name, buffer in average.network.named_buffers():
        assert torch.equal(buffer, network.get_buffer(name))
    if decay == 0:
        assert torch.equal(average.network[0].weight, network[0].weight)


def test_the_live_network_stays_as_it_is():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    average = EMA(network, 0.9)
    change(average.network, 1)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_an_average_goes_on_from_its_state():
    network = nn.Linear(3, 4)
    one = EMA(network, 0.5)
    change(network, 1)
    one.update(network, 20)
    other = EMA(nn.Linear(3, 4), 0.5)
    other.load_state_dict(one.state_dict())
    for average in (one, other):
        average.update(network, 21)
    assert torch.equal(one.network.weight, other.network.weight)


@pytest.mark.parametrize("generator", [DCGANGenerator(6, 8), PixelShuffleGenerator(6, 8), SAGANGenerator(6, 8)])
def test_batch_norm_is_measured_anew(generator):
    norms = [module for module in generator.modules() if isinstance(module, nn.BatchNorm2d)]
    seen = {norm: [] for norm in norms}
    for norm in norms:
        norm.running_mean.fill_(7)
        norm.register_forward_pre_hook(lambda norm, inputs: seen[norm].append(inputs[0].clone()))
    parameters = [parameter.clone() for parameter in generator.parameters()]

    estimate_batch_norm(generator.eval(), torch.randn(5, 16, 6), EXECUTION)

    for norm in norms:
        assert len(seen[norm]) == 5
        means = torch.stack([features.mean((0, 2, 3)) for features in seen[norm]])
        variances = torch.stack([features.var((0, 2, 3)) for features in seen[norm]])
        torch.testing.assert_close(norm.running_mean, means.mean(0))
        torch.testing.assert_close(norm.running_var, variances.mean(0))
        assert norm.momentum == 0.1
    assert not any(module.training for module in generator.modules())
    assert all(map(torch.equal, generator.parameters(), parameters))


def test_dropout_stays_off_while_batch_norm_is_measured():
    generator, latents = PixelShuffleGenerator(6, 8, dropout=0.5), torch.randn(2, 16, 6)
    statistics = []
    for _ in range(2):
        estimate_batch_norm(generator, latents, EXECUTION)
        statistics.append(generator.layers[-6].running_mean.clone())
    assert torch.equal(*statistics)


def test_half_lives_follow_the_steps_done_up_to_the_decay():
    """The network is 1 up to some step and 0 from there on: the average halves in a tenth of the steps done."""

    def left_after(start, steps):
        network = nn.Linear(1, 1, bias=False)
        network.weight.data.fill_(1.0)
        average = EMA(network, decay=0.5 ** (1 / 200), share=0.1)
        network.weight.data.zero_()
        for step in range(start, start + steps):
            average.update(network, step)
        return average.network.weight.item()

    assert left_after(999, 100) == pytest.approx(0.5, abs=0.02)  # a little more, for the half-life grows on the way
    assert left_after(1_000_000, 200) == pytest.approx(0.5, abs=1e-3)  # the decay's own half-life is shorter there
    assert left_after(0, 5) < 1e-2
