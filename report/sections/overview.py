"""What was run, what is damaged, and all scores beside the reported ones."""

from collections.abc import Callable

import pandas as pd

from experiments import tables
from experiments.runs import ADAPTATION, DIGITS, FACES, VAES, Run, kind_of, of_kind
from report.context import Context
from report.page import Block, Heading, Missing, Section, Table
from runtime.errors import UserError

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


def runs_section(context: Context, skipped: list[str]) -> Section:
    """The runs, how far each is, and what could not be read; to be made last, when everything has been read."""
    header = ["run", "recipe", "state", "steps", "epochs", "training", "seed", "hardware"]
    rows = []
    for run in context.runs:
        about = [run.state, f"{run.step} of {run.total}", f"{run.epochs:.3g}", tables.duration(run.seconds)]
        rows.append([f"`{run.name}`", run.recipe, *about, *(str(run.config.get(key, "")) for key in header[-2:])])
    blocks: list[Block] = [Table(header, rows), *(Missing(line) for line in skipped)]
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
            if run.weights.exists() and not run.record:
                blocks.append(Missing(f"`{run.name}` has no scores; to score it:", score_command(run)))
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
    header, *rows = zip(*lines, strict=True) if turned else lines
    return [Table(header, rows, note)] if len(frame) else []


def score_command(run: Run) -> str:
    """The commands that score a run, by which its numbers get into the tables."""
    out, data, python = f"outputs/{run.name}", run.settings.get("data"), ".venv/bin/python -m"
    scores = f"--json {run.folder}/scores.json"
    faces = [
        f"{python} inference.generate_faces --weights {run.weights} --out {out}",
        f"{python} metrics.faces {out} --reference {data}/face/val {scores}",
    ]
    reconstructions = (
        f"{python} inference.reconstruct_faces --weights {run.weights} --images {data}/face/val "
        f"--out {out}-reconstructions --json {run.folder}/reconstruction.json"
    )
    digits = [
        f"{python} inference.generate_digits --weights {run.weights} --out {out}",
        f"{python} metrics.digits {out} --classifier FILE --reference "
        f"{data}/digits/{run.settings.get('domain', 'mnistm')} {scores}",
    ]
    commands = {FACES: faces, VAES: [*faces, reconstructions], DIGITS: digits}
    return "\n".join(commands.get(kind_of(run), [f"{python} metrics.adaptation {run.folder}"]))
