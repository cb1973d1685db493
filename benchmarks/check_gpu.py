"""What only a GPU can show, in minutes: `bash scripts/check_gpu.sh`, or `python -m benchmarks.check_gpu`.

A step on the GPU does what it does on the CPU, a resumed run is exact, images depend on their seeds alone, compiled
networks train, and how fast it all is. Results are written to OUT/check.json and OUT/check.md.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.counts import RECIPES, count_step, load_recipe, matrix_peak
from benchmarks.data import write_tree
from inference import generate_digits, generate_faces
from runtime.command_line import run_main
from runtime.device import choose_execution
from runtime.errors import UserError
from runtime.files import write_atomically, write_json
from training.directory import read_log

ROOT = Path(__file__).parents[1]
STEP_TOLERANCE = 1e-3  # of gradients in float32, relative: convolutions add up in another order
GREY_LEVELS = 2  # of 255
EQUAL_BITS = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # which cuBLAS reads but once
COMPILED = {"dcgan": "default", "context-unet": "cuda-graphs", "dann": "default"}
TINY = ("--width", 8, "--batch-size", 8)


@dataclass
class Config:
    """Check a GPU, and time the recipes on it."""

    device: str = "cuda"
    """What to check: cuda, cuda:N, or cpu to try this script itself."""
    out: Path = Path("gpu-check")
    """Folder for check.json and check.md."""
    recipes: tuple[str, ...] = tuple(RECIPES)
    """Whose steps are compared and timed."""
    tiny: bool = False
    """Narrow networks and a few steps."""


@dataclass
class Result:
    """What a check found."""

    check: str
    found: str
    passed: bool
    seconds: float = 0.0


class Checks:
    """The checks of a device, each a function that gives a Result's `found` and `passed`."""

    def __init__(self, config: Config, work: Path):
        self.config, self.work = config, work
        self.data = write_tree(work / "data", 16 if config.tiny else 256)
        self.options = TINY if config.tiny else ()

    def all(self) -> Iterator[tuple[str, Callable[[], tuple[str, bool]]]]:
        """The name and the function of each."""
        yield "matrix products in bf16", self.peak
        for recipe in self.config.recipes:
            yield f"{recipe}: gradients of a step, relative to the CPU's", partial(self.step, recipe)
        for recipe in {"dcgan", "dann32"} & set(self.config.recipes):
            yield f"{recipe}: resumed as if never stopped", partial(self.resume, recipe)
        for name in ("faces", "digits")[: 1 if self.config.tiny else 2]:
            yield f"{name}: grey levels between the CPU's images and the device's", partial(self.images, name)
        for recipe in self.config.recipes:
            yield f"{recipe}: speed", partial(self.speed, recipe)
        if self.config.device.startswith("cuda"):
            for recipe, mode in COMPILED.items():
                yield f"{recipe}: speed with --compile {mode}", partial(self.speed, recipe, "--compile", mode)
        if torch.cuda.device_count() > 1:
            yield "dcgan: first losses on two GPUs, relative to one's", self.two_gpus

    def train(self, recipe: str, name: str, *options: object) -> Path:
        """Train as a user does, on noise; gives the run's directory."""
        always = ("--data", self.data, "--runs", self.work / "runs", "--name", name)
        script, config = load_recipe(recipe, *always, *RECIPES[recipe], *self.options, *options)
        script.main(config)
        return config.folder

    def peak(self) -> tuple[str, bool]:
        """The device's matrix peak as measured, to which the recipes' shares refer."""
        self.flops = matrix_peak(self.config.device, torch.bfloat16, 256 if self.config.tiny else 8192)
        return f"{self.flops / 1e12:.2f} TFLOP/s", True

    def step(self, recipe: str) -> tuple[str, bool]:
        """The second step from one state, on the CPU and on the device, without dropout, which each draws itself."""
        exact = ("--precision", "float32", "--max-steps")
        means = []
        with patch.object(nn.Dropout, "forward", _as_it_is), patch.object(nn.Dropout2d, "forward", _as_it_is):
            begun = self.train(recipe, f"{recipe}-begun", *exact, 1, "--device", "cpu")
            for number, device in enumerate(("cpu", self.config.device)):
                folder = begun.with_name(f"{recipe}-{number}")
                shutil.copytree(begun, folder)
                self.train(recipe, folder.name, *exact, 2, "--device", device, "--resume")
                means.append(torch.cat(list(_gradient_means(folder))))
        difference = ((means[0] - means[1]).norm() / means[0].norm()).item()
        return f"{difference:.1e} (at most {STEP_TOLERANCE:.0e})", difference <= STEP_TOLERANCE

    def resume(self, recipe: str) -> tuple[str, bool]:
        """Four steps at once, and two and two, with --deterministic: the same bits."""
        options = ("--device", self.config.device, "--deterministic", "--max-steps")
        whole = self.train(recipe, f"{recipe}-whole", *options, 4)
        self.train(recipe, f"{recipe}-resumed", *options, 2)
        resumed = self.train(recipe, f"{recipe}-resumed", *options, 4, "--resume")
        torch.use_deterministic_algorithms(False)
        equal = [torch.equal(*pair) for pair in zip(_tensors(whole), _tensors(resumed), strict=True)]
        return f"{sum(equal)} of {len(equal)} tensors equal", all(equal)

    def images(self, name: str) -> tuple[str, bool]:
        """The shipped networks' images from the same seeds."""
        command = generate_faces if name == "faces" else generate_digits
        folders = [self.work / f"{name}-{number}" for number in range(2)]
        for folder, device in zip(folders, ("cpu", self.config.device), strict=True):
            count = 2 if self.config.tiny else 20
            amount = {"count": count} if name == "faces" else {"per_class": count // 2}
            command.main(command.Config(ROOT / "weights" / f"{name}.safetensors", folder, device=device, **amount))
        pairs = zip(*(sorted(folder.iterdir()) for folder in folders), strict=True)
        levels = max(int(np.abs(np.subtract(*map(_pixels, pair))).max()) for pair in pairs)
        return f"{levels} (at most {GREY_LEVELS})", levels <= GREY_LEVELS

    def speed(self, recipe: str, *options: object) -> tuple[str, bool]:
        """Images a second after the first steps, and the share of the measured peak that they are."""
        warm_up, steps = (1, 2) if self.config.tiny else (20, 100)
        length = ("--log-every", warm_up, "--max-steps", warm_up + steps, "--checkpoint-every", 10**6)
        name = "-".join(map(str, (recipe, "speed", *options)))
        folder = self.train(recipe, name, "--device", self.config.device, *length, *options)
        lines = read_log(folder / "metrics.jsonl")
        count = count_step(recipe, "--data", self.data, *RECIPES[recipe], *self.options)
        seconds = (lines[-1]["seconds"] - lines[0]["seconds"]) / (lines[-1]["step"] - lines[0]["step"])
        share = count.flops / seconds / self.flops
        speed = f"{count.batch_size / seconds:,.0f} images/s, {1000 * seconds:.2f} ms a step"
        return f"{speed}, {share:.0%} of the peak, {count.operations} operations, {count.copies} copies", True

    def two_gpus(self) -> tuple[str, bool]:
        """Two steps in one process and in two."""
        losses = []
        for gpus in (1, 2):
            name = f"dcgan-on-{gpus}"
            words = ["dcgan", "--data", self.data, "--runs", self.work / "runs", "--name", name, "--max-steps", 2]
            words += ["--precision", "float32", "--log-every", 1]
            command = [sys.executable, "-m", "runtime.launch", ROOT / "train_dcgan.py", *words]
            subprocess.run(list(map(str, command)), cwd=ROOT, env=os.environ | {"GPUS": str(gpus)}, check=True)
            log = read_log(self.work / "runs" / name / "metrics.jsonl")
            losses.append(np.array([[line["d_loss"], line["g_loss"]] for line in log]))
        difference = np.abs(losses[1] / losses[0] - 1).max()
        return f"{difference:.1e} (at most 1e-2)", bool(difference <= 1e-2)


def _as_it_is(_: nn.Module, features: Tensor) -> Tensor:
    return features


def _parts(folder: Path) -> dict:
    return torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)["parts"]


def _gradient_means(folder: Path) -> Iterator[Tensor]:
    """Adam's running means of the gradients, of all optimizers of a run."""
    for part in _parts(folder).values():
        for state in part.get("state", {}).values():
            if isinstance(state, dict) and "exp_avg" in state:
                yield state["exp_avg"].flatten()


def _tensors(folder: Path) -> list[Tensor]:
    """All tensors of a run's checkpoint."""

    def within(value: object) -> Iterator[Tensor]:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, dict):
            for part in value.values():
                yield from within(part)

    return list(within(_parts(folder)))


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path), np.int16)


def main(config: Config) -> None:
    """Run all checks, whatever fails, and write what they found; raises UserError when one has not passed."""
    choose_execution(config.device)
    name = torch.cuda.get_device_name(config.device) if config.device.startswith("cuda") else "CPU"
    results = []
    with tempfile.TemporaryDirectory() as work, patch.dict(os.environ, XDG_CACHE_HOME=work, **EQUAL_BITS):
        for title, check in Checks(config, Path(work)).all():
            start = time.perf_counter()
            try:
                found, passed = check()
            except Exception as error:  # the other checks are worth their minutes all the same
                found, passed = f"{type(error).__name__}: {error}".splitlines()[0], False
            results.append(Result(title, found, passed, round(time.perf_counter() - start, 1)))
            print(f"{'passed' if passed else 'FAILED'}: {title}: {found}", flush=True)
    about = {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda, "tiny": config.tiny}
    rows = [f"| {result.check} | {result.found} | {'yes' if result.passed else '**no**'} |" for result in results]
    header = [f"{name}, PyTorch {torch.__version__}", "", "| check | found | passed |", "|---|---|---|"]
    write_json(config.out / "check.json", about | {"results": list(map(asdict, results))})
    write_atomically(config.out / "check.md", "\n".join([*header, *rows, ""]).encode())
    if failed := sum(not result.passed for result in results):
        raise UserError(f"{failed} of {len(results)} checks have not passed: {config.out / 'check.md'} lists them")


if __name__ == "__main__":
    run_main(main, Config)
