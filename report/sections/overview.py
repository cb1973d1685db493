"""What was run, what is damaged, and all scores beside the reported ones."""

from collections.abc import Callable
from functools import partial

import pandas as pd

from experiments import cells, rows, tables
from experiments.digits import generator
from experiments.results import record_of
from experiments.runs import ADAPTATION, DIGITS, FACES, VAES, commands_of, kind_of, of_kind
from report.context import Context
from report.page import Block, Heading, Note, Section, Table
from runtime.errors import UserError

FACE_NOTE = (
    "Reported: with the course's data, FID on 2048-dimensional Inception features. Ours: against validation faces of "
    "the training's data. FID, KID, precision and recall carry the width of their features: values of different widths "
    "do not compare. MSE is that of values in [0, 1], through posterior means; reported for ten test faces (the lowest "
    "and the highest), ours is the mean over all validation faces. Runs on the embedded data compare with nothing."
)
DIGIT_NOTE = (
    "Accuracy: the share of generated digits classified as requested. Reported: by the course's classifier, "
    "on the course's MNIST-M. Ours: by the classifier given to the command, on MNIST-M made as in its paper. Grid "
    "and reverse process of a diffusion model: in the setting of its recipe's scored digits, which the captions name."
)
ADAPTATION_NOTE = (
    "Target accuracy in per cent on test.csv (on val.csv). Reported: on the course's validation split. Ours: the last "
    "step's weights, on splits drawn from the pooled official digits; no label of the target took part in training."
)
REPORTED_NOTE = (
    "Accuracies in per cent, of adaptations on test.csv (on val.csv). FID carries the width of its features: values of "
    "different widths do not compare. What else differs stands below, under Scores."
)
KINDS = (
    ("Faces", (FACES, VAES), tables.systems, FACE_NOTE),
    ("Digits", (DIGITS,), tables.systems, DIGIT_NOTE),
    ("Adaptation", (ADAPTATION,), tables.scenarios, ADAPTATION_NOTE),
)
SCORES = {FACES: rows.FACES, VAES: (*rows.RECONSTRUCTIONS, *rows.FACES), ADAPTATION: rows.ADAPTATION}


def runs_section(context: Context, skipped: list[str]) -> Section:
    """The runs, how far each is, and what could not be read; to be made last, when everything has been read."""
    header = ["run", "recipe", "state", "steps", "epochs", "training", "seed", "hardware"]
    lines = []
    for run in context.runs:
        state = "finished" if run.finished else f"still going or interrupted at step {run.step} of {run.total}"
        about = [state, f"{run.step} of {run.total}", f"{run.epochs(run.step):.3g}", cells.duration(run.seconds)]
        lines.append([f"`{run.name}`", run.recipe, *about, *(str(run.config.get(key, "")) for key in header[-2:])])
    blocks: list[Block] = [Table(header, lines), *(Note(line) for line in skipped)]
    blocks += [Note(f"`{run.name}` {problem}.") for run in context.runs for problem in run.problems]
    return Section("Runs", blocks)


def scores_section(context: Context) -> Section:
    """Every score beside what was reported; for runs without any, the commands that score them."""
    blocks: list[Block] = []
    for title, kinds, make, note in KINDS:
        runs, records = of_kind(context.runs, *kinds), context.records(*kinds)
        if runs or records:
            about = {"report": context.config.report} if make is tables.scenarios else {}
            blocks += [Heading(title), *table_of(partial(make, records, **about), note)]
        for run in runs:
            if run.weights.exists() and not record_of(run):
                text = f"`{run.name}` has no scores; to score it:"
                scores = generator(run.recipe).scores if kind_of(run) == DIGITS else SCORES[kind_of(run)]
                blocks.append(Note(text, commands_of(run, scores)))
    return Section("Scores", blocks)


def reported_section(context: Context) -> Section:
    """Every number of one report, and what was measured here."""
    blocks = table_of(partial(tables.beside_reported, context.records(), context.config.report), REPORTED_NOTE)
    return Section(f"Report {context.config.report}: reported and measured", blocks)


def table_of(make: Callable[[], pd.DataFrame], note: str) -> list[Block]:
    """The table that `make` gives; a line where the runs do not compare."""
    try:
        frame = make().replace(r"\*\*", "", regex=True)
    except UserError as error:
        return [Note(f"No table: {error}.")]
    return [Table(list(frame), frame.to_numpy().tolist(), note)] if len(frame) else []
