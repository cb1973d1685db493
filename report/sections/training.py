"""Loss curves, settings and networks of each run."""

import json
import re

from matplotlib.axes import Axes
from torch import nn

from experiments.runs import Run, repetitions
from models import NETWORKS
from report.context import Context, about, attempt
from report.figures import LETTERING, draw_curves, label_axes, logarithmic_axis, panels
from report.page import Block, Missing, Printout, Section, Text

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
IN_PER_CENT = ("accuracy / %", "share / %")
OF_THE_LINE = ("step", "epoch", "seconds")  # say which line of the log it is
CLASSES = range(10)


def curves_section(context: Context) -> Section:
    """A figure for each run, with a panel for each kind of value it logged; of repetitions the first."""
    blocks: list[Block] = [
        Text("Bold: smoothed over neighbouring lines of the log; pale: as logged, each the mean since the line before.")
    ]
    for group in repetitions(context.runs):
        run = group[0]
        if len(run.log) > 1:
            blocks.append(curves(context, run))
        else:
            blocks.append(Missing(f"`{run.name}`: curves left out, fewer than two lines were logged."))
        if len(group) > 1:
            blocks.append(
                Text(f"Not drawn, other seeds of the same: {', '.join(f'`{run.name}`' for run in group[1:])}.")
            )
    return Section("Loss curves", blocks)


def curves(context: Context, run: Run) -> Block:
    """The figure of one run."""
    by_panel = panels_of({key for line in run.log for key in line})
    labelled = [line for line in run.log if "pseudo_0" in line]
    figure, grid = panels(len(by_panel) + bool(labelled))
    if labelled:
        draw_label_shares(grid.pop(), labelled)
    for axes, (name, (keys, logarithmic)) in zip(grid, by_panel.items(), strict=True):
        factor = 100 if name in IN_PER_CENT else 1
        lines = {
            NAMES.get(key, key.replace("_", " ").removesuffix(" loss").removesuffix(" accuracy")): (
                [line["step"] for line in run.log if key in line],
                [factor * line[key] for line in run.log if key in line],
            )
            for key in keys
        }
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
        if len(lines) > 1:
            axes.legend(fontsize=LETTERING - 1, frameon=False)
    alt = f"Curves against the training step of {run.name}: {', '.join(by_panel)}."
    return context.gallery.add(f"curves-{run.name}", figure, alt, f"{about(run)}, by training step.")


def panels_of(keys: set[str]) -> dict[str, tuple[list[str], bool]]:
    """The logged names in panels, and whether a panel is logarithmic; what fits no panel gets one of its own."""
    by_panel: dict[str, tuple[list[str], bool]] = {}
    for key in sorted(key for key in keys - set(OF_THE_LINE) if not re.fullmatch(r"(source|pseudo)_\d", key)):
        panel = next((panel for panel in PANELS if re.fullmatch(panel[1], key)), (key.replace("_", " "), "", False))
        by_panel.setdefault(panel[0], ([], panel[2]))[0].append(key)
    order = [name for name, _, _ in PANELS]
    return dict(sorted(by_panel.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))


def draw_label_shares(axes: Axes, logged: list[dict]) -> None:
    """Bars of how labels and accepted pseudo-labels were distributed over the classes in the last tenth of a run."""
    last = logged[-max(1, len(logged) // 10) :]
    for offset, (name, label) in zip((-0.2, 0.2), (("source", "labels"), ("pseudo", "pseudo-labels")), strict=True):
        heights = [100 * share for share in shares(last, name)]
        axes.bar([digit + offset for digit in CLASSES], heights, 0.4, label=label)
    axes.set_xticks(CLASSES)
    axes.set_ylim(0, 1.35 * axes.get_ylim()[1])  # room for the legend
    label_axes(axes, f"digit, from step {last[0]['step']:.0f} on", "share of the labels / %")
    axes.legend(fontsize=LETTERING - 1, frameon=False)


def shares(lines: list[dict], name: str) -> list[float]:
    """How the labels called `name`, pseudo or source, were distributed over the classes in these lines.

    They add up to 1, or to 0 where there were none.
    """
    counts = [sum(line[f"{name}_{digit}"] for line in lines) for digit in CLASSES]
    return [count / (sum(counts) or 1) for count in counts]


def settings_section(context: Context) -> Section:
    """A table for each run, or set of repetitions: every setting, and how it was started."""
    blocks: list[Block] = []
    for group in repetitions(context.runs):
        run = group[0]
        rows = [["command", " ; ".join(map(str, run.config.get("commands", [])))]]
        rows += [[key, _value(run.config[key])] for key in ("commit", "hardware", "versions") if key in run.config]
        rows += [[f"`{key}`", _value(value)] for key, value in run.settings.items() if key != "seed"]
        if len(group) > 1:
            rows.insert(0, ["runs", ", ".join(f"`{run.name}`" for run in group)])
        rows.insert(1, ["seed", ", ".join(str(run.config.get("seed", "")) for run in group)])
        blocks.append(
            Printout(f"`{run.name}`: {len(run.settings)} settings of the recipe `{run.recipe}`", _aligned(rows))
        )
    return Section("Settings", blocks)


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    return value if isinstance(value, str) else json.dumps(value)


def _aligned(rows: list[list[str]]) -> str:
    names = [name.strip("`") for name, _ in rows]
    width = max(map(len, names)) + 2
    return "\n".join(f"{name:{width}}{value}" for name, (_, value) in zip(names, rows, strict=True))


def networks_section(context: Context) -> Section:
    """The printout of every network, once, with its parameters counted.

    Networks are told apart by their printouts: spectral norm, for one, changes no count of parameters.
    """
    users: dict[tuple[str, str], list[str]] = {}
    blocks: list[Block] = []

    def add(title: str, network: nn.Module, run: Run) -> None:
        title = f"{title}: {_count(network):,} parameters"
        users.setdefault((title, f"{network}\n\n{_shares(network)}"), []).append(run.name)

    def printouts(run: Run) -> list[Block]:
        network = context.network_of(run, kind="")
        add(f"`{type(network).__name__}` ({_name_of(run)})", network, run)
        other = discriminator_of(run)
        if other:
            name, arguments = other
            add(f"`{name}` ({_name_of(run)}), trained beside it", NETWORKS[name](**arguments), run)
        return []

    for run in context.runs:
        blocks += attempt(run, "networks", lambda run=run: printouts(run))
    shown = [
        Printout(f"{title}; {', '.join(f'`{name}`' for name in names[:4])}{' …' * (len(names) > 4)}", text)
        for (title, text), names in users.items()
    ]
    return Section("Networks", shown + blocks)


def discriminator_of(run: Run) -> tuple[str, dict] | None:
    """Name in models.NETWORKS and arguments of what was trained beside the network that a run's weights hold.

    That is a GAN's discriminator of pixels, or the whole network whose classifier was kept; None if there is no other.
    """
    settings = run.settings
    if settings.get("discriminator") == "features":
        return None
    width = {"width": settings.get("width", 0)}
    match settings.get("networks") or settings.get("method"):
        case "dcgan":
            return "dcgan-discriminator", width | {"bias": settings["bias"]}
        case "pixelshuffle":
            return "dcgan-discriminator", width | {"spectral_norm": settings.get("spectral_norm", True)}
        case "sagan" | "acgan28" | "acgan64" as networks:
            return f"{networks}-discriminator", width
        case "fastgan":
            return "r3gan-discriminator", width
        case "dsn":
            return "dsn", width | {"network": settings["network"]}
        case "dann":
            return settings["network"], width
    return None


def _name_of(run: Run) -> str:
    return str(run.settings.get("networks") or run.settings.get("network") or run.recipe)


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _shares(network: nn.Module) -> str:
    """The parameters of each part of a network, a line each."""
    return "\n".join(f"{name:28}{_count(part):>14,} parameters" for name, part in network.named_children())
