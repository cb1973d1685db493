"""Where and how networks run: device, precision, memory format and compilation, decided here and nowhere else."""

import ctypes
import os
import re
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from runtime.batch_norm import over_processes
from runtime.errors import UserError
from runtime.processes import average_gradients, join_processes, share_weights, world_size
from runtime.settings import Settings

Precision = Literal["auto", "float32", "tf32", "bf16"]
Compile = Literal["off", "default", "cuda-graphs"]


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """`tensor` on `device`; on its way to a GPU from pinned memory, so that nobody waits for it."""
    if tensor.is_cpu and torch.device(device).type == "cuda" and not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


@dataclass(kw_only=True)
class OnDevice(Settings):
    """Settings of a command that runs networks."""

    device: str = "auto"
    """auto (a GPU if there is one), cpu, cuda or cuda:N."""


@dataclass(kw_only=True)
class InPrecision(OnDevice):
    """Settings of a command that runs networks in any precision."""

    precision: Precision = "float32"
    """float32, bf16 (mixed), tf32 (GPUs only), or auto: bf16 where the hardware computes in it."""


@dataclass(frozen=True)
class Execution:
    """How networks run. Parameters stay float32; with bf16, convolutions and products run in bfloat16.

    With tf32, GPUs round what is multiplied to 10 bits of fraction; float32 is IEEE's on every device.
    """

    device: torch.device
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    channels_last: bool = True
    compile: Compile = "off"

    def place(self, network: nn.Module) -> nn.Module:
        """`network` moved to the device in the chosen memory format."""
        memory_format = torch.channels_last if self.channels_last else torch.contiguous_format
        return network.to(self.device, memory_format=memory_format)

    def prepare(self, network: nn.Module) -> nn.Module:
        """`network` ready to be trained: placed, compiled if asked, and one network in all processes if there are more.

        Its gradients are then averaged over the processes, and its batch norm sees the global batch. All of this is
        done to the network itself: what is called is also what is saved. To take a second derivative, which is not
        compiled, call `network.forward`.
        """
        network = self.place(network)
        if world_size() > 1:
            share_weights(network)
            over_processes(network)
            average_gradients(network)
        if self.compile != "off":
            network.compile(mode="reduce-overhead" if self.compile == "cuda-graphs" else "default")
        return network

    def autocast(self) -> AbstractContextManager:
        """The context in which networks are called."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")


def choose_execution(
    device: str = "auto",
    precision: Precision = "auto",
    channels_last: bool = True,
    compile: Compile = "off",
    deterministic: bool = False,
) -> Execution:
    """Settle what was left to `auto`: a GPU if there is one; bf16 where the hardware computes in it.

    Of several processes that torchrun has started, each joins the others, and takes a GPU of its own.
    With `deterministic`, equal work gives equal bits on a GPU, as it does on CPUs. Raises UserError for a device that
    is not there, and for CUDA graphs and TF32 without CUDA.
    """
    device = join_processes(device)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d\d?)?", device):
        raise UserError(f"unknown device {device!r}: use auto, cpu, cuda or cuda:N")
    chosen = torch.device(device)
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise UserError(f"no GPU for --device {device} ({torch.cuda.device_count()} found): use --device cpu or auto")
    if compile == "cuda-graphs" and chosen.type != "cuda":
        raise UserError("--compile cuda-graphs needs a GPU: use --compile default or off")
    if precision == "tf32" and chosen.type != "cuda":
        raise UserError("--precision tf32 needs a GPU: use float32 or bf16")
    if precision == "auto":
        precision = "bf16" if _computes_in_bf16(chosen) else "float32"
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    if deterministic:
        torch.use_deterministic_algorithms(True)
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is computed
        torch.utils.deterministic.fill_uninitialized_memory = False  # a help in finding faults, which costs time
    if chosen.type == "cuda":
        # Shapes are fixed, so the fastest kernels are worth looking for; which they are differs from run to run.
        torch.backends.cudnn.benchmark = not deterministic
    else:
        _keep_freed_memory()
    return Execution(chosen, precision, channels_last, compile)


def _computes_in_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def _keep_freed_memory() -> None:
    """Have glibc reuse large freed blocks instead of returning them to the system.

    Activations are allocated and freed anew in every step; faulting their pages in again took a fifth of a step.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(-4, 0)  # M_MMAP_MAX: nothing by mmap
            libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: keep the top of the heap
