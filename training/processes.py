"""One process or several: `torchrun --nproc-per-node 2 train_….py …` trains one network on all of them."""

import os

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from runtime.device import Execution
from runtime.errors import UserError


def join_processes(device: str) -> str:
    """Join the group that torchrun started, if it did, and return the device this process is to use.

    nccl between GPUs, one a process; gloo between CPUs.
    """
    if "RANK" not in os.environ:
        return device
    on_gpus = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if on_gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # else every process would also hold memory on the first
    if not dist.is_initialized():
        dist.init_process_group("nccl" if on_gpus else "gloo")
    return f"cuda:{os.environ['LOCAL_RANK']}" if on_gpus else device


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


def in_parallel(network: nn.Module, execution: Execution) -> nn.Module:
    """`network` with its gradients averaged over the processes; it shares its parameters, so save the plain one."""
    if world_size() == 1:
        return network
    devices = [execution.device.index] if execution.device.type == "cuda" else None
    # Batch norm statistics are never broadcast: on GPUs SyncBatchNorm keeps them equal, on CPUs the first's are saved.
    return DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False)


def synchronise_batch_norm(network: nn.Module, execution: Execution) -> nn.Module:
    """`network` with batch norm over the global batch, where that exists (several GPUs)."""
    if world_size() > 1 and execution.device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return network


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
