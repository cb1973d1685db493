"""The table of all adaptations, ours beside the reported: `python -m report.dann_table RUNS [RUNS2 ...] --out DIR`.

Every RUNS/*/scores.json (of metrics.adaptation) counts; runs that differ only in their seed make one entry: mean ± std.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import fmean, stdev

import matplotlib.pyplot as plt
import tyro
from matplotlib.figure import Figure

from data.augment import AUGMENTATIONS, Augmentation
from data.tables import write_table
from metrics.adaptation import NEEDED_SETTINGS
from runtime.errors import UserError, run_command
from runtime.figures import save_figure
from runtime.files import write_atomically

SOURCE_ONLY, ON_TARGET = "source only", "on target"
# What settings that a scored run does not say stood at, or would have.
DEFAULTS = {"augment": "off", "threshold": 0.9, "target_ratio": 1, "pseudo_weight": 1.0, "pseudo_ramp": 0.5}
DEFAULTS |= {"interpolation": True, "alignment": True, "relative_threshold": True}
DEFAULTS |= {"domain_weight": 1.0, "reconstruction_weight": 0.01, "difference_weight": 0.01}
# Settings that switch parts of AdaMatch off, strong pictures aside: those are a row of their own.
ADAMATCH_PARTS = {
    "balanced": "balanced classes",
    "interpolation": "interpolation",
    "alignment": "alignment",
    "relative_threshold": "relative threshold",
    "pseudo_weight": "pseudo-labels",
    "pseudo_ramp": "ramp",
    "ema_decay": "averaged weights",
}
CAPTION = "Target accuracy in per cent on test.csv (on val.csv), mean ± std over seeds."
# (source, target), report, accuracies in per cent by system.
REPORTED = [
    (("mnistm", "usps"), "000", {SOURCE_ONLY: 69, "dann": 73, ON_TARGET: 95}),
    (("svhn", "mnistm"), "000", {SOURCE_ONLY: 40, "dann": 52, ON_TARGET: 95}),
    (("usps", "svhn"), "000", {SOURCE_ONLY: 10, "dann": 14, ON_TARGET: 88}),
    (("mnistm", "usps"), "001", {SOURCE_ONLY: 85.55, "dann": 93.22, ON_TARGET: 97.11}),
    (("svhn", "mnistm"), "001", {SOURCE_ONLY: 48.48, "dann": 51.61, ON_TARGET: 98.35}),
    (("usps", "svhn"), "001", {SOURCE_ONLY: 15.07, "dann": 28.53, ON_TARGET: 93.43}),
    (("mnistm", "svhn"), "002", {SOURCE_ONLY: 28.80, "dann": 56.16, ON_TARGET: 92.14}),
    (("mnistm", "usps"), "002", {SOURCE_ONLY: 77.35, "dann": 93.88, ON_TARGET: 98.79}),
    (("usps", "mnistm"), "003", {SOURCE_ONLY: 20.8, "dann": 61, "dsn": 68, ON_TARGET: 98.1}),
    (("mnistm", "svhn"), "003", {SOURCE_ONLY: 34.4, "dann": 41.9, "dsn": 52.3, ON_TARGET: 92.1}),
    (("svhn", "usps"), "003", {SOURCE_ONLY: 68.9, "dann": 72.1, "dsn": 76.3, ON_TARGET: 97.3}),
    (("mnistm", "svhn"), "004", {SOURCE_ONLY: 39, "dann": 49, ON_TARGET: 92}),
    (("mnistm", "usps"), "004", {SOURCE_ONLY: 80, "dann": 82, ON_TARGET: 99}),
]


@dataclass
class Config:
    """Write table.csv, table.md and table.png from scored runs."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of run directories."""
    out: Path
    """Folder for the table."""


@dataclass(frozen=True, order=True)
class Row:
    """A row of the table."""

    source: str
    target: str
    network: str
    augment: str
    steps: int


@dataclass(frozen=True)
class Entry:
    """Accuracies in [0, 1] of one system in one row, of each run one; empty where a split has no labels."""

    val: tuple[float, ...]
    test: tuple[float, ...]


Table = dict[Row, dict[str, Entry]]


def read_scores(folders: Sequence[Path]) -> list[dict]:
    """Every FOLDER/*/scores.json of metrics.adaptation; raises UserError for one that is something else."""
    scored = []
    for path in [path for folder in folders for path in sorted(folder.glob("*/scores.json"))]:
        try:
            scored.append(json.loads(path.read_text()))
            if not are_scores(scored[-1]):
                raise KeyError
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is not by metrics.adaptation: delete it and score the run again") from error
    return scored


def are_scores(content: dict) -> bool:
    """Whether this is what metrics.adaptation writes; may raise KeyError, TypeError or AttributeError if it is not."""
    wanted = NEEDED_SETTINGS | {"scores", "steps"}
    if content["method"] == "adamatch":
        wanted |= ADAMATCH_PARTS.keys() - {"pseudo_ramp"}
    return wanted <= content.keys() and content["augment"] in AUGMENTATIONS and bool(content["scores"])


def in_todays_settings(run: dict) -> dict:
    """A scored run with the settings that today's scripts have: AdaMatch's ramp was a switch beside its length."""
    if run["method"] == "dann":
        return run
    settings = {key: value for key, value in run.items() if key != "ramp"}
    if run["method"] == "adamatch":
        settings["pseudo_ramp"] = run.get("pseudo_ramp", DEFAULTS["pseudo_ramp"]) if run.get("ramp", True) else 0.0
    return settings


def entry_of(runs: list[dict], domain: str) -> Entry:
    """The accuracies on a domain of scored runs that are seeds of one another.

    Raises UserError where they differ in anything else or repeat a seed: such runs have no mean.
    """
    first = runs[0]
    ignored = {"seed", "scores"}
    if first["method"] == "supervised":
        ignored.add("target")  # where only a curve was drawn
    for run in runs[1:]:
        if different := differences(first, run, ignored):
            what = f"{first['recipe']} on {first['network']} with {first['augment']} pictures"
            raise UserError(f"runs of {what} differ in {', '.join(different)}: keep them in folders of their own")
    if len({run["seed"] for run in runs}) < len(runs):
        raise UserError(f"two runs of {first['recipe']} from {first['source']} have one seed: keep one of them")
    scores = [run["scores"][domain] for run in runs]
    return Entry(*(tuple(score[split] for score in scores if split in score) for split in ("val", "test")))


def differences(run: dict, other: dict, ignored: set[str]) -> list[str]:
    """The settings that two scored runs differ in; one that is younger than a run had its default there, or was off."""
    one, two = ({key: value or 0 for key, value in (DEFAULTS | settings).items()} for settings in (run, other))
    return sorted(key for key in (one.keys() | two.keys()) - ignored if one.get(key, 0) != two.get(key, 0))


def network_of(run: dict) -> str:
    """The network of a scored run, with its width where that is not its own."""
    return f"{run['network']}, width {run['width']}" if run["width"] else run["network"]


def augment_of(run: dict) -> str:
    """How a scored run's pictures were changed: the name, and what was given by itself."""
    given = {field.name: run.get(field.name) for field in fields(Augmentation)}
    return ", ".join([run["augment"], *(f"{name} {limit:g}" for name, limit in given.items() if limit is not None)])


def main(config: Config) -> None:
    """Write the table in its three forms and print it."""
    scored = read_scores(config.runs)
    folders = ", ".join(map(str, config.runs))
    if not scored:
        raise UserError(f"no scored runs in {folders}: make them with scripts/reproduce.sh adaptation")
    table = collect(scored)
    if not table:
        raise UserError(f"only supervised runs are scored in {folders}: adapt something")
    write_csv(table, config.out / "table.csv")
    text = markdown(table)
    write_atomically(config.out / "table.md", text.encode())
    save_figure(bars(table), config.out / "table.png")
    print(text)


def collect(scored: list[dict]) -> Table:
    """The table of what metrics.adaptation wrote: rows in order, in each its systems.

    A supervised run gives the lower bound of every scenario from its domain that was adapted, and the upper bound of
    every one to it; of several lengths the row's own is taken.
    """
    runs = defaultdict(list)
    scored = [in_todays_settings(run) for run in scored]
    for run in scored:
        if run["method"] != "supervised":
            row = Row(run["source"], run["target"], network_of(run), augment_of(run), run["steps"])
            runs[row, system_of(run)].append(run)
    for row in {row for row, _ in runs}:
        alike = [run for run in scored if (network_of(run), augment_of(run)) == (row.network, row.augment)]
        for system, source in ((SOURCE_ONLY, row.source), (ON_TARGET, row.target)):
            bounds = [run for run in alike if (run["method"], run["source"]) == ("supervised", source)]
            bounds = [run for run in bounds if row.target in run["scores"]]
            if bounds := [run for run in bounds if run["steps"] == row.steps] or bounds:
                runs[row, system] = bounds
    table: Table = {row: {} for row in sorted({row for row, _ in runs})}
    for (row, system), seeds in runs.items():
        table[row][system] = entry_of(seeds, row.target)
    return table


def switched_off(run: dict) -> list[str]:
    """The settings in ADAMATCH_PARTS that a scored run of adamatch did without; none for another method."""
    return [setting for setting in ADAMATCH_PARTS if run["method"] == "adamatch" and not run[setting]]


def system_of(run: dict) -> str:
    """The column of a scored run: its recipe, and what was switched off, so that only equal runs are averaged."""
    return " ".join([run["recipe"], *(f"without {ADAMATCH_PARTS[setting]}" for setting in switched_off(run))])


def systems_of(table: Table) -> list[str]:
    """The columns: lower bound, the recipes by name, upper bound."""
    adapted = {system for row in table.values() for system in row} - {SOURCE_ONLY, ON_TARGET}
    return [SOURCE_ONLY, *sorted(adapted), ON_TARGET]


def best_reported(source: str, target: str, system: str) -> float | None:
    """The best reported accuracy, in per cent, of a system or its family in this scenario; None for none.

    A variant of DANN stands beside the reports' DANN, AdaMatch, which no report has, beside the better of all.
    """
    bounds = (SOURCE_ONLY, ON_TARGET)
    families = [family for family in (*bounds, "dann", "dsn") if system.startswith(family)] or ["dann", "dsn"]
    figures = [figures for scenario, _, figures in REPORTED if scenario == (source, target)]
    return max((row[family] for row in figures for family in families if family in row), default=None)


def write_csv(table: Table, path: Path) -> None:
    """One line for each entry, accuracies in per cent; std is that of a sample, empty for one run."""
    header = ["source", "target", "network", "augment", "steps", "system", "runs"]
    header += ["val_mean", "val_std", "test_mean", "test_std", "best_reported"]
    lines = []
    for row, entries in table.items():
        for system in systems_of(table):
            if system in entries:
                entry = entries[system]
                numbers = [*mean_and_std(entry.val), *mean_and_std(entry.test)]
                count = len(entry.val or entry.test)
                line = [row.source, row.target, row.network, row.augment, row.steps, system, count]
                lines.append([*line, *(f"{number:.2f}" if number is not None else "" for number in numbers)])
                reported = best_reported(row.source, row.target, system)
                lines[-1].append("" if reported is None else reported)
    write_table(path, header, lines)


def markdown(table: Table) -> str:
    """The table in Markdown."""
    header, *lines = [f"| {' | '.join(line)} |" for line in (header_of(table), *lines_of(table))]
    rule = "|---" * len(header_of(table)) + "|"
    return "\n".join([f"{CAPTION}\n", header, rule, *lines]) + "\n"


def header_of(table: Table) -> list[str]:
    """The names of the columns of `lines_of`."""
    return ["scenario", "network", "pictures", "steps", *systems_of(table)]


def lines_of(table: Table) -> list[list[str]]:
    """Accuracies on test.csv and, in brackets, val.csv; the reported figures follow each scenario."""
    systems, lines, rows = systems_of(table), [], list(table)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        scenario = f"{row.source} → {row.target}"
        cells = [cell(table[row].get(system)) for system in systems]
        lines.append([scenario, row.network, pictures_of(row.augment), f"{row.steps}", *cells])
        if following is None or (following.source, following.target) != (row.source, row.target):
            for reported, report, figures in REPORTED:
                if reported == (row.source, row.target):
                    cells = [f"{figures[system]:g}" if system in figures else "" for system in systems]
                    lines.append([scenario, f"*report {report}*", "", "", *cells])
    return lines


def bars(table: Table) -> Figure:
    """Bars of accuracy on test.csv (val.csv where it has no labels), a panel for each kind of pictures.

    A line across a bar is the best reported figure.
    """
    systems = systems_of(table)
    names = list(AUGMENTATIONS)
    panels = sorted({row.augment for row in table}, key=lambda augment: (names.index(augment.split(",")[0]), augment))
    widest = max(sum(row.augment == augment for row in table) for augment in panels)
    size = (2 + 1.6 * widest, 2.6 * len(panels))
    figure, grid = plt.subplots(len(panels), 1, figsize=size, squeeze=False, layout="constrained")
    width = 0.8 / len(systems)
    for axes, augment in zip(grid[:, 0], panels, strict=True):
        rows = [row for row in table if row.augment == augment]
        for number, system in enumerate(systems):
            for place, row in enumerate(rows):
                left = place + number * width
                reported = best_reported(row.source, row.target, system)
                entry = table[row].get(system)
                if entry and (entry.test or entry.val):
                    mean, std = mean_and_std(entry.test or entry.val)
                    axes.bar(left, mean, width, yerr=std, color=f"C{number}", capsize=2)
                if reported:
                    axes.hlines(reported, left - width / 2, left + width / 2, color="black")
            axes.bar(0, 0, color=f"C{number}", label=system)
        axes.hlines([], 0, 0, color="black", label="best reported")
        names = [f"{row.source} → {row.target}\n{row.network}\n{row.steps} steps" for row in rows]
        axes.set_xticks([place + 0.4 - width / 2 for place in range(len(rows))], names, fontsize=7)
        axes.set(xlim=(-width, len(rows) - 0.5 * width), ylim=(0, 100))
        axes.tick_params(axis="y", labelsize=7)
        axes.set_ylabel("accuracy / %", fontsize=8)
        axes.set_title(pictures_of(augment), fontsize=9)
    grid[0, 0].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def pictures_of(augment: str) -> str:
    """What the pictures of a row are called."""
    return augment.replace("off", "plain")


def mean_and_std(shares: tuple[float, ...]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation in per cent, None where there are too few."""
    mean = 100 * fmean(shares) if shares else None
    return mean, 100 * stdev(shares) if len(shares) > 1 else None


def percent(shares: tuple[float, ...], sign: str = "-") -> str:
    """Mean and spread in per cent, as `12.3 ± 0.4`; with the sign `+` also positive ones have theirs."""
    mean, std = mean_and_std(shares)
    return "–" if mean is None else f"{mean:{sign}.1f}" + (f" ± {std:.1f}" if std is not None else "")


def cell(entry: Entry | None) -> str:
    """Accuracy on test.csv and, in brackets, val.csv, as `12.3 ± 0.4 (12.5 ± 0.3)`; empty without an entry."""
    return "" if entry is None else f"{percent(entry.test)} ({percent(entry.val)})"


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Config, description=Config.__doc__)))
