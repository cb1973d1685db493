"""Loss curves, settings and networks of each run."""

import json
import re

import pandas as pd
from matplotlib.axes import Axes

from experiments.runs import repetitions
from report.context import Context
from report.figures import LETTERING, draw_curves, label_axes, logarithmic_axis, panels
from report.page import Block, Note, Printout, Section
from training.directory import Run

# Which logged values share a panel: the panel's vertical axis, what their names match, and whether it is logarithmic.
PANELS = (
    ("loss of D and G", r"[dg]_loss", False),
    ("diffusion loss", r"loss", True),
    ("reconstruction loss", r"reconstruction_loss", True),
    ("difference loss", r"difference_loss", True),
    ("loss", r".*_loss", False),
    ("MSE (images in [0, 1])", r".*mse", True),
    ("KL / nats per dimension", r"kl.*", False),
    ("accuracy / %", r".*accuracy", False),
    ("share / %", r".*(mask|rate|threshold).*", False),
    ("weight of the adaptation", r"lambda|pseudo_weight", False),
    ("learning rate", r"lr", False),
)
NAMES = {"d_loss": "discriminator", "g_loss": "generator", "mse": "training", "val_mse": "validation"}
READING = (
    "Pale: each line of the log, the mean since the one before; bold: smoothed over them. Accuracies: of source and "
    "target on their validation images; domain is the domain classifier's, real and fake the class head's, in training."
)
IN_PER_CENT = ("accuracy / %", "share / %")
OF_THE_LINE = ("step", "epoch", "seconds")  # say which line of the log it is


def curves_section(context: Context) -> Section:
    """A figure for each run, with a panel for each kind of value it logged; of repetitions the first."""
    blocks: list[Block] = [Note(READING)]
    for run, *others in repetitions(context.runs):
        if len(run.log) > 1:
            blocks.append(curves(context, run))
        else:
            blocks.append(Note(f"`{run.name}`: curves left out, fewer than two lines were logged."))
        if others:
            blocks.append(Note(f"Not drawn, other seeds of the same: {', '.join(f'`{run.name}`' for run in others)}."))
    return Section("Loss curves", blocks)


def curves(context: Context, run: Run) -> Block:
    """The figure of one run."""
    log = pd.DataFrame(run.log)
    by_panel = panels_of(set(log))
    labelled = [line for line in run.log if "pseudo_0" in line]
    figure, grid = panels(len(by_panel) + bool(labelled))
    if labelled:
        draw_label_shares(grid.pop(), labelled)
    for axes, (name, (keys, logarithmic)) in zip(grid, by_panel.items(), strict=True):
        factor = 100 if name in IN_PER_CENT else 1
        lines = {}
        for key in keys:
            title = NAMES.get(key, key.replace("_", " ").removesuffix(" loss").removesuffix(" accuracy"))
            logged = log[["step", key]].dropna()
            lines[title] = (logged["step"].tolist(), (factor * logged[key]).tolist())
        setting = name in ("weight of the adaptation", "learning rate")
        draw_curves(axes, lines, exact=setting)
        label_axes(axes, "training step", name)
        every = [value for _, values in lines.values() for value in values]
        if logarithmic and 0 < 3 * min(every) < max(every):
            logarithmic_axis(axes)
        elif name == "accuracy / %":
            axes.set_ylim(0, 102)
        elif setting:
            axes.set_ylim(0, 1.05 * max(every) or 1)
        axes.set_xlim(0, 1.03 * log["step"].max())
        if len(lines) > 1 or not (setting or title in name.lower()):  # else the axis says what the curve is
            above = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 3, "borderaxespad": 0}
            axes.legend(fontsize=LETTERING - 1, frameon=False, handlelength=1.8, columnspacing=0.8, **above)
    return context.draw(run, "curves", figure, f"{', '.join(by_panel)} by training step.")


def panels_of(keys: set[str]) -> dict[str, tuple[list[str], bool]]:
    """The logged names in panels, and whether a panel is logarithmic; what fits no panel gets one of its own."""
    by_panel: dict[str, tuple[list[str], bool]] = {}
    for key in sorted(key for key in keys - set(OF_THE_LINE) if not re.fullmatch(r"(source|pseudo)_\d+", key)):
        panel = next((panel for panel in PANELS if re.fullmatch(panel[1], key)), (key.replace("_", " "), "", False))
        by_panel.setdefault(panel[0], ([], panel[2]))[0].append(key)
    order = [name for name, _, _ in PANELS]
    return dict(sorted(by_panel.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))


def draw_label_shares(axes: Axes, logged: list[dict]) -> None:
    """Bars of how labels and accepted pseudo-labels were distributed over the classes in the last tenth of a run."""
    last = logged[-max(1, len(logged) // 10) :]
    for offset, (name, label) in zip((-0.2, 0.2), (("source", "labels"), ("pseudo", "pseudo-labels")), strict=True):
        heights = [100 * share for share in shares(last, name)]
        axes.bar([number + offset for number in range(len(heights))], heights, 0.4, label=label)
    axes.set_xticks(range(len(heights)))
    axes.set_ylim(0, 1.35 * axes.get_ylim()[1])  # room for the legend
    label_axes(axes, f"class, from step {last[0]['step']:.0f} on", "share of the labels / %")
    axes.legend(fontsize=LETTERING - 1, frameon=False)


def shares(lines: list[dict], name: str) -> list[float]:
    """How the labels called `name`, pseudo or source, were distributed over the classes in these lines.

    They add up to 1, or to 0 where there were none.
    """
    classes = sum(re.fullmatch(rf"{name}_\d+", key) is not None for key in lines[0])
    counts = [sum(line[f"{name}_{number}"] for line in lines) for number in range(classes)]
    return [count / (sum(counts) or 1) for count in counts]


def settings_section(context: Context) -> Section:
    """For each run, or set of repetitions: every setting, and how it was started."""
    blocks: list[Block] = []
    for group in repetitions(context.runs):
        run = group[0]
        names = ", ".join(f"`{one.name}` (seed {one.config.get('seed')})" for one in group)
        title = f"{names}: {len(run.settings)} settings of the recipe `{run.recipe}`"
        blocks.append(Printout(title, json.dumps(run.config, indent=2, ensure_ascii=False)))
    return Section("Settings", blocks)


def networks_section(context: Context) -> Section:
    """The layers of what was trained, once for all runs of the same networks."""
    users: dict[str, list[str]] = {}
    blocks: list[Block] = []
    for run in context.runs:
        try:
            users.setdefault((run.folder / "networks.txt").read_text(), []).append(f"`{run.name}`")
        except OSError:
            blocks.append(Note(f"`{run.name}`: networks left out, it has no `networks.txt`."))
    shown = [Printout(", ".join(names[:4]) + " …" * (len(names) > 4), text) for text, names in users.items()]
    return Section("Networks", shown + blocks)
