"""Domain adaptation: the three rows of every scenario, features in the plane, confusions, DSN's reconstructions."""

import numpy as np
from matplotlib.figure import Figure

from experiments import tables
from experiments.reported import ON_TARGET, SOURCE_ONLY, best
from experiments.results import Record
from experiments.runs import ADAPTATION, of_kind, repetitions
from metrics.confusion import confusion_figure
from report.context import Context, about, attempt, not_run, points_of
from report.figures import LETTERING, cut_sheet, label_axes, panels, scatter, sheet_figure
from report.page import Block, Heading, Missing, Section, Text
from report.sections.overview import table_of
from report.sections.samples import read_sheets
from runtime.errors import UserError
from training.directory import Run

DSN_ROWS = ("itself", "restored", "shared only", "private only")


def adaptation_section(context: Context) -> Section:
    """The table of every scenario, and of each adapted network what its features and its mistakes look like."""
    runs = of_kind(context.runs, ADAPTATION)
    records = context.records(runs) + context.votes
    blocks: list[Block] = []
    if records:
        blocks += [Heading("Source, adapted, target"), *table_of(lambda: tables.scenarios(records), "", turned=True)]
        blocks += bars(context, records)
    for group in repetitions(runs):
        run = group[0]
        domains = [run.settings.get("source"), run.settings.get("target")]
        blocks.append(Heading(f"{run.recipe} {' → '.join(domain for domain in domains if domain)}, `{run.name}`"))
        if len(group) > 1:
            blocks.append(Text(f"One of {len(group)} seeds: {run.config.get('seed')}."))
        blocks += attempt(context, run, "t-SNE", features_in_the_plane)
        blocks += confusion(context, run)
        if run.settings.get("method") == "dsn":
            blocks += reconstructions(context, run)
    return Section("Domain adaptation", blocks + not_run(context.runs, ADAPTATION))


def bars(context: Context, records: list[Record]) -> list[Block]:
    """Bars of target accuracy by scenario and system; nothing where the runs do not compare."""
    try:
        rows = tables.scenario_rows(records)
    except UserError:
        return []
    if not rows:
        return []
    figure = bar_figure(rows)
    alt = f"Bars of target accuracy in per cent for {len(rows)} scenarios."
    caption = "Target accuracies, mean and standard deviation over seeds; black lines are the best reported."
    return [context.gallery.add("adaptation", figure, alt, caption)]


def bar_figure(rows: dict) -> Figure:
    """Bars of tables.scenario_rows: accuracy on test.csv (val.csv where it has no labels), lines for the reported."""
    named = dict.fromkeys(name for row in rows.values() for name in row if name not in (SOURCE_ONLY, ON_TARGET))
    names, width = [SOURCE_ONLY, *named, ON_TARGET], 0.8 / (len(named) + 2)
    figure, (axes,) = panels(1, height=3.2, width=2 + 1.6 * len(rows))
    for place, ((source, target, _), row) in enumerate(rows.items()):
        for number, name in enumerate(names):
            left, stated = place + number * width, best(source, target, *([name] if name not in named else []))
            if name in row:
                split = f"{target} test" if f"{target} test" in row[name].mean else f"{target} val"
                mean, std = (100 * part.get(split, np.nan) for part in (row[name].mean, row[name].std))
                axes.bar(left, mean, width, yerr=None if np.isnan(std) else std, color=f"C{number}", capsize=2)
            if stated:
                axes.hlines(stated, left - width / 2, left + width / 2, color="black")
    for number, name in enumerate(names):
        axes.bar(0, 0, color=f"C{number}", label=name)
    labels = [f"{tables.scenario(*place[:2])}\n{tables.in_words(dict(place[2]))}" for place in rows]
    axes.set_xticks([place + 0.4 - width / 2 for place in range(len(rows))], labels, fontsize=LETTERING - 1)
    axes.set_ylim(0, 100)
    label_axes(axes, "", "accuracy / %")
    axes.legend(fontsize=LETTERING - 1, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


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
    domain = run.settings.get("target") or run.settings["source"]
    counted = run.json("scores.json", lambda content: content.get("confusion", {}).get(domain))
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
