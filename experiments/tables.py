"""Tables of results beside what was reported, and their places in README.md and docs/: `python -m experiments tables`.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from experiments import results
from experiments.reported import BOUNDS, ON_TARGET, SOURCE_ONLY, best, of_system, reported
from experiments.reports import REPORTS
from experiments.results import Record
from experiments.rows import ROOT, scripts
from runtime.errors import UserError
from runtime.files import write_atomically

DOMAINS = {"mnistm": "MNIST-M", "svhn": "SVHN", "usps": "USPS"}
ADAPTING = ("train_dann.py", "train_dsn.py", "train_adamatch.py")  # their commands name two domains
MARKS = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


class Metric(NamedTuple):
    """How the scores are written whose names begin so."""

    name: str
    factor: float
    form: str
    arrow: str


METRICS = (
    Metric("FID", 1, ".3f", "↓"),
    Metric("KID", 1, ".4f", "↓"),
    Metric("precision", 1, ".3f", "↑"),
    Metric("recall", 1, ".3f", "↑"),
    Metric("IS", 1, ".2f", "↑"),
    Metric("HOG face rate", 100, ".1f", "% ↑"),
    Metric("accuracy", 100, ".1f", "% ↑"),
    Metric("MSE", 1, ".5f", "↓"),
    Metric("s per 1000", 1, ".0f", "↓"),
)
PER_CENT = Metric("", 100, ".1f", "")  # of a domain's split
Lines = list[list[str]]


def systems(records: list[Record]) -> Lines:
    """Rows are systems, columns their scores: mean ± std, and what was reported; the header comes first."""
    summary = results.summarise(records)
    names = sorted({name for means in summary["mean"] for name in means}, key=lambda name: (_order(name), name))
    conditions = conditions_of(summary, ignored=("steps",))
    columns = {name: [means.get(name) for means in summary["mean"]] for name in names}
    lines = [["system", "conditions", "epochs", *(f"{name} {_metric(name).arrow}" for name in names)]]
    lines[0] += ["runs", "reported", "training"]
    for number, line in enumerate(summary.itertuples()):
        scores = [cell(line, name, bold=_is_best(columns[name], number, _metric(name))) for name in names]
        stated = [one for one in of_system(line.system) if not one.metric.startswith("parameters")]
        reports = ", ".join(f"{one.metric} {one.value} ({one.report})" for one in stated)
        about = [_name(line), in_words(conditions[number]), epochs_of(line)]
        lines.append([*about, *scores, str(max(line.n.values())), reports, duration(line.seconds)])
    return without_empty_columns(lines)


def scenarios(records: list[Record]) -> Lines:
    """Rows are scenarios and conditions, columns systems: accuracy on test.csv (on val.csv) of the target in per cent.

    Supervised runs are the source-only baseline of every scenario from their domain that was adapted, and the upper
    bound of every one to it, in rows whose conditions are theirs.
    """
    rows = scenario_rows(records)
    columns = [
        SOURCE_ONLY,
        *dict.fromkeys(name for row in rows.values() for name in row if name not in BOUNDS),
        ON_TARGET,
    ]
    lines = [["scenario", "conditions", *(name if name in BOUNDS else f"`{name}`" for name in columns)]]
    lines[0] += ["runs", "best reported: source only, adapted"]
    for (source, target, conditions), row in rows.items():
        figures = [best(source, target, SOURCE_ONLY), best(source, target)]
        stated = ", ".join(f"{figure:g}" for figure in figures if figure is not None)
        cells = [accuracies(row[name], target) if name in row else "" for name in columns]
        runs = ", ".join(sorted({str(max(line.n.values())) for line in row.values()}))
        lines.append([scenario(source, target), in_words(dict(conditions)), *cells, runs, stated])
    return without_empty_columns(lines)


def scenario_rows(records: list[Record]) -> dict[tuple[str, str, tuple], dict[str, NamedTuple]]:
    """The lines of the summary by system, bounds among them, for each source, target and conditions."""
    summary = results.summarise(records)
    conditions = conditions_of(summary)
    rows: dict[tuple[str, str, tuple], dict[str, NamedTuple]] = {}
    lines = [line for line in summary.itertuples() if line.settings.get("target")]
    order = list(dict.fromkeys((line.settings["source"], line.settings["target"]) for line in lines))
    for line in sorted(lines, key=lambda line: order.index((line.settings["source"], line.settings["target"]))):
        place = (line.settings["source"], line.settings["target"], tuple(conditions[line.Index].items()))
        rows.setdefault(place, {})[line.system] = line
    for line in summary.itertuples():
        for (source, target, of_row), row in rows.items():
            fits = conditions[line.Index].items() <= dict(of_row).items() and f"{target} val" in line.mean
            if line.settings.get("method") == "supervised" and fits:
                row |= {SOURCE_ONLY: line} if line.settings["source"] == source else {}
                row |= {ON_TARGET: line} if line.settings["source"] == target else {}
    return rows


def ablation(records: list[Record]) -> Lines:
    """Rows are AdaMatch and what it is without a part, columns scenarios: accuracy, and the gain of equal seeds."""
    whole = {
        (record["settings"]["source"], record["settings"]["target"], record["seed"]): record["scores"]
        for record in records
        if record["system"] == "adamatch"
    }
    for record in records:
        target = record["settings"]["target"]
        before = whole.get((record["settings"]["source"], target, record["seed"]))
        if before and record["system"] != "adamatch" and not record.get("runs"):
            record["scores"][f"{target} gain"] = record["scores"][f"{target} test"] - before[f"{target} test"]
    rows: dict[str, dict[str, list[str]]] = {}
    for line in results.summarise(records).itertuples():
        target = line.settings["target"]
        gain = cell(line, f"{target} gain", sign="+")
        place = scenario(line.settings["source"], target)
        rows.setdefault(line.system, {})[place] = [accuracies(line, target), gain]
    places = list(dict.fromkeys(place for row in rows.values() for place in row))
    lines = [["", *(title for place in places for title in (place, "gain of equal seeds"))]]
    return lines + [
        [name, *(text for place in places for text in row.get(place, ["", ""]))] for name, row in rows.items()
    ]


def beside_reported(records: list[Record], report: str) -> Lines:
    """Every number that a report states, and what was measured here for its system."""
    summary = results.summarise(records)
    conditions = conditions_of(summary)
    lines = [["system", "scenario", "metric", "reported", "its conditions", "measured", "epochs", "our conditions"]]
    for one in (one for one in reported() if one.report == report and not one.metric.startswith("parameters")):
        found = [line for line in summary.itertuples() if _stands_beside(line, one)] or [None]
        for line in found:
            place = " → ".join(DOMAINS.get(domain, domain) for domain in one.scenario.split("-") if domain)
            ours = ["not measured", "", ""]
            if line is not None:
                target = one.scenario.split("-")[-1]
                names = [name for name in line.mean if name.startswith(one.metric.split("-")[0])]
                scores = (
                    accuracies(line, target) if target else ", ".join(f"{name} {cell(line, name)}" for name in names)
                )
                ours = [scores, epochs_of(line), in_words(conditions[line.Index])]
            lines.append([one.system, place, one.metric, one.value, one.conditions, *ours])
    return without_empty_columns(lines)


def all_systems(records: list[Record]) -> Lines:
    """A row for every recipe but the bounds: reports, command, result here, and what was reported of the same.

    Of several results the one that was trained longest counts, the last of equally long ones: none is chosen by its
    score. Of an adaptation the scenario is MNIST-M → SVHN, or the first that it has.
    """
    summary = list(results.summarise(records).itertuples())
    shown_in = [(row.recipe, report) for report, rows in REPORTS.items() for row in rows()]
    lines = [["reports", "system", "command", "result here", "reported"]]
    for recipe, script in scripts().items():
        if recipe.startswith("supervised"):
            continue
        found = [line for line in summary if line.system == recipe]
        stated = [one for one in reported() if one.system == recipe and not one.metric.startswith("parameters")]
        command, place = f"bash scripts/{script.removesuffix('.py')}.sh {recipe}", ""
        if script in ADAPTING:
            places = [one.scenario for one in stated]
            places += [f"{line.settings['source']}-{line.settings['target']}" for line in found]
            place = "mnistm-svhn" if "mnistm-svhn" in places or not places else places[0]
            command += " --source {} --target {}".format(*place.split("-"))
        figures = ", ".join(f"{one.metric} {one.value}" for one in stated if one.scenario == place)
        reports = ", ".join(dict.fromkeys(report for name, report in shown_in if name == recipe))
        where = f"{scenario(*place.split('-'))}: " if place else ""
        cells = [f"{where}{text}" if text else "" for text in (result_of(found, place), figures)]
        lines.append([reports, f"`{recipe}`", f"`{command}`", *cells])
    return lines


def result_of(lines: list[NamedTuple], place: str) -> str:
    """The scores of the longest training among lines of one system; of adaptations in the scenario SOURCE-TARGET."""
    if place:
        lines = [line for line in lines if f"{line.settings['source']}-{line.settings['target']}" == place]
    if not lines:
        return ""
    lengths = [line.settings.get("steps") or line.epochs or 0 for line in lines]
    longest = [line for line, length in zip(lines, lengths, strict=True) if length == max(lengths)][-1]
    if place:
        return f"accuracy {cell(longest, place.split('-')[1] + ' test')}"
    told = ("FID", "HOG face rate", "accuracy", "MSE")
    return ", ".join(f"{name} {cell(longest, name)}" for name in longest.mean if name.startswith(told))


class Table(NamedTuple):
    """A table that documents may hold."""

    make: Callable[[list[Record]], Lines]
    experiment: str
    """Whose rows make its numbers."""
    sources: tuple[str, ...]
    """The files of results that it is made from."""


TABLES = {
    "systems": Table(all_systems, "report-000", ("faces", "vae", "digits", "adaptation", "adamatch")),
    **{name: Table(systems, name, (name,)) for name in ("faces", "face-ablation", "vae", "digits")},
    **{name: Table(systems, "digits", (name,)) for name in ("guidance", "samplers")},
    **{name: Table(scenarios, name, (name,)) for name in ("adaptation", "adamatch")},
    "ablation": Table(ablation, "ablation", ("ablation",)),
    **{
        f"report-{report}": Table(partial(beside_reported, report=report), f"report-{report}", (f"report-{report}",))
        for report in REPORTS
    },
}


def markdown(name: str, records: list[Record]) -> str:
    """The table of an experiment, and under it its hardware, its command and what is to be said of single rows."""
    header, *lines = [f"| {' | '.join(line)} |" for line in TABLES[name].make(records)]
    hardware = "; ".join(dict.fromkeys(record["hardware"] for record in records if record.get("hardware")))
    notes = dict.fromkeys(f"† {record['note']}" for record in records if record.get("note"))
    below = [
        f"Mean ± standard deviation over runs. {f'{hardware}: ' * bool(hardware)}"
        f"`bash scripts/reproduce.sh {TABLES[name].experiment}`.",
        *(notes if name != "systems" else ()),
    ]
    return "\n".join([header, "|---" * (header.count("|") - 1) + "|", *lines, "", "  \n".join(below)]) + "\n"


def documents() -> list[Path]:
    """The files that tables may stand in."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def with_tables(text: str) -> str:
    """`text` with every marked table as the committed results have it; raises UserError for a table that is none."""

    def table(match: re.Match) -> str:
        if match[2] not in TABLES:
            raise UserError(f"no table {match[2]}: there are {', '.join(TABLES)}")
        records = [record for source in TABLES[match[2]].sources for record in results.load(source)]
        return f"{match[1]}\n{markdown(match[2], records)}\n{match[3]}"

    return MARKS.sub(table, text)


def write_tables() -> None:
    """Bring the tables of all documents up to date."""
    for path in documents():
        write_atomically(path, with_tables(path.read_text()).encode())


def conditions_of(summary: pd.DataFrame, ignored: tuple[str, ...] = ()) -> list[dict[str, str]]:
    """Of each line those settings in which lines of one system differ."""
    names = [name for name in results.differing(summary) if name not in ignored]
    return [
        {name: str(settings[name] or "off") for name in names if name in settings} for settings in summary["settings"]
    ]


def in_words(conditions: dict[str, str]) -> str:
    """Settings as a cell tells them."""
    return ", ".join(f"{name.replace('_', ' ')} {value.replace('True', 'on')}" for name, value in conditions.items())


def cell(line: NamedTuple, name: str, sign: str = "", bold: bool = False) -> str:
    """A score of a line of a summary, as mean ± std; empty where it has none."""
    if pd.isna(line.mean.get(name, float("nan"))):
        return ""
    metric, std = _metric(name), line.std.get(name)
    text = f"{metric.factor * line.mean[name]:{sign}{metric.form}}"
    if std is not None and pd.notna(std):
        text += f" ± {metric.factor * std:{metric.form}}"
    return f"**{text}**" if bold else text


def accuracies(line: NamedTuple, domain: str) -> str:
    """Accuracy on test.csv and, in brackets, on val.csv, each as mean ± std."""
    test, val = (cell(line, f"{domain} {split}") or "–" for split in ("test", "val"))
    return f"{test} ({val})"


def epochs_of(line: NamedTuple) -> str:
    """How many epochs the runs of a line took."""
    return f"{line.epochs:.4g}" if pd.notna(line.epochs) else ""


def duration(seconds: float | None) -> str:
    """A time in the unit that suits it; empty for none."""
    if seconds is None or pd.isna(seconds):
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def scenario(source: str, target: str) -> str:
    """A scenario, its domains as papers call them."""
    return f"{DOMAINS.get(source, source)} → {DOMAINS.get(target, target)}"


def without_empty_columns(lines: Lines) -> Lines:
    """`lines`, header first, without the columns in which no line has anything."""
    kept = [column for column in range(len(lines[0])) if any(line[column] for line in lines[1:])]
    return [[line[column] for column in kept] for line in lines]


def _stands_beside(line: NamedTuple, one: NamedTuple) -> bool:
    """Whether a line of a summary measures what a line of reported.csv states."""
    if not one.scenario:
        return line.system == one.system and any(name.startswith(one.metric.split("-")[0]) for name in line.mean)
    source, target = one.scenario.split("-")
    if one.system in BOUNDS:
        wanted = source if one.system == SOURCE_ONLY else target
        return (line.settings.get("method"), line.settings.get("source")) == ("supervised", wanted)
    return line.system == one.system and [line.settings.get("source"), line.settings.get("target")] == [source, target]


def _metric(name: str) -> Metric:
    return next((metric for metric in METRICS if name.startswith(metric.name)), PER_CENT)


def _order(name: str) -> int:
    return next((number for number, metric in enumerate(METRICS) if name.startswith(metric.name)), len(METRICS))


def _is_best(column: list[float | None], number: int, metric: Metric) -> bool:
    """Whether this entry is the best of a column of several."""
    known = [value for value in column if value is not None]
    extreme = min if metric.arrow == "↓" else max
    return len(known) > 1 and column[number] is not None and column[number] == extreme(known) and len(set(known)) > 1


def _name(line: NamedTuple) -> str:
    mark = " †" if isinstance(line.note, str) else ""
    return (line.system if " " in line.system else f"`{line.system}`") + mark
