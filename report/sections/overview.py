"""What was run, what is damaged, and all scores beside the reported ones."""

from collections.abc import Callable

import pandas as pd

from experiments import rows, tables
from experiments.results import record_of
from experiments.runs import ADAPTATION, DIGITS, FACES, VAES, kind_of, of_kind
from report.context import Context
from report.page import Block, Heading, Missing, Section, Table
from runtime.errors import UserError
from training.directory import Run

FACE_NOTE = (
    "Reported: with the course's data, FID on 2048-dimensional Inception features. Ours: against validation faces of "
    "the training's data. FID, KID, precision and recall carry the width of their features: values of different widths "
    "do not compare. MSE is that of values in [0, 1], through posterior means; reported for ten test faces (the lowest "
    "and the highest), ours is the mean over all validation faces. Runs on the embedded data compare with nothing."
)
DIGIT_NOTE = (
    "Accuracy: the share of generated digits classified as requested. Reported: by the course's classifier, "
    "on the course's MNIST-M. Ours: by the classifier given to the command, on MNIST-M made as in its paper."
)
ADAPTATION_NOTE = (
    "Target accuracy in per cent on test.csv (on val.csv). Reported: on the course's validation split. Ours: the last "
    "step's weights, on splits drawn from the pooled official digits; no label of the target took part in training."
)
KINDS = (
    ("Faces", (FACES, VAES), tables.systems, FACE_NOTE),
    ("Digits", (DIGITS,), tables.systems, DIGIT_NOTE),
    ("Adaptation", (ADAPTATION,), tables.scenarios, ADAPTATION_NOTE),
)


SCORES = {
    FACES: rows.FACES,
    VAES: (*rows.RECONSTRUCTIONS, *rows.FACES),
    DIGITS: rows.DIGITS,
    ADAPTATION: rows.ADAPTATION,
}


def runs_section(context: Context, skipped: list[str]) -> Section:
    """The runs, how far each is, and what could not be read; to be made last, when everything has been read."""
    header = ["run", "recipe", "state", "steps", "epochs", "training", "seed", "hardware"]
    lines = []
    for run in context.runs:
        state = "finished" if run.finished else f"still going or interrupted at step {run.step} of {run.total}"
        about = [state, f"{run.step} of {run.total}", f"{run.epochs(run.step):.3g}", tables.duration(run.seconds)]
        lines.append([f"`{run.name}`", run.recipe, *about, *(str(run.config.get(key, "")) for key in header[-2:])])
    blocks: list[Block] = [Table(header, lines), *(Missing(line) for line in skipped)]
    blocks += [Missing(f"`{run.name}` {problem}.") for run in context.runs for problem in run.problems]
    return Section("Runs", blocks)


def scores_section(context: Context) -> Section:
    """Every score beside what was reported; for runs without any, the commands that score them."""
    blocks: list[Block] = []
    for title, kinds, make, note in KINDS:
        runs = of_kind(context.runs, *kinds)
        votes = context.votes if ADAPTATION in kinds else []
        shown = table_of(lambda make=make, runs=runs, votes=votes: make(context.records(runs) + votes), note)
        if runs or votes:
            blocks += [Heading(title), *shown]
        for run in runs:
            if run.weights.exists() and not record_of(run):
                blocks.append(
                    Missing(f"`{run.name}` has no scores; to score it:", commands_of(run, SCORES[kind_of(run)]))
                )
    return Section("Scores", blocks)


def reported_section(context: Context) -> Section:
    """Every number of one report, and what was measured here."""
    records = context.records(context.runs) + context.votes
    blocks = table_of(lambda: tables.beside_reported(records, context.report), ADAPTATION_NOTE)
    return Section(f"Report {context.report}: reported and measured", blocks)


def table_of(make: Callable[[], pd.DataFrame], note: str, turned: bool = False) -> list[Block]:
    """The table that `make` gives, `turned` with a column for each row; a line where the runs do not compare."""
    try:
        frame = make().replace(r"\*\*", "", regex=True)
    except UserError as error:
        return [Missing(f"No table: {error}.")]
    lines = [list(frame), *frame.to_numpy().tolist()]
    header, *others = zip(*lines, strict=True) if turned else lines
    return [Table(header, others, note)] if len(frame) else []


def commands_of(run: Run, scores: tuple[str, ...]) -> str:
    """The commands of experiments.rows that score a run, by which its numbers get into the tables."""
    places = {"run": run.folder, "data": run.settings.get("data"), "domain": run.settings.get("domain", "mnistm")}
    return "\n".join(
        f".venv/bin/python -m {command.format(**places, dims=2048, classifier='Classifier.pth')}" for command in scores
    )
