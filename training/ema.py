"""An exponential moving average of a network's weights, to sample from."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from runtime.batch_norm import batch_norms
from runtime.device import Execution


class EMA:
    """A copy of `network` whose parameters follow it slowly: p ← decay·p + (1 - decay)·p_live, after every step.

    The decay is warmed up as min(decay, (1 + step) / (10 + step)), so that the first, random weights are soon
    forgotten; with `share`, so that its half-life is at most this share of the steps done (Karras et al., *Training
    GANs with Limited Data*, NeurIPS 2020, in its code), for weights that soon become better. Buffers are copied
    when the average is next used. Batch norm statistics of averaged weights are neither the live network's nor their
    average: `estimate_batch_norm` measures them before sampling. With decay 0 this is a plain copy.
    (Karras et al., *Progressive Growing of GANs*, ICLR 2018, section 6: the generator's average makes the samples.)
    """

    def __init__(self, network: nn.Module, decay: float, share: float = 0.0):
        self.decay, self.share = decay, share
        self._network = copy.deepcopy(network).eval().requires_grad_(False)
        self._parameters = list(self._network.parameters())
        self._followed: nn.Module | None = None  # whose buffers are newer

    @property
    def network(self) -> nn.Module:
        """The network with the EMA of the weights."""
        if self._followed is not None:
            for average, live in zip(self._network.buffers(), self._followed.buffers(), strict=True):
                average.copy_(live)
            self._followed = None
        return self._network

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Follow `network` after its update number `step`, counted from 0."""
        early = 0.5 ** (1 / (self.share * (step + 1))) if self.share else (1 + step) / (10 + step)
        decay = min(self.decay, early)
        torch._foreach_lerp_(self._parameters, list(network.parameters()), 1 - decay)
        self._followed = network

    def state_dict(self) -> dict[str, Tensor]:
        """The state of `network`."""
        return self.network.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take a state of `network` back."""
        self._network.load_state_dict(state)
        self._followed = None


@torch.no_grad()
def estimate_batch_norm(
    network: nn.Module, inputs: Iterable[Tensor | tuple[Tensor, ...]], execution: Execution
) -> None:
    """Measure batch norm's means and variances of `network` anew over batches of `inputs`; it ends in evaluation mode.

    A batch is the network's argument, or a tuple of its arguments. Spectral norm's singular vectors follow along.
    Dropout stays off, as it is when the network is used. Without batch norm there is nothing to do.
    """
    norms = batch_norms(network)
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over all batches
    network.train()
    for module in network.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
    for batch in inputs:
        arguments = batch if isinstance(batch, tuple) else (batch,)
        with execution.autocast():
            network(*(argument.to(execution.device) for argument in arguments))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
