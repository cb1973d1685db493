"""What the sections of the report share: the runs, where figures go, how networks run, where data is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from matplotlib.figure import Figure

from experiments import tables
from experiments.reports import REPORTS
from experiments.results import Record, identity, record_of
from experiments.rows import ROOT, scripts, variants
from experiments.runs import ADAPTATION, kind_of_recipe, of_kind
from models.weights import Kind, load_weights
from report.gallery import Gallery
from report.page import Block, Note, Picture
from runtime.device import Execution, OnDevice
from runtime.errors import UserError
from training.directory import Run

SCORED = ("faces", "grid", "reconstructions", "tsne")  # figures whose captions say what was reported and measured


@dataclass
class Config(OnDevice):
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

    def draw(self, run: Run, what: str, figure: Figure, caption: str, chart: bool = True) -> Picture:
        """`figure` of a run as WHAT-RUN; the caption begins with the run and how long it was trained."""
        about = f"`{run.name}` after {run.epochs(run.step):.3g} epochs" + ("" if run.finished else " (not finished)")
        if self.config.report and what in SCORED and (record := record_of(run)):
            caption += tables.in_a_line(record, self.config.report)
        return self.gallery.add(f"{what}-{run.name}", figure, f"{about}: {caption}", chart)


def attempt(context: Context, run: Run, what: str, make: Callable[[Context, Run], list[Block]]) -> list[Block]:
    """What `make` shows of a run; a line with the reason where the run's files or the data do not allow it."""
    try:
        return make(context, run)
    except (UserError, OSError) as error:
        return [Note(f"`{run.name}`: {what} left out, {error}")]


def not_run(context: Context, kind: str) -> list[Block]:
    """A line on the recipes of this problem that have no run, and the commands that would make them.

    On the page of a course report only its own are missed.
    """
    report, script, left_out = context.config.report, scripts(), {run.recipe for run in context.runs}
    left_out |= set() if report else set(variants())
    known = dict.fromkeys(row.recipe for row in REPORTS[report]()) if report else script
    missing = [recipe for recipe in known if kind_of_recipe(recipe) == kind and recipe not in left_out]
    if not missing:
        return []
    domains = " --source mnistm --target svhn" if kind == ADAPTATION else ""
    commands = [f"bash scripts/{script[recipe].removesuffix('.py')}.sh {recipe}{domains}" for recipe in missing]
    commands = [f"bash scripts/reproduce.sh report-{report}"] if report else commands
    names = ", ".join(f"`{recipe}`" for recipe in missing)
    return [Note(f"No run of {names}; to make {'them' if len(missing) > 1 else 'it'}:", "\n".join(commands))]
