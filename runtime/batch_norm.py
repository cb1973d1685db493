"""Batch norm over the images of all processes, and batch norm that keeps its running statistics to itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from runtime.processes import sum_over_processes, world_size


class GlobalBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the global batch, of which every process has an equal share.

    Sums and sums of squares are added up in float32 in one message per layer, whose gradient is one message, too; the
    host waits for neither. (Ioffe, Szegedy, *Batch Normalization*, ICML 2015, algorithm 1.)
    """

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, ...) normalised, in their own precision."""
        if not self.training:
            return super().forward(features)
        values, dims = features.float(), [dim for dim in range(features.dim()) if dim != 1]
        count = world_size() * features.numel() // features.shape[1]
        mean, square = sum_over_processes(torch.stack([values.sum(dims), values.square().sum(dims)])) / count
        variance = (square - mean.square()).clamp_min(0)
        if self.track_running_stats:
            self._follow(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        shape = [1, -1] + [1] * (features.dim() - 2)
        return (values * scale.view(shape) + (self.bias - mean * scale).view(shape)).to(features.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        self.num_batches_tracked += 1
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)

    def _check_input_dim(self, features: Tensor) -> None:
        """Any number of dimensions will do."""


def over_processes(network: nn.Module) -> None:
    """Have batch norm of `network` see the global batch; its layers stay, with their parameters, and change class."""
    for norm in batch_norms(network):
        norm.__class__ = GlobalBatchNorm


def batch_norms(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The layers of batch norm in `network`."""
    return [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


@contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Within, batch norm of `network`, in training mode, leaves its running statistics as they are.

    For a second pass in a step, over features to be judged or over a part of the batch: the step's own counts.
    """
    norms = batch_norms(network)
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


@contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Within, batch norm of `network`, in evaluation mode, normalises by its batch; its running statistics stay."""
    norms = batch_norms(network)
    with frozen_statistics(network):
        for norm in norms:
            norm.train()
        try:
            yield
        finally:
            for norm in norms:
                norm.eval()
