"""The runs in a folder of run directories, by the problem that they are about."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.results import Record, record_of
from experiments.rows import config_of, scripts
from metrics.passport import file_hash
from runtime.errors import UserError
from runtime.files import read_arrays
from training.directory import Run, read_run

FACES, VAES, DIGITS, ADAPTATION, OTHER = "faces", "vae", "digits", "adaptation", "other"
# Settings that may differ between repetitions of one run.
OF_ONE_RUN = ("seed", "name", "runs", "resume", "device")


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


def of_kind(runs: list[Run], *kinds: str) -> list[Run]:
    """The runs that are about one of these problems."""
    return [run for run in runs if kind_of(run) in kinds]


def kind_of(run: Run) -> str:
    """Which problem a run is about, by its recipe; by its settings where no script has the recipe any more."""
    if run.recipe in scripts():
        return kind_of_recipe(run.recipe)
    return ADAPTATION if "method" in run.settings else OTHER


def kind_of_recipe(recipe: str) -> str:
    """Which problem a recipe is about."""
    return config_of(recipe).kind


def points_of(run: Run) -> dict[str, np.ndarray]:
    """What metrics.tsne wrote of a run: the `plane` (N, 2), and what its points are.

    Raises UserError where it was not run, or not on the present weights.
    """
    path = run.folder / "tsne.npz"
    remedy = f"run {shlex.join(['.venv/bin/python', '-m', 'metrics.tsne', str(run.folder)])}"
    if not path.exists():
        raise UserError(f"features were not measured: {remedy}")
    points = read_arrays(path, remedy)
    if run.weights.exists():  # times tell nothing of a copied run: they serve where no hash was written
        newer = path.stat().st_mtime < run.weights.stat().st_mtime
        if points["weights"] != file_hash(run.weights) if "weights" in points else newer:
            raise UserError(f"the weights are newer than the measured features: {remedy}")
    return points


def commands_of(run: Run, scores: tuple[str, ...]) -> str:
    """The commands of experiments.rows that score a run, by which its numbers get into the tables, for a shell."""
    places = {"run": run.folder, "data": run.settings.get("data"), "domain": run.settings.get("domain", "mnistm")}
    places |= {"dims": 2048, "classifier": "Classifier.pth"}
    commands = [[word.format(**places) for word in command.split()] for command in scores]
    return "\n".join(shlex.join([".venv/bin/python", "-m", *words]) for words in commands)


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
            found.votes += filter(None, [record_of(vote)])
            found.skipped += [f"{name} {problem}" for problem in vote.problems]
        elif not any((inner / "config.json").exists() for inner in entry.iterdir()):
            found.skipped.append(f"{name} has no config.json: no run of the training scripts, skipped")
        elif folder == root:
            _search(entry, root, found)
        else:
            found.skipped.append(f"{name} holds runs deeper than is looked for: give it as --runs")
