"""Domain adaptation: accuracies of every scenario, features in the plane, confusions, DSN's reconstructions."""

import numpy as np

from experiments import cells, tables
from experiments.reported import ON_TARGET, SOURCE_ONLY, best
from experiments.runs import ADAPTATION, of_kind, points_of, repetitions
from metrics.confusion import confusion_figure
from report.context import Context, attempt, not_run
from report.figures import LETTERING, cut_grid, grid_figure, label_axes, panels, scatter
from report.page import Block, Heading, Note, Section
from report.sections.samples import read_grids
from runtime.errors import UserError
from training.directory import Run

DSN_ROWS = ("original", "reconstructed", "shared only", "private only")


def adaptation_section(context: Context) -> Section:
    """The accuracies of every scenario, and of each adapted network what its features and its mistakes look like."""
    runs = of_kind(context.runs, ADAPTATION)
    blocks = bars(context)
    for group in repetitions(runs):
        run = group[0]
        domains = filter(None, cells.place_of(run.settings))
        blocks.append(Heading(f"{run.recipe} {cells.scenario(*domains)}, `{run.name}`"))
        if len(group) > 1:
            blocks.append(Note(f"One of {len(group)} seeds: {run.config.get('seed')}."))
        blocks += attempt(context, run, "t-SNE", features_in_the_plane)
        blocks += confusion(context, run)
        if run.settings.get("method") == "dsn":
            blocks += reconstructions(context, run)
    return Section("Domain adaptation", blocks + not_run(context, ADAPTATION))


def bars(context: Context) -> list[Block]:
    """Bars of target accuracy by scenario and system, on test.csv, or val.csv without labels; nothing without runs.

    Lines are the best that any report states; of the page of one report, its own.
    """
    try:
        rows = tables.scenario_rows(context.records(ADAPTATION))
    except UserError:  # runs that do not compare: the table of scores says so
        rows = {}
    if not rows:
        return []
    adapted = dict.fromkeys(name for row in rows.values() for name in row if name not in (SOURCE_ONLY, ON_TARGET))
    names, width, report = [SOURCE_ONLY, *adapted, ON_TARGET], 0.8 / (len(adapted) + 2), context.config.report
    figure, (axes,) = panels(1, height=3.2, width=2 + 1.6 * len(rows))
    for place, ((source, target, _), row) in enumerate(rows.items()):
        for number, name in enumerate(names):
            own = [name] if report or name not in adapted else []
            left, stated = place + number * width, best(source, target, *own, report=report)
            if name in row:
                split = f"{target} test" if f"{target} test" in row[name].mean else f"{target} val"
                mean, std = (100 * part.get(split, np.nan) for part in (row[name].mean, row[name].std))
                axes.bar(left, mean, width, yerr=None if np.isnan(std) else std, color=f"C{number}", capsize=2)
            if stated:
                axes.hlines(stated, left - width / 2, left + width / 2, color="black")
    for number, name in enumerate(names):
        axes.bar(0, 0, width, color=f"C{number}", label=name)
    labels = [f"{cells.scenario(*place[:2])}\n{cells.in_words(dict(place[2]))}" for place in rows]
    axes.set_xticks([place + 0.4 - width / 2 for place in range(len(rows))], labels, fontsize=LETTERING - 1)
    axes.set_ylim(0, 100)
    label_axes(axes, "", "target accuracy / %")
    axes.legend(fontsize=LETTERING - 1, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    lines = f"what report {report} states" if report else "the best reported"
    caption = f"Target accuracies on test.csv (or val.csv): mean and deviation over seeds; black lines are {lines}."
    return [Heading("Source, adapted, target"), context.gallery.add("adaptation", figure, caption)]


def features_in_the_plane(context: Context, run: Run) -> list[Block]:
    """t-SNE of validation digits by class and, where there are two, by domain."""
    points = points_of(run)
    names = [cells.scenario(name) for name in points["names"].tolist()]
    figure, (left, *right) = panels(min(2, len(names)), columns=2, height=3.6, width=3.6)
    scatter(left, points["plane"], points["labels"], list(map(str, range(points["labels"].max() + 1))), digits=True)
    left.set_title("by class", fontsize=LETTERING + 1)
    for axes in right:
        scatter(axes, points["plane"], points["domains"], names)
        axes.set_title("by domain", fontsize=LETTERING + 1, loc="right")
    how = "by class and by domain" if right else "by class"
    caption = f"t-SNE of the features of {len(points['labels'])} validation digits of {' and '.join(names)}, {how}."
    return [context.draw(run, "tsne", figure, caption)]


def confusion(context: Context, run: Run) -> list[Block]:
    """The confusion matrix on the target (the source of a supervised run), where the run was scored with it."""
    domain = run.settings.get("target") or run.settings["source"]
    counted = run.json("scores.json", lambda content: content.get("confusion", {}).get(domain))
    if not counted:
        return []
    matrix = np.array(counted["matrix"])
    share = matrix.trace() / max(1, matrix.sum())
    domain = f"{cells.scenario(domain)}, {counted['split']}.csv"
    figure = confusion_figure(matrix, f"{domain}: accuracy {100 * share:.1f} %")
    caption = f"the {matrix.sum()} digits of {domain}, by true and predicted label, shaded by their share of the row."
    if "calibration_error" in counted:
        caption += f" Expected calibration error {100 * counted['calibration_error']:.1f} %."
    return [context.draw(run, "confusion", figure, caption)]


def reconstructions(context: Context, run: Run) -> list[Block]:
    """DSN's last grid: digits of each domain, reconstructed from all features, the shared and the private only."""
    grids = read_grids(run)
    if not grids:
        return [Note(f"`{run.name}` has no grid of reconstructions yet.")]
    step, page = grids[-1]
    pictures = cut_grid(page, 8)
    names = [f"{cells.scenario(domain)}, {row}" for domain in cells.place_of(run.settings) for row in DSN_ROWS]
    figure = grid_figure(pictures, names[: len(pictures)], scale=2)
    caption = f"digits at step {step}, and reconstructions from both features, the shared only and the private only."
    return [context.draw(run, "reconstructions", figure, caption, chart=False)]
