"""Numbers that are not finite: found in the state of training, or kept out of it by skipping the update."""

from typing import Any

import torch
from torch import Tensor, nn


class UpdateGuard:
    """Has optimizers skip updates whose gradient is not finite, and counts them.

    Networks' buffers then return to their values before the step: batch norm would keep what was not finite. `parts`
    are networks and optimizers by name. `limit` is how many steps in a row may skip updates; with 0 none is skipped.
    """

    def __init__(self, parts: dict[str, Any], limit: int):
        self.limit = limit
        self.skipped = 0  # updates in the run
        self.in_a_row = 0  # steps with such updates, the last one included
        self._bad = 0  # updates in this step
        self._networks = [part for part in parts.values() if isinstance(part, nn.Module)]
        self._buffers: list[tuple[Tensor, Tensor]] = []
        for part in parts.values() if limit else ():
            if isinstance(part, torch.optim.Optimizer):
                part.register_step_pre_hook(self._skip_if_bad)

    def begin_step(self) -> None:
        """Remember the networks' buffers."""
        if self.limit:
            self._buffers = [(buffer, buffer.clone()) for part in self._networks for buffer in part.buffers()]

    def end_step(self) -> bool:
        """Whether an update was skipped in this step."""
        bad = self._bad > 0
        self.in_a_row = self.in_a_row + 1 if bad else 0
        self.skipped, self._bad = self.skipped + self._bad, 0
        return bad

    def _skip_if_bad(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        """Have `optimizer` change nothing in this update if its gradient's norm is not finite."""
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if torch.nn.utils.get_total_norm(gradients).isfinite():
            return
        self._bad += 1
        for parameter in parameters:
            parameter.grad = None  # what has no gradient is left alone by every optimizer
        for buffer, before in self._buffers:
            buffer.data.copy_(before)


def not_finite(parts: dict[str, Any]) -> str:
    """Which of the networks and optimizers in `parts` holds a number that is not finite, in words; empty for none."""
    for name, part in parts.items():
        if isinstance(part, nn.Module):
            what, values = f"a weight of the {name}", list(part.parameters())
        elif isinstance(part, torch.optim.Optimizer):
            states = part.state.values()
            what, values = f"the state of {name}", [value for state in states for value in state.values()]
        else:
            continue
        if not all(value.isfinite().all() for value in values if isinstance(value, Tensor)):
            return what
    return ""
