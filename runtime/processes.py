"""One process or several: `torchrun --nproc-per-node 2 train_….py …` trains one network on all of them."""

import atexit
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.distributed.nn  # imported later, its defaults would keep the group and its threads to the end
from torch import nn
from torch.autograd import Variable

from runtime.errors import UserError

Item, Result = TypeVar("Item"), TypeVar("Result")
_alone = ContextVar("alone", default=False)  # whether this thread works for itself at present


def join_processes(device: str) -> str:
    """Join the group that torchrun started, if it did, and return the device this process is to use.

    nccl between GPUs, one a process; gloo between CPUs. Raises UserError where a process finds no GPU of its own, and
    where SLURM has started several that know nothing of each other.
    """
    if "RANK" not in os.environ:
        if int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
            raise UserError("srun started several processes that would work apart: use sbatch scripts/train.slurm")
        return device
    on_gpus = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    local, found = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if on_gpus and local >= found:
        raise UserError(f"no GPU for process {local} of this machine ({found} found): start fewer, or use --device cpu")
    if on_gpus:
        torch.cuda.set_device(local)  # else every process would also hold memory on the first
    if not dist.is_initialized():
        dist.init_process_group("nccl" if on_gpus else "gloo")
        atexit.register(leave_processes)
    return f"cuda:{local}" if on_gpus else device


def leave_processes() -> None:
    """Leave the group, if this process is in one.

    gloo's threads end here: one that still held a tensor when the interpreter ends would abort the process.
    """
    if dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    """How many processes work together."""
    return dist.get_world_size() if dist.is_initialized() and not _alone.get() else 1


def process_number() -> int:
    """The number, from 0, of this process among them."""
    return dist.get_rank() if dist.is_initialized() and not _alone.get() else 0


def is_first() -> bool:
    """Whether this process writes the files and speaks; exactly one does."""
    return process_number() == 0


def share_of(batch_size: int) -> slice:
    """The part of every global batch that this process takes.

    Noise and data order are drawn for the global batch, so they do not depend on how many processes share it; what a
    network drops in training does.
    Raises UserError when the batch cannot be divided equally, or when batch norm would see single pictures.
    """
    size = world_size()
    if batch_size % size:
        raise UserError(f"--batch-size {batch_size} cannot be shared by {size} processes: use a multiple of {size}")
    share = batch_size // size
    if size > 1 and share < 2:
        raise UserError(f"--batch-size {batch_size} is one picture for each process: use {2 * size} or more")
    return slice(process_number() * share, (process_number() + 1) * share)


@contextmanager
def alone() -> Iterator[None]:
    """Within, this process works for itself, on all there is to do: nobody waits for another."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def own_share(items: Sequence[Item]) -> Sequence[Item]:
    """Those of `items` that this process works on: as many, or one less, than any other."""
    count, size, number = len(items), world_size(), process_number()
    return items[count * number // size : count * (number + 1) // size]


def of_all_shares(results: list[Result]) -> list[Result]:
    """What all processes have made of their `own_share`, in the order of the items, in each."""
    return [result for share in of_all(results) for result in share]


def leave_to_first() -> None:
    """End here, with status 0, all processes but the first: what remains to be done cannot be shared."""
    if not is_first():
        sys.exit()


def share_weights(network: nn.Module) -> None:
    """Give all processes the first one's parameters and buffers: two kinds of CPU may not compute the same ones."""
    for value in (*network.parameters(), *network.buffers()) if world_size() > 1 else ():
        dist.broadcast(value.detach(), 0)


def average_gradients(network: nn.Module) -> None:
    """From now on every backward pass ends with the gradients of `network` averaged over the processes.

    Each gradient sets out as soon as it is whole, while the rest of the pass goes on. What requires no gradient, as a
    discriminator in its generator's update, is not sent around.
    """
    pending = []

    def wait() -> None:
        for work in pending:
            work.wait()
        pending.clear()

    def send(parameter: torch.Tensor) -> None:
        if not pending:
            Variable._execution_engine.queue_callback(wait)  # at the end of this backward pass
        parameter.grad /= world_size()
        pending.append(dist.all_reduce(parameter.grad, async_op=True))

    for parameter in network.parameters():
        parameter.register_post_accumulate_grad_hook(send)


class _Sum(torch.autograd.Function):
    """What every process adds to the sum, every process's loss may depend on: gradients are added, too."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor) -> torch.Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        return _Sum.apply(gradient)


def sum_over_processes(values: torch.Tensor) -> torch.Tensor:
    """The sum of `values` over all processes, through which gradients flow, also twice."""
    return _Sum.apply(values) if world_size() > 1 else values


def mean_over_processes(values: torch.Tensor) -> torch.Tensor:
    """The mean of `values` over all processes, through which gradients flow."""
    return sum_over_processes(values) / world_size() if world_size() > 1 else values


def of_all(value: Result) -> list[Result]:
    """The values of all processes, in each; the host waits for them."""
    values = [value] * world_size()
    if world_size() > 1:
        dist.all_gather_object(values, value)
    return values


def from_first(make: Callable[[], Result]) -> Result:
    """What `make` returns in the first process, in all of them; so is any error that it raises there."""
    if world_size() == 1:
        return make()
    outcome: list[Any] = [None]
    if is_first():
        try:
            outcome = [make()]
        except Exception as error:
            outcome = [error]
    dist.broadcast_object_list(outcome)
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def check_agreement(what: str, make: Callable[[], object]) -> None:
    """Raise UserError, in all processes, unless `make` returns the same in all of them."""
    if dist.is_initialized():
        values = of_all(make())
        for process, value in enumerate(values):
            if value != values[0]:
                raise UserError(f"process {process} has other {what} than the first: start all processes alike")


def restarted() -> bool:
    """Whether this training goes on after a process has failed, or in a job that SLURM has queued again."""
    counts = (os.environ.get(f"{starter}_RESTART_COUNT", "0") for starter in ("TORCHELASTIC", "SLURM"))
    return any(of_all(any(map(int, counts))))
