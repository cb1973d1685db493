"""What the next step needs, made by a thread while a step runs."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property

import torch
from torch import Tensor

from runtime.device import to_device

ALIGNMENT = 16  # bytes; a tensor of any type may begin at a multiple of it


class Ahead:
    """Tensors that `make(number)` makes on the host, on `device`; the next are made by a thread meanwhile.

    Any number may be asked for; who asks in order finds it made. To a GPU all tensors of a number go in one copy from
    pinned memory, on a stream of its own, so that neither the host nor the step that runs waits for it.
    """

    def __init__(self, make: Callable[[int], Iterable[Tensor]], device: torch.device | str):
        self.make, self.device, self._thread = make, torch.device(device), ThreadPoolExecutor(1)
        self._next: tuple[int, Future[tuple[list[Tensor], Tensor | None]]] | None = None

    def __call__(self, number: int) -> list[Tensor]:
        """What `make` makes of this number; raises its error."""
        if self._next is None or self._next[0] != number:
            self._next = (number, self._thread.submit(self._made, number))
        tensors, packed = self._next[1].result()
        self._next = (number + 1, self._thread.submit(self._made, number + 1))
        return tensors if packed is None else unpack(self._copy(packed), tensors)

    def _made(self, number: int) -> tuple[list[Tensor], Tensor | None]:
        """The tensors on the host, and packed where they must be copied."""
        tensors = list(self.make(number))
        return tensors, None if self.device.type == "cpu" else pack(tensors, pinned=self.device.type == "cuda")

    def _copy(self, packed: Tensor) -> Tensor:
        if self.device.type != "cuda":
            return to_device(packed, self.device)
        with torch.cuda.stream(self._stream):
            copy = to_device(packed, self.device)
        stream = torch.cuda.current_stream(self.device)
        stream.wait_stream(self._stream)
        copy.record_stream(stream)  # its memory is not given to a later copy before this stream has read it
        return copy

    @cached_property
    def _stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self.device)


def pack(tensors: Sequence[Tensor], pinned: bool = False) -> Tensor:
    """All values of `tensors` (on the CPU) as one of bytes (n,), each from a multiple of `ALIGNMENT`."""
    rooms = [_room(tensor) for tensor in tensors]
    packed = torch.empty(sum(rooms), dtype=torch.uint8, pin_memory=pinned)
    for tensor, place in zip(tensors, packed.split(rooms), strict=True):
        place[: tensor.nbytes] = tensor.contiguous().flatten().view(torch.uint8)
    return packed


def unpack(packed: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors that were packed: views of `packed` with the types and shapes of `tensors`."""
    places = packed.split([_room(tensor) for tensor in tensors])
    return [
        place[: tensor.nbytes].view(tensor.dtype).view(tensor.shape)
        for place, tensor in zip(places, tensors, strict=True)
    ]


def _room(tensor: Tensor) -> int:
    """Bytes of a tensor, up to the place where the next one begins."""
    return -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT
