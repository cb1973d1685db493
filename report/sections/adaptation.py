"""Domain adaptation: the three rows of every scenario, features in the plane, confusions, DSN's reconstructions."""

from functools import partial
from statistics import fmean

import numpy as np

from metrics.labels import confusion_figure
from report import dann_table
from report.context import Context, about, attempt, not_run, points_of
from report.dann_table import ON_TARGET, SOURCE_ONLY, are_scores
from report.figures import LETTERING, cut_sheet, panels, scatter, sheet_figure
from report.page import Block, Heading, Missing, Section, Table, Text
from report.runs import Run, repetitions
from report.sections.samples import read_sheets
from report.systems import ADAPTATION, SYSTEMS, of_kind, training_command, without_run

DSN_ROWS = ("itself", "restored", "shared only", "private only")


def adaptation_section(context: Context) -> Section:
    """The table of every scenario, and of each adapted network what its features and its mistakes look like."""
    groups = repetitions(of_kind(context.runs, ADAPTATION))
    blocks: list[Block] = []
    if groups:
        rows = context.adaptations(partial(three_rows, context))
        blocks += [Heading("Source, adapted, target"), *rows, *unscored(groups)]
    for group in groups:
        run = group[0]
        blocks.append(Heading(f"{title_of(run)}, `{run.name}`"))
        if len(group) > 1:
            blocks.append(Text(f"One of {len(group)} seeds: {run.config.get('seed')}."))
        blocks += attempt(run, "t-SNE", lambda run=run: features_in_the_plane(context, run))
        blocks += attempt(run, "confusion matrix", lambda run=run: confusion(context, run))
        if run.settings.get("method") == "dsn":
            blocks += reconstructions(context, run)
    if context.accuracies and not any(run.settings.get("method") == "supervised" for run in context.runs):
        system = next(system for system in SYSTEMS if system.recipe == "supervised")
        line = "No bound was trained: one from the source is the lower, one from the target the upper bound."
        blocks.append(Missing(line, training_command(system)))
    return Section("Domain adaptation", blocks + not_run(without_run(context.runs, ADAPTATION)))


def title_of(run: Run) -> str:
    """Recipe and domains of an adaptation run."""
    domains = [run.settings.get("source"), run.settings.get("target")]
    return f"{run.recipe} {' → '.join(domain for domain in domains if domain)}"


def three_rows(context: Context, table: dann_table.Table) -> list[Block]:
    """Accuracy on the target of what was trained on the source, adapted, and trained on the target."""
    if not table:
        return []
    systems = dann_table.systems_of(table)
    columns = list(table)
    header = ["trained on", *(f"{row.source} → {row.target}" for row in columns)]
    setting = [f"{row.network}, {dann_table.pictures_of(row.augment)}, {row.steps}" for row in columns]
    names = {SOURCE_ONLY: "source only", ON_TARGET: "target"}
    rows = [["network, pictures, steps", *setting]]
    for system in systems:
        name = names.get(system, f"adapted by {system}")
        rows.append([name, *(_per_cent(table[row].get(system)) for row in columns)])
    note = "Accuracy on the target's test.csv (val.csv where that has no labels), in per cent, mean over seeds."
    figure = dann_table.bars(table)
    alt = f"Bars of target accuracy in per cent for {len(columns)} scenarios and {', '.join(systems)}."
    caption = "Target accuracies, mean and standard deviation over seeds; black lines are the best reported."
    return [Table(header, rows, note, frozenset({0})), context.gallery.add("adaptation", figure, alt, caption)]


def _per_cent(entry: dann_table.Entry | None) -> str:
    shares = (entry.test or entry.val) if entry else ()
    return f"{100 * fmean(shares):.1f}" if shares else ""


def unscored(groups: list[list[Run]]) -> list[Block]:
    """The runs without scores.json, and the commands that score them."""
    runs = [run for group in groups for run in group]
    commands = [
        f".venv/bin/python -m metrics.adaptation {run.folder}"
        for run in runs
        if run.weights.exists() and not (run.folder / "scores.json").exists()
    ]
    return [Missing("Not in the table, for want of scores; to score them:", "\n".join(commands))] if commands else []


def features_in_the_plane(context: Context, run: Run) -> list[Block]:
    """t-SNE of validation digits by class and by domain."""
    points = points_of(run)
    figure, (left, right) = panels(2, columns=2, height=3.6, width=3.6)
    scatter(left, points["plane"], points["labels"], [f"{digit}" for digit in range(10)], digits=True)
    scatter(right, points["plane"], points["domains"], points["names"].tolist())
    left.set_title("by class", fontsize=LETTERING + 1)
    right.set_title("by domain", fontsize=LETTERING + 1, loc="right")
    domains = " and ".join(points["names"].tolist())
    alt = f"Two maps of the features of {domains} digits by {run.name}: points marked by digit, and by domain."
    caption = f"{about(run)}: t-SNE of the features of {len(points['labels'])} validation digits of {domains}."
    return [context.gallery.add(f"tsne-{run.name}", figure, alt, caption)]


def confusion(context: Context, run: Run) -> list[Block]:
    """The confusion matrix on the target (the source of a supervised run), where the run was scored with it."""
    scores = run.json("scores.json", are_scores) or {}
    domain = run.settings.get("target") or run.settings["source"]
    counted = scores.get("confusion", {}).get(domain)
    if not counted:
        return []
    matrix = np.array(counted["matrix"])
    share = matrix.trace() / max(1, matrix.sum())
    figure = confusion_figure(matrix, f"{domain}, {counted['split']}.csv: accuracy {100 * share:.1f} %")
    alt = f"Confusion matrix of {run.name} on {domain}: counts of digits by true label and label given."
    caption = f"{about(run)}: counts of the {matrix.sum()} digits of {domain} in {counted['split']}.csv."
    return [context.gallery.add(f"confusion-{run.name}", figure, alt, caption)]


def reconstructions(context: Context, run: Run) -> list[Block]:
    """DSN's last sheet: digits of each domain, restored from all features, the shared and the private only."""
    sheets = read_sheets(run)
    if not sheets:
        return [Missing(f"`{run.name}` has no sheet of reconstructions yet.")]
    step, page = sheets[-1]
    cells = cut_sheet(page, 8)
    domains = (run.settings["source"], run.settings["target"])
    names = [f"{domain}, {row}" for domain in domains for row in DSN_ROWS]
    figure = sheet_figure(cells, names[: len(cells)], scale=2)
    alt = f"Digits of {domains[0]} and {domains[1]} and their reconstructions by {run.name}, in rows."
    caption = (
        f"`{run.name}` at step {step}: digits of each domain, and what is restored from both features, from the shared "
        "and from the private only."
    )
    return [context.gallery.add(f"reconstructions-{run.name}", figure, alt, caption, chart=False)]
