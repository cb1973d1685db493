"""A training run in its directory: steps, log, sample grids, checkpoints, interruption, resume."""

import io
import json
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from data.digits import DIGITS
from runtime.device import Execution
from runtime.errors import UserError
from runtime.files import lock_folder, naming, write_atomically
from runtime.images import save_png
from runtime.processes import (
    check_agreement,
    from_first,
    is_first,
    leave_processes,
    mean_over_processes,
    of_all,
    process_number,
    world_size,
)
from runtime.seeds import derived_seed
from training import provenance
from training.config import TrainConfig
from training.finite import UpdateGuard, not_finite
from training.next_steps import next_steps
from training.saving import Saver, Stateful, load_part

VOTE_EVERY = 10  # steps after which several processes agree whether to go on, as asking makes the host wait


class TrainingRun:
    """The directory `runs/NAME/` and the count of steps, from the first or from the last checkpoint to the end.

    config.json holds every setting, networks.txt the layers of what is trained; metrics.jsonl a line per `log_every`
    steps; checkpoint.pt the state of everything in `parts` at the last checkpoint; weights.safetensors what inference
    needs: of `weights` = (network, name, arguments), network being `NETWORKS[name](**arguments)`, with the names of its
    `classes` if they are others than the digits. An existing directory is refused without `--resume`. Only the first of
    several processes writes.
    """

    def __init__(
        self,
        config: TrainConfig,
        execution: Execution,
        steps_per_epoch: int,
        parts: dict[str, Stateful],
        weights: tuple[nn.Module, str, dict[str, Any]],
        classes: Sequence[str] = DIGITS,
    ):
        self.classes = classes
        self.config, self.execution, self.parts, self.weights = config, execution, parts, weights
        self.folder = config.folder
        self.steps_per_epoch = steps_per_epoch
        steps = config.epochs * steps_per_epoch
        self.total = min(steps, config.max_steps or steps)
        self.step = 0  # steps done, the present one included
        self._logged = 0  # the step of the last line in the log
        self._sums: dict[str, Tensor] = {}  # of what was logged since
        self._left_out = 0  # steps since then that were skipped, so are not in the sums
        self._before = 0.0  # seconds of training before the run was resumed
        self._interrupted = False  # this process was asked to stop
        self._ending = False  # some process was, so all stop after this step
        self._guard = UpdateGuard(parts, config.skip_bad_updates)
        self._saver = Saver(self.folder)
        check_agreement("code, or another PyTorch,", lambda: (provenance.commit(), torch.__version__))
        settings = {name: value for name, value in config.to_json().items() if name not in ("data", "runs", "device")}
        check_agreement("settings", lambda: settings)
        from_first(self._claim)
        if config.resume:
            self._restore()
        self._started = time.perf_counter() - self._before
        if is_first():
            provenance.write(self.folder, config, execution, parts, self.total, steps_per_epoch)

    def _claim(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock_folder(self.folder)  # for as long as this object lives
        for unfinished in self.folder.rglob(".*.tmp"):  # a killed process was writing it
            unfinished.unlink()
        if not self.config.resume and any(self.folder.iterdir()):
            raise UserError(f"{self.folder} exists: go on with --resume, or start another with --name")

    def steps(self) -> Iterator[int]:
        """The numbers, from 0, of the steps still to do; ends early after an interrupted step (Ctrl-C)."""
        handlers = {number: signal.signal(number, self._interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        size = self.config.batch_size
        with (
            self._saver.thread,
            tqdm(
                total=self.total * size,
                initial=self.step * size,
                unit="img",
                unit_scale=True,
                desc=self.folder.name,
                disable=not is_first(),
                mininterval=0.5 if sys.stderr.isatty() else 30,
            ) as self._bar,
        ):
            while self.step < self.total and not self._ending:
                # What draws from the global generator (dropout) depends on the step alone, so resuming needs no state.
                torch.manual_seed(derived_seed(self.config.seed, "step", self.step, process_number()))
                if self.config.compile == "cuda-graphs":
                    torch.compiler.cudagraph_mark_step_begin()  # what the last step's graphs returned may go
                self.step += 1
                self._guard.begin_step()
                yield self.step - 1
                self._bar.update(size)
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def learning_rate(self, peak: float) -> float:
        """The learning rate of the present step by the run's schedule, `peak` being the highest."""
        return self.config.learning_rate(peak, self.step - 1, self.total, self.steps_per_epoch)

    def log(self, **values: Tensor) -> None:
        """Add this step's tensors, scalars or vectors, to the running means; call it once in every step.

        They are read from the device only when a line of metrics.jsonl is due; in it the elements of a vector are
        numbered, NAME_0, NAME_1, ….
        A step with a skipped update is left out of the means; the line then says how many updates were skipped so far.
        Raises UserError when one of them is not a finite number, or too many steps in a row were skipped; the last
        checkpoint then stays as it is.
        """
        self._saver.check()
        if self._guard.end_step():
            self._left_out += 1
            if (before := self._guard.in_a_row - 1) >= self._guard.limit:
                raise UserError(self._not_finite(f"after {before} skipped steps, a gradient"))
        else:
            for name, value in values.items():
                self._sums[name] = self._sums.get(name, 0) + value.detach().float()
        if world_size() == 1 or self.step % VOTE_EVERY == 0:
            self._ending = any(of_all(self._interrupted))
        if self._due(self.config.log_every):
            means = self._means()
            shown = {name: f"{means[name]:.3f}" for name, value in self._sums.items() if value.dim() == 0}
            self._bar.set_postfix(shown, refresh=False)
            self._sums, self._logged, self._left_out = {}, self.step, 0
            self.record(**means, **({"skipped_updates": self._guard.skipped} if self.config.skip_bad_updates else {}))

    def finish_step(
        self,
        refresh: Callable[[], None] = lambda: None,
        sample: Callable[[], dict[str, np.ndarray]] | None = None,
        measure: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        """Write sample grids and a checkpoint where they are due; call it last in every step, in all processes.

        A checkpoint is also due at the end and after an interruption; others only `checkpoint_seconds` after the last.
        First `refresh` prepares the EMA for use; `sample` returns sample grids by folder, uint8 (H, W, 3) each,
        `measure` what is logged every `checkpoint_every` steps. Raises UserError, and leaves the former files, when a
        loss or the state of training is not finite.
        """
        sample_due = sample is not None and self._grid_due()
        scheduled = self._due(self.config.checkpoint_every) or self._keep_due() or self._ending
        measure_due = measure is not None and scheduled
        save_due = scheduled and self._save_due()
        if sample_due or measure_due or save_due:
            self._means()  # raises UserError for a mean loss that is not finite
            if bad := not_finite(self.parts):
                raise UserError(self._not_finite(bad))
            refresh()
        if sample_due:
            for folder, grid in sample().items():
                save_png(self.folder / folder / f"{self.step:07d}.png", grid)
        if measure_due:
            self.record(**measure())
        if save_due:
            self.save()

    def record(self, **values: float) -> None:
        """Write a line of metrics.jsonl: what was measured after this step, scores say."""
        if is_first():
            line = {"step": self.step, "epoch": self.step / self.steps_per_epoch, "seconds": self._elapsed(), **values}
            line = {key: round(value, 6) for key, value in line.items()}
            path = self.folder / "metrics.jsonl"
            with naming(path), open(path, "a") as file:
                file.write(json.dumps(line) + "\n")

    def save(self) -> None:
        """Have the checkpoint and the weights written, while training goes on."""
        if not is_first():
            return
        state = {
            "step": self.step,
            "seconds": self._elapsed(),
            "sums": self._sums,
            "logged": self._logged,
            "left_out": self._left_out,
            "skipped": self._guard.skipped,
            "parts": {part_name: part.state_dict() for part_name, part in self.parts.items()},
        }
        about = {"recipe": self.config.recipe, "step": self.step, "epochs": round(self.step / self.steps_per_epoch, 2)}
        if self.classes and tuple(self.classes) != DIGITS:
            about["classes"] = list(self.classes)
        kept = f"kept/{self.step:07d}.safetensors" if self._keep_due() else ""
        self._saver.save(state, self.weights, about, kept)

    def close(self) -> None:
        """Say how the run ended and leave the group of processes; exits with status 130 after an interruption.

        Raises OSError when the last checkpoint could not be written.
        """
        self._saver.check(wait=True)
        if is_first():
            where = f"step {self.step} of {self.total} after {self._elapsed():.0f} s of training: {self.folder}"
            if self._ending:
                print(f"interrupted, saved at {where} (go on with --resume)")
            else:
                print(f"done, {where}\n{next_steps(self.config, self.classes)}")
        leave_processes()
        if self._ending:
            sys.exit(130)

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.total

    def _grid_due(self) -> bool:
        return self.step == self.total or self.config.grid_is_due(self.step, self.steps_per_epoch)

    def _save_due(self) -> bool:
        """Whether a scheduled checkpoint is to be written; what time it is, the first process decides for all."""
        seconds = self.config.checkpoint_seconds
        if not seconds or self._ending or self._keep_due() or self.step == self.total:
            return True
        return from_first(lambda: self._saver.is_due(seconds))

    def _keep_due(self) -> bool:
        return self.config.keep_every > 0 and self.step % self.config.keep_every == 0

    def _elapsed(self) -> float:
        return time.perf_counter() - self._started

    def _interrupt(self, number: int, frame: object) -> None:
        """Ask for an end after this step; a second Ctrl-C ends at once."""
        self._interrupted = True
        signal.signal(number, signal.SIG_DFL)

    def _means(self) -> dict[str, float]:
        """The running means over all processes since the last line."""
        steps = self.step - self._logged - self._left_out
        if not self._sums or not steps:
            return {}
        names = []
        for name, value in self._sums.items():
            names += [f"{name}_{index}" for index in range(len(value))] if value.dim() else [name]
        values = mean_over_processes(torch.cat([value.reshape(-1) for value in self._sums.values()])) / steps
        means = dict(zip(names, values.tolist(), strict=True))
        for name, value in means.items():
            if not math.isfinite(value):
                raise UserError(self._not_finite(name))
        return means

    def _not_finite(self, name: str) -> str:
        kept = self.folder / "checkpoint.pt"
        remedy = f"{kept} keeps the last good state" if kept.exists() else "no checkpoint was made yet"
        return (
            f"{name} is not a finite number at step {self.step}; {remedy}: "
            "lower the learning rates or use float32, or skip such steps by --skip-bad-updates 10"
        )

    def _restore(self) -> None:
        """Take up the last checkpoint, which only the first process need see; without one, begin at the first step."""
        path = self.folder / "checkpoint.pt"
        if saved := from_first(lambda: path.read_bytes() if path.exists() else b""):
            try:
                state = torch.load(io.BytesIO(saved), map_location=self.execution.device, weights_only=True)
                for name, part in self.parts.items():
                    load_part(part, state["parts"][name])
                self.step, self._logged = int(state["step"]), int(state["logged"])
                self._before, self._sums = float(state["seconds"]), dict(state["sums"])
                self._left_out, self._guard.skipped = int(state.get("left_out", 0)), int(state.get("skipped", 0))
            except Exception as error:  # a damaged file can fail anywhere in unpickling, with nearly any exception
                reason = (str(error) or type(error).__name__).splitlines()[0]
                raise UserError(f"{path} does not fit this run ({reason}): keep its networks and optimizers") from error
        if is_first():
            self._cut_log()

    def _cut_log(self) -> None:
        """Drop the log's lines after the checkpoint: their steps are done again."""
        path = self.folder / "metrics.jsonl"
        if path.exists():
            lines = path.read_text(errors="replace").splitlines()
            kept = [line for line in lines if 0 <= _step_of(line) <= self.step]
            write_atomically(path, "".join(f"{line}\n" for line in kept).encode())


def _step_of(line: str) -> int:
    """The step of a line of the log; -1 when the line is damaged, cut off by a full disk say."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        return -1
