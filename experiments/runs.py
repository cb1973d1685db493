"""What lies in a folder of run directories: settings, logs, scores; what is damaged is named, and left out."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from experiments.results import NOT_COMPARED, Record, named_scores, sampling_records
from experiments.rows import script_of, scripts, settings_of
from runtime.errors import UserError

FACES, VAES, DIGITS, ADAPTATION, OTHER = "faces", "vae", "digits", "adaptation", "other"
KINDS = {"train_dcgan.py": FACES, "train_vae.py": VAES}
KINDS |= dict.fromkeys(("train_acgan.py", "train_ddpm.py", "train_distill.py"), DIGITS)
KINDS |= dict.fromkeys(("train_dann.py", "train_dsn.py", "train_adamatch.py"), ADAPTATION)
# Settings that may differ between repetitions of one run.
OF_ONE_RUN = ("seed", "name", "runs", "resume", "device")


@dataclass
class Run:
    """A run directory, as far as it can be read; `problems` says, a line each, what cannot."""

    folder: Path
    name: str
    """The folder's path below the folder of runs."""
    config: dict[str, Any]
    """config.json"""
    problems: list[str] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting of the training script."""
        return self.config["settings"]

    @property
    def recipe(self) -> str:
        """The recipe's name."""
        return self.config["recipe"]

    @property
    def total(self) -> int:
        """The steps that the run is meant to take."""
        return self.config["total_steps"]

    @property
    def weights(self) -> Path:
        """Where the weights are, once there are any."""
        return self.folder / "weights.safetensors"

    @cached_property
    def record(self) -> Record | None:
        """What the run reached; None where it was not scored."""
        scores: dict[str, float] = {}
        for name in ("curve.json", "scores.json", "reconstruction.json"):
            content = self.json(name, lambda content: named_scores(content) is not None)
            scores |= named_scores(content) if content else {}
        if not scores:
            return None
        # Runs that voted have no config.json: their scores say what they were.
        settings = dict(self.config.get("settings") or self.json("scores.json", bool))
        if settings.get("method") == "supervised":
            settings.pop("target", None)  # it only drew a curve
        settings["steps"] = self.config.get("total_steps", settings.get("steps", 0))
        per_epoch, command = self.config.get("steps_per_epoch"), (self.config.get("commands") or [""])[0]
        return {
            "system": self.config.get("recipe") or settings["recipe"],
            "seed": settings["seed"],
            "settings": {name: value for name, value in settings.items() if name not in NOT_COMPARED},
            "epochs": round(settings["steps"] / per_epoch, 2) if per_epoch else None,
            "scores": scores,
            "seconds": (self.seconds or None) if self.config else None,
            "hardware": self.config.get("hardware", ""),
            "commit": self.config.get("commit", "")[:10],
            "command": re.sub(r"^python \S*/| --(data|runs|name) ('[^']*'|\S+)", "", command),
        }

    def sampling_records(self, varied: str) -> list[Record]:
        """What sampling.json says of guidance scales (`guidance`) or of samplers and their steps (`samplers`)."""
        content = self.json("sampling.json", lambda content: [sampling_records(content, varied)])
        about = self.record or {"seed": 0, "settings": {}}
        about |= {"recipe": self.config.get("recipe", "")}
        return [about | record for record in sampling_records(content, varied)] if content else []

    @cached_property
    def log(self) -> list[dict[str, float]]:
        """The lines of metrics.jsonl that can be read."""
        try:
            lines = (self.folder / "metrics.jsonl").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            self.problems.append("has no `metrics.jsonl` yet: nothing was logged")
            return []
        except OSError as error:
            self.problems.append(f"has a `metrics.jsonl` that cannot be read ({error.strerror})")
            return []
        whole = [line for line in map(_numbers, lines) if line]
        if len(whole) < len(lines):
            lost = f"{len(lines) - len(whole)} of {len(lines)} lines"
            self.problems.append(f"has a damaged `metrics.jsonl`: {lost} cannot be read, the others are used")
        return whole

    @property
    def step(self) -> int:
        """The last step that was logged."""
        return int(max((line["step"] for line in self.log), default=0))

    @property
    def seconds(self) -> float:
        """Seconds of training until then."""
        return self.log[-1].get("seconds", 0.0) if self.log else 0.0

    @property
    def epochs(self) -> float:
        """Epochs until then."""
        return self.step / max(1, self.config.get("steps_per_epoch") or 1)

    @property
    def finished(self) -> bool:
        """Whether the last step is done."""
        return self.step >= self.total

    @property
    def state(self) -> str:
        """How far the run is, in words."""
        return "finished" if self.finished else f"still going or interrupted at step {self.step} of {self.total}"

    def json(self, name: str, fits: Callable[[Any], bool]) -> Any | None:
        """What the file `name` in the run directory holds, None where there is no such file.

        None, and a line in `problems`, where it is damaged or something else than `fits` asks for.
        """
        try:
            content = json.loads((self.folder / name).read_text())
            if fits(content):
                return content
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        self.complain(f"has a `{name}` that cannot be read, which is left out")
        return None

    def complain(self, problem: str) -> None:
        """Add a line to `problems`, once."""
        if problem not in self.problems:
            self.problems.append(problem)


@dataclass
class Found:
    """What `find_runs` found."""

    runs: list[Run]
    skipped: list[str]
    """A line for each folder that should be a run and is none."""
    votes: list[Record]
    """What several runs reached that voted."""


def find_runs(folder: Path) -> Found:
    """All run directories in `folder`, in the order of their names, and in its folders of run directories.

    Raises UserError when there is none.
    """
    if not folder.is_dir():
        raise UserError(f"no such folder of runs: {folder} (train one with scripts/train_dcgan.sh, or give --runs)")
    found = Found([], [], [])
    _search(folder, folder, found)
    if not found.runs:
        more = f" and {len(found.skipped) - 1} more" if len(found.skipped) > 1 else ""
        reasons = f" ({found.skipped[0]}{more})" if found.skipped else ""
        raise UserError(f"no runs in {folder}{reasons}: train one with scripts/train_dcgan.sh, or give --runs")
    return found


def repetitions(runs: list[Run]) -> list[list[Run]]:
    """The runs in groups that differ in nothing but their seed, in order; of each group one shows what is alike."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        same = {key: value for key, value in run.settings.items() if key not in OF_ONE_RUN}
        groups.setdefault(json.dumps([run.recipe, same], sort_keys=True), []).append(run)
    return [sorted(group, key=lambda run: (not run.finished, run.config.get("seed", 0))) for group in groups.values()]


def kind_of(run: Run) -> str:
    """Which problem a run is about, by its recipe; by its settings where no script has the recipe any more."""
    if run.recipe in scripts():
        return kind_of_recipe(run.recipe)
    return ADAPTATION if "method" in run.settings else OTHER


def kind_of_recipe(recipe: str) -> str:
    """Which problem a recipe is about: its script's, or faces where its settings say so."""
    return FACES if settings_of(recipe).get("images") == "faces" else KINDS[script_of(recipe)]


def of_kind(runs: list[Run], *kinds: str) -> list[Run]:
    """The runs that are about one of these problems."""
    return [run for run in runs if kind_of(run) in kinds]


def _search(folder: Path, root: Path, found: Found) -> None:
    for entry in sorted(folder.iterdir()):
        if not entry.is_dir() or entry.name.startswith(".") or entry.name == "logs":
            continue
        name = entry.relative_to(root).as_posix()
        if (entry / "config.json").exists():
            try:
                found.runs.append(read_run(entry, name))
            except (OSError, ValueError, KeyError, TypeError) as error:
                found.skipped.append(f"{name} has a config.json that cannot be read ({type(error).__name__}), skipped")
        elif (entry / "scores.json").exists():
            vote = read_run(entry, name)
            found.votes += [vote.record] if vote.record else []
            found.skipped += [f"{name} {problem}" for problem in vote.problems]
        elif any((inner / "config.json").exists() for inner in entry.iterdir()):
            if folder == root:
                _search(entry, root, found)
            else:
                found.skipped.append(f"{name} holds runs deeper than is looked for: give it as --runs")
        else:
            found.skipped.append(f"{name} has no config.json: no run of the training scripts, skipped")


def read_run(folder: Path, name: str = "") -> Run:
    """The run in a directory, or the vote where there is no config.json.

    Raises ValueError, KeyError, TypeError or OSError for a config.json that is damaged.
    """
    if not (folder / "config.json").exists():
        return Run(folder, name or folder.name, {})
    config = json.loads((folder / "config.json").read_text())
    recipe, steps = config["recipe"], int(config["total_steps"])
    dict(config["settings"])
    return Run(folder, name or folder.name, config | {"recipe": recipe, "total_steps": steps})


def _numbers(line: str) -> dict[str, float] | None:
    """The finite numbers of a line of metrics.jsonl by their names; None for a line that is damaged."""
    try:
        values = {key: float(value) for key, value in json.loads(line).items()}
    except (ValueError, TypeError, AttributeError):
        return None
    values = {key: value for key, value in values.items() if math.isfinite(value)}
    return values if "step" in values else None
