"""What was run, what is damaged, and all scores."""

from typing import Any

import numpy as np

from report import dann_table
from report.context import Context
from report.page import Block, Heading, Missing, Section, Table
from report.runs import Run
from report.systems import DIGITS, FACES, SYSTEMS, VAES, of_kind

FACE_NOTE = (
    "Reported: trained on 38,464 CelebA faces, FID on 2048-dimensional Inception features. Ours: trained on the "
    "pictures of the column `pictures per epoch` for the epochs given, scored against validation faces of the same "
    "data. FID, KID, precision and recall carry the width of their features: values of different widths do not "
    "compare. A reconstruction MSE is that of values in [0, 1], through posterior means; reported for ten test faces, "
    "ours is the mean over all validation faces, of a VAE that starts as a linear autoencoder unless its "
    "settings say otherwise. Runs on the embedded data (drawn faces, toy digits) compare with nothing."
)
DIGIT_NOTE = (
    "Accuracy: the share of generated digits that a classifier sees as what was asked for. Reported: by the course's "
    "classifier, on MNIST-M as handed out in the course. Ours: by the classifier given to the command, on MNIST-M made "
    "as in its paper from the BSDS500 photographs, or whatever the column `data` names. Our ACGANs learn with doubt "
    "and a gradient penalty, which the reports' did not, unless their settings are 0."
)
ADAPTATION_NOTE = (
    f"{dann_table.CAPTION} Reported: on the course's validation split, with all of its data. Ours: the last step's "
    "weights, on splits drawn anew from the pooled official digits, fewer where only a part of a download was there; "
    "no label of the target took part in training."
)
ADAPTATION_COMMANDS = ".venv/bin/python -m metrics.adaptation runs/RUN\nbash scripts/reproduce.sh adaptation"
Scores = dict[str, str]


def runs_section(context: Context, skipped: list[str]) -> Section:
    """The runs, how far each is, and what could not be read; to be made last, when everything has been read."""
    header = ["run", "recipe", "state", "steps", "epochs", "training", "seed", "hardware"]
    rows = []
    for run in context.runs:
        steps = f"{run.step} of {run.total}"
        seed, hardware = str(run.config.get("seed", "")), str(run.config.get("hardware", ""))
        row = [f"`{run.name}`", run.recipe, run.state, steps, f"{run.epochs:.3g}", _duration(run), seed, hardware]
        rows.append(row)
    blocks: list[Block] = [Table(header, rows)]
    blocks += [Missing(line) for line in skipped]
    blocks += [Missing(f"`{run.name}` {problem}.") for run in context.runs for problem in run.problems]
    return Section("Runs", blocks)


def scores_section(context: Context) -> Section:
    """Every score beside what was reported."""
    faces, digits = of_kind(context.runs, FACES, VAES), of_kind(context.runs, DIGITS)
    blocks: list[Block] = []
    if faces:
        blocks += [Heading("Faces"), _beside_reported(faces, face_scores, FACE_NOTE)]
        blocks += [Missing(f"`{run.name}` has no scores; to score it:", face_command(run)) for run in _unscored(faces)]
    if digits:
        blocks += [Heading("Digits"), _beside_reported(digits, digit_scores, DIGIT_NOTE)]
        blocks += [
            Missing(f"`{run.name}` has no scores; to score it:", digit_command(run)) for run in _unscored(digits)
        ]
    return Section("Scores", [*blocks, Heading("Adaptation"), *context.adaptations(_adaptations)])


def _adaptations(table: dann_table.Table) -> list[Block]:
    """Every adaptation beside the reported ones, or how to make one."""
    if not table:
        return [Missing("No adaptation was scored; to score one, or to make the whole table:", ADAPTATION_COMMANDS)]
    lines = dann_table.lines_of(table)
    quiet = frozenset(number for number, line in enumerate(lines) if line[1].startswith("*"))
    rows = [[cell.strip("*") for cell in line] for line in lines]
    return [Table(dann_table.header_of(table), rows, ADAPTATION_NOTE, quiet)]


def _beside_reported(runs: list[Run], scores_of: Any, note: str) -> Table:
    """A row for each run, and under those of a system what was reported of it."""
    scored = {run.name: scores_of(run) for run in runs}
    reported = {system.recipe: system.reported for system in SYSTEMS}
    recipes = list(dict.fromkeys(run.recipe for run in runs))
    found = [*scored.values(), *(scores for recipe in recipes for _, scores in reported.get(recipe, ()))]
    columns = sorted({name for scores in found for name in scores}, key=_order)
    rows, quiet = [], set()
    for recipe in recipes:
        for run in [run for run in runs if run.recipe == recipe]:
            pictures = run.config.get("steps_per_epoch", 0) * run.settings.get("batch_size", 0)
            row = [recipe, f"`{run.name}`", _data(run), f"{pictures}", f"{run.epochs:.3g}"]
            rows.append(row + [scored[run.name].get(name, "") for name in columns])
        for report, scores in reported.get(recipe, ()):
            quiet.add(len(rows))
            rows.append([recipe, f"report {report}", "", "", "", *(scores.get(name, "") for name in columns)])
    return Table(["system", "run", "data", "pictures per epoch", "epochs", *columns], rows, note, frozenset(quiet))


def _duration(run: Run) -> str:
    if run.seconds < 120:
        return f"{run.seconds:.0f} s"
    return f"{run.seconds / 60:.0f} min" if run.seconds < 5400 else f"{run.seconds / 3600:.1f} h"


def _data(run: Run) -> str:
    domain = run.settings.get("domain")
    return f"{run.settings.get('data', '')}" + (f", {domain}" if domain else "")


def _order(name: str) -> tuple[int, str]:
    order = ("accuracy", "FID", "KID", "precision", "recall", "Inception", "HOG", "reconstruction")
    return next((place for place, start in enumerate(order) if name.startswith(start)), len(order)), name


def _unscored(runs: list[Run]) -> list[Run]:
    files = ("score.json", "curve.json", "reconstruction.json")
    return [run for run in runs if run.weights.exists() and not any((run.folder / name).exists() for name in files)]


def face_scores(run: Run) -> Scores:
    """What score.json says of a face run, or the last point of curve.json; for a VAE also its reconstruction error."""
    content = run.json("score.json", lambda content: isinstance(content["hog_face_rate"], float | None))
    if content is None:
        curve = curve_of(run)
        content = curve[-1] if curve else {}
    scores = {}
    dims = content.get("dims")
    for key, form in (("fid", ".3f"), ("kid", ".3g"), ("precision", ".3f"), ("recall", ".3f")):
        if content.get(key) is not None:
            scores[f"{key.upper() if len(key) == 3 else key}-{dims}"] = f"{content[key]:{form}}"
    if content.get("inception_score") is not None:
        scores["Inception score"] = f"{content['inception_score']:.2f}"
    if content.get("hog_face_rate") is not None:
        scores["HOG face rate"] = f"{content['hog_face_rate']:.1%}".replace("%", " %")
    reconstruction = run.json("reconstruction.json", lambda content: content["mse"] >= 0)
    if reconstruction:
        scores["reconstruction MSE"] = f"{reconstruction['mse']:.5f}"
    elif any("val_mse" in line for line in run.log):
        last = [line["val_mse"] for line in run.log if "val_mse" in line][-1]
        scores["reconstruction MSE"] = f"{last:.5f} (at the last checkpoint)"
    return scores


def curve_of(run: Run) -> list[dict[str, Any]] | None:
    """The points of metrics.face_curve, where a run has them."""
    wanted = {"step", "epochs", "dims", "fid", "hog_face_rate"}
    return run.json("curve.json", lambda content: content and all(wanted <= point.keys() for point in content))


def digit_scores(run: Run) -> Scores:
    """What score.json says of a run that makes digits; else what samplers.json says of a diffusion network."""
    content = run.json("score.json", lambda content: 0 <= content["accuracy"] <= 1)
    if content is None:
        compared = run.json("samplers.json", lambda content: all(row["accuracy"] for row in content["rows"].values()))
        rows = (compared or {"rows": {}})["rows"]
        name = next((name for name in rows if name.startswith("dpm++, 20 steps")), None)
        return {"accuracy": f"{100 * np.mean(rows[name]['accuracy']):.2f} % (of {name})"} if name else {}
    scores = {"accuracy": f"{100 * content['accuracy']:.2f} %"}
    for key in ("fid", "precision", "recall"):
        if content.get(key) is not None:
            scores[f"{'FID' if key == 'fid' else key}-{content['dims']}"] = f"{content[key]:.3f}"
    return scores


def face_command(run: Run) -> str:
    """The commands that make score.json of a face run."""
    out, data = f"outputs/{run.name}", run.settings.get("data")
    commands = [
        f".venv/bin/python -m inference.generate_faces --weights {run.weights} --out {out}",
        f".venv/bin/python -m metrics.faces {out} --reference {data}/face/val --json {run.folder}/score.json",
    ]
    if run.recipe == "vae":
        commands.append(
            f".venv/bin/python -m inference.reconstruct_faces --weights {run.weights} --images {data}/face/val "
            f"--out {out}-reconstructions --json {run.folder}/reconstruction.json"
        )
    return "\n".join(commands)


def digit_command(run: Run) -> str:
    """The commands that make score.json of a run that makes digits."""
    out, domain = f"outputs/{run.name}", run.settings.get("domain", "mnistm")
    return (
        f".venv/bin/python -m inference.generate_digits --weights {run.weights} --out {out}\n"
        f".venv/bin/python -m metrics.digits {out} --classifier FILE "
        f"--reference {run.settings.get('data')}/digits/{domain} --json {run.folder}/score.json"
    )
