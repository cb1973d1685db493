"""A run's checkpoint and weights, written by a thread while training goes on, and its parts given their state back."""

import copy
import io
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.weights import write_weights
from runtime.files import naming, replacing, write_synced

Stateful = Any  # anything with state_dict and load_state_dict: networks, optimizers, averages


class Saver:
    """Writes the checkpoint.pt and the weights files of a run directory, one checkpoint after another.

    They hold the state at the call of `save`, whatever training does to it afterwards. Leaving `thread`, a context, one
    waits for what is still being written.
    """

    def __init__(self, folder: Path):
        self.folder, self.thread = folder, ThreadPoolExecutor(1)
        self._written: Future[None] | None = None
        self._begun = time.monotonic()  # the last checkpoint, or the run

    def is_due(self, seconds: float) -> bool:
        """Whether the last checkpoint was begun that long ago."""
        return time.monotonic() - self._begun >= seconds

    def save(
        self, state: dict[str, Any], weights: tuple[nn.Module, str, dict], about: dict[str, Any], kept: str = ""
    ) -> None:
        """Have `state` and `weights` = (network, name, arguments) written, these also as the file `kept`, if given.

        Waits for the checkpoint before; raises what `check` does.
        """
        self.check(wait=True)
        self._begun = time.monotonic()
        network, *described = weights
        state, tensors = _on_host([state, network.state_dict()])
        device = next(network.parameters()).device
        arrived = torch.cuda.current_stream(device).record_event() if device.type == "cuda" else None
        names = ["weights.safetensors"] + [kept] * bool(kept)

        def write() -> None:
            if arrived:
                arrived.synchronize()
            buffer, path = io.BytesIO(), self.folder / "checkpoint.pt"
            torch.save(state, buffer)
            # The checkpoint is in place last: killed before, these steps are done again, and the weights with them.
            with naming(path), replacing(path) as temporary:
                write_synced(temporary, buffer.getbuffer())
                for name in names:
                    write_weights(self.folder / name, tensors, *described, about)

        self._written = self.thread.submit(write)

    def check(self, wait: bool = False) -> None:
        """Raise the error, of a full disk say, in which writing has ended; with `wait`, once it has ended."""
        if self._written and (wait or self._written.done()):
            self._written.result()


@torch.no_grad()
def _on_host(value: Any) -> Any:
    """`value` with the tensors in its dictionaries and lists copied into host memory, which a GPU does in its turn."""
    if isinstance(value, Tensor):
        copied = torch.empty_like(value, device="cpu", pin_memory=value.is_cuda)
        return copied.copy_(value, non_blocking=True)
    if isinstance(value, dict):
        copied = copy.copy(value)  # a network's state also says of which versions its layers are
        copied.update((key, _on_host(part)) for key, part in value.items())
        return copied
    return type(value)(map(_on_host, value)) if isinstance(value, list | tuple) else value


def load_part(part: Stateful, state: dict[str, Any]) -> None:
    """Load `state` into `part`; raises an error when it is of another network or another kind of optimizer.

    An optimizer's settings are the run's, which may have been changed, not those it was saved with.
    """
    if not isinstance(part, torch.optim.Optimizer):
        part.load_state_dict(state)
        return
    settings = [{key: value for key, value in group.items() if key != "params"} for group in part.param_groups]
    if state["param_groups"][0].keys() != part.param_groups[0].keys():
        raise ValueError("another kind of optimizer")
    part.load_state_dict(state)
    for group, own in zip(part.param_groups, settings, strict=True):
        group.update(own)
