"""What the sections of the report share: the runs, where figures go, how networks run, where data is."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Record, identity, record_of
from experiments.rows import ROOT, scripts, variants
from experiments.runs import ADAPTATION, kind_of_recipe, of_kind
from models.weights import Kind, load_weights
from report.gallery import Gallery
from report.page import Block, Film, Note, Picture
from runtime.device import Execution
from runtime.errors import UserError
from runtime.files import read_arrays
from runtime.settings import Settings
from training.directory import Run


@dataclass
class Config(Settings):
    """Turn run directories into one page with figures."""

    runs: Path = Path("runs")
    """Folder of run directories, or of folders of them."""
    out: Path = Path("outputs/report")
    """Folder for report.html, report.md and figures/; what an earlier report wrote there is replaced."""
    report: Literal["", "000", "001", "002", "003", "004"] = ""
    """The course report whose numbers stand first, each beside what was measured."""
    data: Path | None = None
    """The data tree for reconstructions and interpolations of faces; each run's own if not given."""
    attributes: tuple[str, ...] = ("Male", "Smiling")
    """Attributes that colour the latents of faces, columns of face/attributes.csv."""
    seed: int = 999
    """Seed of the faces and digits that are generated for the report."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""


@dataclass(frozen=True)
class Context:
    """What every section is made from."""

    config: Config
    runs: list[Run]
    votes: list[Record]
    """What runs reached that voted."""
    gallery: Gallery
    execution: Execution

    def data_of(self, run: Run) -> Path:
        """The data tree that `run` is shown on; a relative path of its settings may also start at the repository."""
        own = Path(run.settings.get("data", "datasets/real"))
        return self.config.data or (own if own.exists() else ROOT / own if (ROOT / own).exists() else own)

    def network_of(self, run: Run, kind: type[Kind]) -> Kind:
        """The network of a run's weights, ready for use; raises UserError when there is none of this kind."""
        if not run.weights.exists():
            raise UserError("no weights were written yet")
        return self.execution.place(load_weights(run.weights, kind)[0])

    def records(self, *kinds: str) -> list[Record]:
        """What the runs and votes of these kinds, or all, reached; of equal runs with equal seeds the first."""
        records: dict[object, Record] = {}
        for run in of_kind(self.runs, *kinds) if kinds else self.runs:
            record = record_of(run)
            if record and records.setdefault(identity(record), record) is not record:
                run.complain("has the settings and seed of another run: it is left out of the tables")
        return [*records.values(), *(self.votes if ADAPTATION in kinds or not kinds else [])]

    def draw(
        self, run: Run, what: str, figure: Figure, caption: str, chart: bool = True, film: Film | None = None
    ) -> Picture:
        """`figure` of a run as WHAT-RUN; the caption begins with the run and how long it was trained."""
        about = f"`{run.name}` after {run.epochs(run.step):.3g} epochs" + ("" if run.finished else " (not finished)")
        return self.gallery.add(f"{what}-{run.name}", figure, f"{about}: {caption}", chart, film)


def attempt(context: Context, run: Run, what: str, make: Callable[[Context, Run], list[Block]]) -> list[Block]:
    """What `make` shows of a run; a line with the reason where the run's files or the data do not allow it."""
    try:
        return make(context, run)
    except (UserError, OSError) as error:
        return [Note(f"`{run.name}`: {what} left out, {error}")]


def not_run(runs: list[Run], kind: str) -> list[Block]:
    """A line on the recipes of this problem that have no run, and the commands that would make them."""
    recipes = {recipe: script for recipe, script in scripts().items() if kind_of_recipe(recipe) == kind}
    missing = [recipe for recipe in recipes if recipe not in {*variants(), *(run.recipe for run in runs)}]
    if not missing:
        return []
    domains = " --source mnistm --target svhn" if kind == ADAPTATION else ""
    commands = [f"bash scripts/{recipes[recipe].removesuffix('.py')}.sh {recipe}{domains}" for recipe in missing]
    names = ", ".join(f"`{recipe}`" for recipe in missing)
    return [Note(f"No run of {names}; to make {'them' if len(missing) > 1 else 'it'}:", "\n".join(commands))]


def points_of(run: Run) -> dict[str, np.ndarray]:
    """What metrics.tsne wrote of a run: the `plane` (N, 2), and what its points are.

    Raises UserError where it was not run, or not on the present weights.
    """
    path = run.folder / "tsne.npz"
    remedy = f"run {shlex.join(['.venv/bin/python', '-m', 'metrics.tsne', str(run.folder)])}"
    if not path.exists():
        raise UserError(f"features were not measured: {remedy}")
    if run.weights.exists() and path.stat().st_mtime < run.weights.stat().st_mtime:
        raise UserError(f"the weights are newer than the measured features: {remedy}")
    return read_arrays(path, remedy)
