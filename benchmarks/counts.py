"""What a training step asks of a GPU, counted without one: `python -m benchmarks.counts [RECIPE …]`.

The recipe's own script runs on PyTorch's meta device, whose tensors have shapes and no numbers: a number read back by
the host, or tensors of two devices in one operation, end it with an error. Of the second step are counted the
arithmetic, the operations (a kernel or a few each) and the copies from the host.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
import tyro
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.data import write_tree
from experiments.rows import module_of
from runtime.command_line import run_main
from runtime.device import Execution
from training.config import TrainConfig, parse_command_line
from training.run import TrainingRun

META = torch.device("meta")
MOVES = ("_to_copy", "copy_")  # the only operations that may see both host and device
GENERATORS = ("dcgan", "sagan", "r3gan", "vae", "acgan28", "context-unet", "attention-unet", "edm")
ADAPTATIONS = ("dann", "dann32", "dann-mcc", "dsn", "adamatch")
RECIPES = dict.fromkeys(GENERATORS, ()) | dict.fromkeys(ADAPTATIONS, ("--source", "mnistm", "--target", "usps"))
HEADER = ("recipe", "batch", "GFLOP an image", "operations a step", "copies a step", "messages", "parameters")
PREDICTED = (
    "recipe",
    "arithmetic, ms",
    "launches, ms",
    "1 GPU",
    "8 GPUs, its batch",
    "8 GPUs, 8 batches",
    "training, 1 GPU",
)


IMAGES = {"faces": 38_464, "digits": 44_800}  # of an epoch, in the course's sets


class GPU:
    """What is assumed of an H100 and of eight in one machine."""

    flops = 989e12 / 2  # half of its bf16 peak
    launch = 5e-6  # seconds of the host for an operation
    message = 20e-6  # seconds of the host for a message
    bandwidth = 300e9  # bytes a second between GPUs


@dataclass
class StepCount:
    """What one step is made of."""

    batch_size: int
    flops: int = 0
    operations: int = 0
    """Operations that compute or write something on the device."""
    copies: int = 0
    """Copies from the host to the device."""
    parameters: int = 0
    """Of all that is trained: what several processes send around."""
    messages: int = 0
    """Of several processes: one for the gradient of each parameter, and one a batch norm and direction."""
    steps: int = 0
    """Of the whole training, on COUNTED images an epoch."""


@dataclass
class Counting(TorchDispatchMode):
    """Within, operations that concern the meta device are counted into `count`."""

    count: StepCount
    flops: FlopCounterMode = field(default_factory=lambda: FlopCounterMode(display=False))

    def __post_init__(self):
        super().__init__()

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        result = operation(*arguments, **(options or {}))
        before, after = set(_devices((arguments, options or {}))), set(_devices(result))
        name = operation.overloadpacket.__name__
        if META in before | after and not _only_looks(operation):
            crossing = len(before | after) > 1
            if crossing and name not in MOVES:
                raise AssertionError(f"{operation} mixes tensors of the host and of the device")
            self.count.copies += crossing
            self.count.messages += "batch_norm" in name
            self.count.operations += 1
        return result


def _devices(value: Any) -> Iterator[torch.device]:
    """The devices of all tensors in nested arguments; a number on the host goes along with a kernel."""
    if isinstance(value, torch.Tensor):
        if value.dim() or value.device == META:
            yield value.device
    elif isinstance(value, dict):
        yield from _devices(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _devices(part)


def _only_looks(operation: Any) -> bool:
    """Whether an operation returns a view, or memory that nothing is written to yet."""
    returns = operation._schema.returns
    view = any(result.alias_info is not None and not result.alias_info.is_write for result in returns)
    return view or operation.overloadpacket.__name__.startswith(("empty", "new_empty", "detach"))


class _Counted(Exception):
    """The second step has ended."""


def count_step(recipe: str, *options: object) -> StepCount:
    """Count the second step of `recipe`, trained with these options; nothing is left on disk.

    Raises RuntimeError where the step reads a number back from the device.
    """
    script, config = load_recipe(recipe, *options)
    steps = config.epochs * (IMAGES["faces" if config.kind in ("faces", "vae") else "digits"] // config.batch_size)
    counting = Counting(StepCount(config.batch_size, steps=min(steps, config.max_steps or steps)))
    config.max_steps = 1000

    def finish_step(run: TrainingRun, *_: object, **__: object) -> None:
        if run.step == 1:
            counting.flops.__enter__()
            counting.__enter__()
            return
        counting.__exit__(None, None, None)
        counting.flops.__exit__(None, None, None)
        networks = [
            part for name, part in run.parts.items() if isinstance(part, torch.nn.Module) and name != "features"
        ]
        sizes = [value.numel() for network in networks for value in network.parameters()]
        counting.count.parameters, counting.count.messages = sum(sizes), counting.count.messages + len(sizes)
        raise _Counted

    with ExitStack() as stack, tempfile.TemporaryDirectory() as runs:
        stack.enter_context(patch.object(TrainConfig, "execution", lambda _: Execution(META)))
        stack.enter_context(patch("torch.autocast", lambda *_, **__: nullcontext()))  # the meta device has none
        stack.enter_context(patch.object(TrainingRun, "finish_step", finish_step))
        for module in ("torch.optim.optimizer", "torch.utils._foreach_utils"):  # whole lists of tensors at once
            for kind in ("fused", "foreach"):
                name = f"{module}._get_{kind}_kernels_supported_devices"
                stack.enter_context(patch(name, lambda: ["cpu", "cuda", "meta"]))
        config.runs = Path(runs)
        try:
            script.main(config)
        except _Counted:
            counting.count.flops = counting.flops.get_total_flops()
    return counting.count


def predicted(count: StepCount, gpus: int = 1, batches: int = 1) -> tuple[float, float, float]:
    """Seconds of a step on `gpus` that share `batches` times the recipe's batch: arithmetic, launches, and the whole.

    Arithmetic and launches overlap; gradients, in float32, are sent around in addition.
    """
    arithmetic = count.flops * batches / gpus / GPU.flops
    launches = count.operations * GPU.launch + (count.messages * GPU.message if gpus > 1 else 0)
    sent = 2 * (gpus - 1) / gpus * 4 * count.parameters / GPU.bandwidth
    return arithmetic, launches, max(arithmetic, launches) + sent


def matrix_peak(device: torch.device | str, dtype: torch.dtype, size: int) -> float:
    """FLOP/s of a product of matrices (size, size) on `device`, the best of ten."""
    matrix, seconds = torch.randn(size, size, device=device, dtype=dtype), []
    for _ in range(10):
        start = time.perf_counter()
        (matrix @ matrix)[0, 0].item()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def load_recipe(recipe: str, *options: object) -> tuple[ModuleType, TrainConfig]:
    """The training script that has `recipe`, and its settings with these options; raises UserError if none has."""
    script = module_of(recipe)
    return script, parse_command_line(script.RECIPES, [recipe, *map(str, options)])


@dataclass
class Config:
    """Count the steps of recipes."""

    recipes: tyro.conf.Positional[tuple[str, ...]] = tuple(RECIPES)
    """Which recipes."""
    predict: bool = False
    """Print what the counts predict for GPUs instead: images a second, and minutes of the whole training."""


def main(config: Config) -> None:
    """Print a table in Markdown, a row a recipe."""
    header = PREDICTED if config.predict else HEADER
    print("|", " | ".join(header), "|\n" + "|---" * len(header) + "|")
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, {"XDG_CACHE_HOME": folder}):
        data = write_tree(Path(folder) / "data")
        for recipe in config.recipes:
            count = count_step(recipe, "--data", data, *RECIPES.get(recipe, ()))
            row = predictions(count) if config.predict else counts(count)
            print("|", " | ".join(map(str, (recipe, *row))), "|", flush=True)


def counts(count: StepCount) -> tuple[object, ...]:
    """A row of the table of counts."""
    gflop = count.flops / count.batch_size / 1e9
    sizes = (count.messages, f"{count.parameters / 1e6:.2f} M")
    return count.batch_size, f"{gflop:.3f}", count.operations, count.copies, *sizes


def predictions(count: StepCount) -> tuple[str, ...]:
    """A row of the table of predictions."""
    arithmetic, launches, alone = predicted(count)
    speeds = [n * count.batch_size / predicted(count, gpus, n)[2] for gpus, n in ((1, 1), (8, 1), (8, 8))]
    times = (f"{1000 * arithmetic:.2f}", f"{1000 * launches:.2f}", *(f"{speed:,.0f} images/s" for speed in speeds))
    return *times, f"{count.steps * alone / 60:.1f} min"


if __name__ == "__main__":
    run_main(main, Config)
