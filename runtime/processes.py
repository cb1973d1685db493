"""One process or several: `torchrun --nproc-per-node 2 train_….py …` trains one network on all of them."""

import os

import torch
import torch.distributed as dist
from torch import nn
from torch.autograd import Variable

from runtime.errors import UserError


def join_processes(device: str) -> str:
    """Join the group that torchrun started, if it did, and return the device this process is to use.

    nccl between GPUs, one a process; gloo between CPUs. Raises UserError where a process finds no GPU of its own.
    """
    if "RANK" not in os.environ:
        return device
    on_gpus = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    local, found = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if on_gpus and local >= found:
        raise UserError(f"no GPU for process {local} of this machine ({found} found): start fewer, or use --device cpu")
    if on_gpus:
        torch.cuda.set_device(local)  # else every process would also hold memory on the first
    if not dist.is_initialized():
        dist.init_process_group("nccl" if on_gpus else "gloo")
    return f"cuda:{local}" if on_gpus else device


def leave_processes() -> None:
    """Leave the group, if this process is in one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def process_number() -> int:
    """The number, from 0, of this process among them."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this process writes the files and speaks; exactly one does."""
    return process_number() == 0


def share_of(batch_size: int) -> slice:
    """The part of every global batch that this process takes.

    Noise and data order are drawn for the global batch, so they do not depend on how many processes share it; batch
    norm on CPUs, and losses that compare the predictions of a batch, do.
    Raises UserError when the batch cannot be divided equally, or when batch norm would see single pictures.
    """
    size = world_size()
    if batch_size % size:
        raise UserError(f"--batch-size {batch_size} cannot be shared by {size} processes: use a multiple of {size}")
    share = batch_size // size
    if size > 1 and share < 2:
        raise UserError(f"--batch-size {batch_size} is one picture for each process: use {2 * size} or more")
    return slice(process_number() * share, (process_number() + 1) * share)


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


def mean_over_processes(values: torch.Tensor) -> torch.Tensor:
    """The mean of `values` over all processes."""
    if world_size() > 1:
        dist.all_reduce(values)
        values /= world_size()
    return values


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether `flag` is set in any process, so that all stop at the same step."""
    if world_size() == 1:
        return flag
    votes = torch.tensor(float(flag), device=device)
    dist.all_reduce(votes)
    return votes.item() > 0
