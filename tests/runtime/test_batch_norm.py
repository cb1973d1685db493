"""Batch norm over processes is PyTorch's batch norm where there is one; tests/training/test_processes.py has two."""

import copy

import pytest
import torch
from torch import nn

from runtime.batch_norm import frozen_statistics, over_processes


@pytest.mark.parametrize(("layer", "shape"), [(nn.BatchNorm1d, (8, 3)), (nn.BatchNorm2d, (4, 3, 5, 6))])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_it_does_what_batch_norm_does(layer, shape, momentum):
    torch.manual_seed(0)
    expected = nn.Sequential(layer(3, momentum=momentum))
    nn.init.normal_(expected[0].weight)
    nn.init.normal_(expected[0].bias)
    found = copy.deepcopy(expected)
    over_processes(found)
    for step in range(3):
        features, weights, results = torch.randn(shape) * 3 + 5, torch.randn(shape), []
        for network in (expected, found):
            inputs = features.clone().requires_grad_()
            output = network(inputs)
            (output * weights).sum().backward()
            results.append([output, inputs.grad, *(value.grad for value in network.parameters()), *network.buffers()])
        for one, other in zip(*results, strict=True):
            torch.testing.assert_close(other, one, atol=1e-4, rtol=1e-4)
        assert found[0].num_batches_tracked == step + 1
    features = torch.randn(shape)
    torch.testing.assert_close(found.eval()(features), expected.eval()(features), atol=1e-4, rtol=1e-4)
    before = found[0].running_mean.clone()
    with frozen_statistics(found.train()):
        found(features)
    assert torch.equal(found[0].running_mean, before)
    assert found(features.bfloat16()).dtype == torch.bfloat16
