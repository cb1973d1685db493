"""Batch norm that takes a batch as it comes and keeps its running statistics to itself."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Within, batch norm of `network`, in training mode, leaves its running statistics as they are.

    For a second pass in a step, over features to be judged or over a part of the batch: the step's own counts.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
