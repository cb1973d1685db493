"""What the next step needs, made by a thread while a step runs."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from runtime.device import to_device


class Ahead:
    """Tensors that `make(number)` makes on the host, on `device`; the next are made by a thread meanwhile.

    Any number may be asked for; who asks in order finds it made.
    """

    def __init__(self, make: Callable[[int], Iterable[Tensor]], device: torch.device | str):
        self.make, self.device, self._thread = make, device, ThreadPoolExecutor(1)
        self._next: tuple[int, Future[Iterable[Tensor]]] | None = None

    def __call__(self, number: int) -> list[Tensor]:
        """What `make` makes of this number; raises its error."""
        if self._next is None or self._next[0] != number:
            self._next = (number, self._thread.submit(self.make, number))
        made = self._next[1].result()
        self._next = (number + 1, self._thread.submit(self.make, number + 1))
        return [to_device(tensor, self.device) for tensor in made]
