"""What a row of an experiment is: one run, by the commands that train and score it."""

from __future__ import annotations

import importlib
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from runtime.errors import UserError
from training.config import TrainConfig

ROOT = Path(__file__).parents[1]
PYTHON = (sys.executable, "-P")  # -P: the caller's folder must not shadow our packages

# Commands that score a run: a module and its arguments. {run}, {data}, {dims}, {classifier} and {voters} are filled in.
FACES = (
    "inference.generate_faces --weights {run}/weights.safetensors --out {run}/generated --grid {run}/generated.png",
    "metrics.faces {run}/generated --reference {data}/face/val --dims {dims} --json {run}/scores.json",
)
IDENTITIES = (
    FACES[0],
    "metrics.faces {run}/generated --reference {data}/face/val --features dlib --json {run}/identities.json",
    FACES[1],
)
RECONSTRUCTIONS = (
    "inference.reconstruct_faces --weights {run}/weights.safetensors --images {data}/face/val"
    " --out {run}/reconstructed --json {run}/reconstruction.json",
    "metrics.tsne {run} --data {data}",
)
DIGITS = (
    "inference.generate_digits --weights {run}/weights.safetensors --out {run}/generated --grid {run}/generated.png",
    "metrics.digits {run}/generated --classifier {classifier} --reference {data}/digits/{domain} --dims {dims}"
    " --json {run}/scores.json",
)
SAMPLING = tuple(
    "metrics.sampling {run}/weights.safetensors --classifier {classifier} --reference {data}/digits/{domain}"
    f" --dims {{dims}} {options}"
    for options in (
        "--guidance 1 2 4 6 8 --per-class 40",
        "--samplers ddpm ddim dpm++ --steps 50 20 15 10 --guidance 8 --seeds 999 1000 1001 --per-class 25",
    )
)
ADAPTATION = ("metrics.tsne {run} --data {data}", "metrics.adaptation {run} --data {data}")
VOTE = ("metrics.adaptation {voters} --data {data} --out {run}/scores.json",)
MEAN = (f"{VOTE[0]} --vote mean",)


@dataclass(frozen=True)
class Row:
    """A run of an experiment."""

    recipe: str
    """Of a training script; of several voting runs any name."""
    options: str = ""
    """Options of the training script, beyond the recipe's settings and the length: they name the run directory."""
    scores: tuple[str, ...] = ()
    """Commands that score the run; the last one leaves scores.json in its directory."""
    full: str = ""
    """Options for the whole length, where the recipe's own is not meant."""
    short: str = ""
    """Options for a length that CPUs bear; none where the whole one is short enough."""
    seed: int = 999
    system: str = ""
    """What tables call it, the recipe's name by default."""
    voters: tuple[Row, ...] = ()
    """The rows whose runs vote together; nothing is trained then."""

    def training(self, full: bool, overrides: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The words after the training script that say what the run is: recipe, options, length and seed."""
        length = self.full if full or not self.short else self.short
        return (self.recipe, *self.options.split(), *length.split(), "--seed", str(self.seed), *overrides)

    def name(self, full: bool, overrides: tuple[str, ...] = ()) -> str:
        """The run directory: equal runs share it, and others never do."""
        words = ["vote"] * bool(self.voters) + [*self.training(full, overrides)]
        return re.sub(r"[^\w.]+", "-", " ".join(words)).strip("-")

    def length(self, full: bool) -> str:
        """The length in words, and where it is cut for CPUs the whole one."""
        whole = self.full or "the recipe's length"
        return whole if full or not self.short else f"{self.short} for CPUs, with --full {whole}"


@cache
def training_scripts() -> list[ModuleType]:
    """The training scripts, imported."""
    return [importlib.import_module(path.stem) for path in sorted(ROOT.glob("train_*.py"))]


@cache
def scripts() -> dict[str, str]:
    """The training script of every recipe, train_dcgan.py say: the one place that knows."""
    return {recipe: f"{script.__name__}.py" for script in training_scripts() for recipe in script.RECIPES}


@cache
def variants(recipe: str = "") -> list[str]:
    """The recipes that change a part of this one, or of any: parts of an ablation, and sides of a report's claim."""
    return [name for name, base in bases().items() if base == recipe or not recipe]


@cache
def bases() -> dict[str, str]:
    """The recipe that each variant changes a part of."""
    made = (getattr(script, "VARIANTS", {}) for script in training_scripts())
    return {name: base for variants in made for name, (base, _) in variants.items()}


def script_of(recipe: str) -> str:
    """The training script that has this recipe; raises UserError when none has."""
    if recipe not in scripts():
        raise UserError(f"no training script has the recipe {recipe}: there are {', '.join(scripts())}")
    return scripts()[recipe]


def module_of(recipe: str) -> ModuleType:
    """The training script that has this recipe, imported; raises UserError when none has."""
    return importlib.import_module(script_of(recipe).removesuffix(".py"))


def config_of(recipe: str) -> TrainConfig:
    """The settings of a recipe; raises UserError when no script has it."""
    return module_of(recipe).RECIPES[recipe][1]


@dataclass(frozen=True)
class Task:
    """A row as the commands that make it."""

    folder: Path
    """The run directory."""
    train: tuple[str, ...]
    """Takes --resume where the run was stopped; nothing where runs vote."""
    score: tuple[tuple[str, ...], ...] = ()
    voting: bool = False
    """Whether it needs the runs of other rows."""

    @property
    def made(self) -> bool:
        """Whether it has its scores."""
        return (self.folder / "scores.json").exists()

    @property
    def state(self) -> str:
        """scored, stopped or missing."""
        if self.made:
            return "scored"
        return "stopped" if (self.folder / "config.json").exists() else "missing"


def task_of(row: Row, full: bool, overrides: tuple[str, ...], runs: Path, data: Path, **places: object) -> Task:
    """The commands of a row whose run directory lies in `runs`; `places` are what its scoring needs besides.

    Raises UserError for a recipe that no script has.
    """
    name = row.name(full, overrides)
    voters = [str(runs / voter.name(full, overrides)) for voter in row.voters]

    def filled(word: str) -> list[str]:
        return voters if word == "{voters}" else [word.format(run=runs / name, data=data, domain="mnistm", **places)]

    commands = [[text for word in command.split() for text in filled(word)] for command in row.scores]
    train: tuple[str, ...] = ()
    if not voters:
        where = ("--data", str(data), "--runs", str(runs), "--name", name)
        train = (*PYTHON, str(ROOT / script_of(row.recipe)), *row.training(full, overrides), *where)
    return Task(runs / name, train, tuple((*PYTHON, "-m", *words) for words in commands), bool(voters))
