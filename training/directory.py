"""A run directory as it lies on disk: settings, log, scores; what is damaged is named, and left out."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

# Settings that say where and how fast a run was made, not what it is.
LOCAL_SETTINGS = {"data", "runs", "name", "resume", "epochs", "max_steps", "device", "precision", "channels_last"}
LOCAL_SETTINGS |= {"compile", "log_every", "sample_every", "checkpoint_every", "checkpoint_seconds", "keep_every"}
LOCAL_SETTINGS |= {"skip_bad_updates", "sample_epochs"}


@dataclass
class Run:
    """A run directory, as far as it can be read; `problems` says, a line each, what cannot."""

    folder: Path
    name: str
    """The folder's path below the folder of runs."""
    config: dict[str, Any]
    """config.json; empty where there is none, as of several runs that voted."""
    problems: list[str] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting of the training script."""
        return self.config.get("settings", {})

    @property
    def recipe(self) -> str:
        """The recipe's name."""
        return self.config.get("recipe", "")

    @property
    def total(self) -> int:
        """The steps that the run is meant to take."""
        return self.config["total_steps"]

    @property
    def weights(self) -> Path:
        """Where the weights are, once there are any."""
        return self.folder / "weights.safetensors"

    @cached_property
    def log(self) -> list[dict[str, float]]:
        """The lines of metrics.jsonl that can be read."""
        path = self.folder / "metrics.jsonl"
        try:
            whole, count = read_log(path), len(path.read_text(errors="replace").splitlines())
        except FileNotFoundError:
            self.complain("has no `metrics.jsonl` yet: nothing was logged")
            return []
        except OSError as error:
            self.complain(f"has a `metrics.jsonl` that cannot be read ({error.strerror})")
            return []
        if len(whole) < count:
            lost = f"{count - len(whole)} of {count} lines"
            self.complain(f"has a damaged `metrics.jsonl`: {lost} cannot be read, the others are used")
        return whole

    @property
    def step(self) -> int:
        """The last step that was logged."""
        return int(max((line["step"] for line in self.log), default=0))

    @property
    def seconds(self) -> float:
        """Seconds of training until then."""
        return self.log[-1].get("seconds", 0.0) if self.log else 0.0

    def epochs(self, step: int) -> float:
        """The epochs that so many steps are."""
        return step / max(1, self.config.get("steps_per_epoch") or 1)

    @property
    def finished(self) -> bool:
        """Whether the last step is done."""
        return self.step >= self.total

    def json(self, name: str, read: Callable[[Any], Any]) -> Any | None:
        """What `read` makes of the content of the file `name`; None where there is no such file.

        None, and a line in `problems`, where it is damaged or something else than `read` asks for.
        """
        try:
            return read(json.loads((self.folder / name).read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self.complain(f"has a `{name}` that cannot be read, which is left out")
            return None

    def complain(self, problem: str) -> None:
        """Add a line to `problems`, once."""
        if problem not in self.problems:
            self.problems.append(problem)


def read_run(folder: Path, name: str = "") -> Run:
    """The run in a directory, or the vote where there is no config.json.

    Raises ValueError, KeyError, TypeError or OSError for a config.json that is damaged.
    """
    if not (folder / "config.json").exists():
        return Run(folder, name or folder.name, {})
    config = json.loads((folder / "config.json").read_text())
    about = {"recipe": config["recipe"], "total_steps": int(config["total_steps"])}
    return Run(folder, name or folder.name, config | about | {"settings": dict(config["settings"])})


def read_log(path: Path) -> list[dict[str, float]]:
    """The lines of a metrics.jsonl that are whole: finite numbers by their names, `step` among them."""
    return [line for line in map(_numbers, path.read_text(errors="replace").splitlines()) if line]


def _numbers(line: str) -> dict[str, float] | None:
    """The finite numbers of a line of metrics.jsonl by their names; None for a line that is damaged."""
    try:
        values = {key: float(value) for key, value in json.loads(line).items()}
    except (ValueError, TypeError, AttributeError):
        return None
    values = {key: value for key, value in values.items() if math.isfinite(value)}
    return values if "step" in values else None
