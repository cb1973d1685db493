"""Tables of results beside what was reported, and their places in README.md and docs/: `python -m experiments tables`.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

import math
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from experiments import results
from experiments.claims import CLAIMS, verdict
from experiments.reported import BOUNDS, ON_TARGET, SOURCE_ONLY, best, of_system, reported
from experiments.reports import REPORTS
from experiments.results import Record
from experiments.rows import ROOT, scripts
from experiments.runs import ADAPTATION, kind_of_recipe
from runtime.errors import UserError
from runtime.files import write_atomically

DOMAINS = {"mnistm": "MNIST-M", "svhn": "SVHN", "usps": "USPS"}
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
    Metric("Fréchet", 1, ".3f", "↓"),
    Metric("precision", 1, ".3f", "↑"),
    Metric("recall", 1, ".3f", "↑"),
    Metric("IS", 1, ".2f", "↑"),
    Metric("HOG face rate", 100, ".1f", "% ↑"),
    Metric("accuracy", 100, ".1f", "% ↑"),
    Metric("MSE", 1, ".5f", "↓"),
    Metric("spread", 1, ".3f", "↑"),
    Metric("s per 1000", 1, ".0f", "↓"),
    Metric("", 100, ".1f", ""),  # accuracy on a domain's split
)


def metric_of(score: str) -> Metric:
    """How a score of this name is written."""
    return next(metric for metric in METRICS if score.startswith(metric.name))


def systems(records: list[Record]) -> pd.DataFrame:
    """Rows are systems, columns their scores: mean ± std, and what was reported.

    Raises UserError for scores that do not compare.
    """
    results.refuse_mixture(records)
    summary = results.summarise(records)
    means = pd.DataFrame(summary["mean"].tolist())
    names = sorted(means, key=lambda name: (METRICS.index(metric_of(name)), name))
    extremes = means.agg(lambda column: column.min() if "↓" in metric_of(column.name).arrow else column.max())
    titles = [f"{name} {metric_of(name).arrow}" for name in names]
    lines = []
    for line, conditions in zip(summary.itertuples(), conditions_of(summary, ignored=("steps",)), strict=True):
        best_ones = [name for name in names if line.mean.get(name) == extremes[name] and means[name].nunique() > 1]
        scores = [cell(line, name, bold=name in best_ones) for name in names]
        system = line.system if " " in line.system else f"`{line.system}`"
        about = [system + " †" * isinstance(line.note, str), in_words(conditions), epochs_of(line)]
        stated = ", ".join(f"{one.metric} {one.value} ({one.report})" for one in of_system(line.system))
        lines.append([*about, *scores, str(max(line.n.values())), stated, duration(line.seconds)])
    return table(["system", "conditions", "epochs", *titles, "runs", "reported", "training"], lines)


def scenarios(records: list[Record]) -> pd.DataFrame:
    """Rows are scenarios and conditions, columns systems: accuracy on test.csv (on val.csv) of the target in per cent.

    Supervised runs are the source-only baseline of every scenario from their domain that was adapted, and the upper
    bound of every one to it, in rows whose conditions are theirs. Raises UserError for scores that do not compare.
    """
    results.refuse_mixture(records)
    rows = scenario_rows(records)
    adapted = dict.fromkeys(name for row in rows.values() for name in row if name not in BOUNDS)
    names = [SOURCE_ONLY, *adapted, ON_TARGET]
    lines = []
    for (source, target, conditions), row in rows.items():
        cells = [accuracies(row[name], target) if name in row else "" for name in names]
        runs = ", ".join(sorted({str(max(line.n.values())) for line in row.values()}))
        figures = [best(source, target, SOURCE_ONLY), best(source, target)]
        stated = ", ".join(f"{figure:g}" for figure in figures if figure is not None)
        lines.append([scenario(source, target), in_words(dict(conditions)), *cells, runs, stated])
    titles = [name if name in BOUNDS else f"`{name}`" for name in names]
    return table(["scenario", "conditions", *titles, "runs", "best reported: source only, adapted"], lines)


def scenario_rows(records: list[Record]) -> dict[tuple[str, str, tuple], dict[str, NamedTuple]]:
    """The lines of the summary by system, bounds among them, for each source, target and conditions."""
    summary = results.summarise(records)
    lines = list(zip(summary.itertuples(), conditions_of(summary), strict=True))
    rows: dict[tuple[str, str, tuple], dict[str, NamedTuple]] = {}
    for line, conditions in sorted(lines, key=lambda pair: place_of(pair[0].settings)):
        if line.settings.get("target"):
            rows.setdefault((*place_of(line.settings), tuple(conditions.items())), {})[line.system] = line
    for line, conditions in lines:
        for (source, target, of_row), row in rows.items():
            fits = conditions.items() <= dict(of_row).items() and f"{target} val" in line.mean
            if line.settings.get("method") == "supervised" and fits:
                row |= {SOURCE_ONLY: line} if line.settings["source"] == source else {}
                row |= {ON_TARGET: line} if line.settings["source"] == target else {}
    return rows


def ablation(records: list[Record]) -> pd.DataFrame:
    """Rows are AdaMatch and what it is without a part, columns scenarios: accuracy, and the gain of equal seeds."""
    whole = {(*place_of(one["settings"]), one["seed"]): one for one in records if one["system"] == "adamatch"}
    for record in records:
        before = whole.get((*place_of(record["settings"]), record["seed"]), record)
        if before is not record and not record.get("runs"):
            target = record["settings"]["target"]
            record["scores"][f"{target} gain"] = record["scores"][f"{target} test"] - before["scores"][f"{target} test"]
    rows: dict[str, dict[str, str]] = {}
    for line in results.summarise(records).itertuples():
        place, target = scenario(*place_of(line.settings)), line.settings["target"]
        cells = {place: accuracies(line, target), f"{place}: gain of equal seeds": cell(line, f"{target} gain", "+")}
        rows[line.system] = rows.get(line.system, {"": line.system}) | cells
    frame = pd.DataFrame(rows.values(), dtype=object).fillna("")
    return table([title.split(": ")[-1] for title in frame], frame.to_numpy().tolist())


def beside_reported(records: list[Record], report: str) -> pd.DataFrame:
    """Every number that a report states, and what was measured here for its system."""
    summary = results.summarise(records)
    measured = list(zip(summary.itertuples(), conditions_of(summary), strict=True))
    lines = []
    for one in (one for one in reported() if one.report == report):
        place = " → ".join(DOMAINS.get(domain, domain) for domain in one.scenario.split("-") if domain)
        found = []
        for line, conditions in measured:
            if _is_of(line, one):
                target, metric = one.scenario.split("-")[-1], one.metric.split("-")[0]
                scores = accuracies(line, target) if target else scores_of(line, metric)
                found += [[scores, epochs_of(line), in_words(conditions)]] * bool(scores)
        about = [one.system, place, one.metric, one.value, one.conditions]
        lines += [[*about, *ours] for ours in found or [["not measured", "", ""]]]
    columns = ["system", "scenario", "metric", "reported", "its conditions", "measured", "epochs", "our conditions"]
    return table(columns, lines)


def claims(records: list[Record]) -> pd.DataFrame:
    """Everything that a report says it saw, the score that should tell, and whether it was seen here."""
    lines = {line.system: line for line in results.summarise(records).itertuples()}
    rows = []
    for claim in CLAIMS:
        better, worse = (lines.get(system) for system in (claim.better, claim.worse))
        scores = [cell(line, claim.score) if line else "" for line in (better, worse)]
        seen = "not measured"
        if all(scores):
            gain = better.mean[claim.score] - worse.mean[claim.score]
            gain *= -1 if "↓" in metric_of(claim.score).arrow else 1
            spread = math.hypot(*(line.std.get(claim.score, math.nan) for line in (better, worse)))
            seen = verdict(gain, spread, claim.alike)
        systems = [f"{system}: {score}" for system, score in zip((claim.better, claim.worse), scores, strict=True)]
        rows.append([claim.report, claim.text, claim.score, *(text.removesuffix(": ") for text in systems), seen])
    return table(["report", "it says", "score", "should be better", "should be worse", "seen here"], rows)


def all_systems(records: list[Record]) -> pd.DataFrame:
    """A row for every recipe but the bounds: reports, command, result here, and what was reported of the same.

    Of an adaptation the scenario is MNIST-M → SVHN, or the first that it has.
    """
    summary = list(results.summarise(records).itertuples())
    shown_in = [(row.recipe, report) for report, rows in REPORTS.items() for row in rows()]
    lines = []
    for recipe, script in scripts().items():
        if recipe.startswith("supervised"):
            continue
        found = [line for line in summary if line.system == recipe]
        stated = [one for one in reported() if one.system == recipe]
        command, place, where = f"bash scripts/{script.removesuffix('.py')}.sh {recipe}", "", ""
        if kind_of_recipe(recipe) == ADAPTATION:
            places = [one.scenario for one in stated] + ["-".join(place_of(line.settings)) for line in found]
            place = "mnistm-svhn" if "mnistm-svhn" in places or not places else places[0]
            source, target = place.split("-")
            command, where = f"{command} --source {source} --target {target}", f"{scenario(source, target)}: "
            found = [line for line in found if place_of(line.settings) == (source, target)]
        figures = ", ".join(f"{one.metric} {one.value}" for one in stated if one.scenario == place)
        cells = [f"{where}{text}" if text else "" for text in (result_of(found, place), figures)]
        reports = ", ".join(dict.fromkeys(report for name, report in shown_in if name == recipe))
        lines.append([reports, f"`{recipe}`", f"`{command}`", *cells])
    return table(["reports", "system", "command", "result here", "reported"], lines)


def result_of(lines: list[NamedTuple], place: str) -> str:
    """The scores of the one among lines of a system that stands for it; of adaptations in the scenario SOURCE-TARGET.

    That is the longest training, of equal ones the last: none is chosen by its score.
    """
    if not lines:
        return ""
    chosen = max(reversed(lines), key=lambda line: line.settings.get("steps") or line.epochs or 0)
    if place:
        return f"accuracy {cell(chosen, place.split('-')[1] + ' test')}"
    return scores_of(chosen, "FID", "HOG face rate", "accuracy", "MSE")


class Table(NamedTuple):
    """A table that documents may hold."""

    make: Callable[[list[Record]], pd.DataFrame]
    experiment: str
    """Whose rows make its numbers; empty where there are several."""
    sources: tuple[str, ...]
    """The files of results that it is made from."""


TABLES = {
    "systems": Table(
        all_systems,
        "",
        ("faces", "vae", "digits", "adaptation", "adamatch", *(f"report-{report}" for report in REPORTS)),
    ),
    **{name: Table(systems, name, (name,)) for name in ("faces", "face-ablation", "vae", "digits")},
    **{name: Table(systems, "digits", (name,)) for name in ("guidance", "samplers")},
    **{name: Table(scenarios, name, (name,)) for name in ("adaptation", "adamatch")},
    "ablation": Table(ablation, "ablation", ("ablation",)),
    "claims": Table(claims, "claims", ("claims", "guidance")),
    **{
        f"report-{report}": Table(partial(beside_reported, report=report), f"report-{report}", (f"report-{report}",))
        for report in REPORTS
    },
}


def markdown(name: str, records: list[Record]) -> str:
    """The table of an experiment, and under it its hardware, its command and what is to be said of single rows."""
    lines, experiment = lines_of(TABLES[name].make(records)), TABLES[name].experiment
    below = ["Mean ± standard deviation over runs."]
    if experiment:
        hardware = "; ".join(dict.fromkeys(record["hardware"] for record in records if record.get("hardware")))
        below[0] += f" {hardware}{': ' if hardware else ''}`bash scripts/reproduce.sh {experiment}`."
        below += dict.fromkeys(f"† {record['note']}" for record in records if record.get("note"))
    return "\n".join([*lines, "", "  \n".join(below)]) + "\n"


def lines_of(frame: pd.DataFrame) -> list[str]:
    """A data frame of texts as the lines of a Markdown table."""
    header, *lines = (f"| {' | '.join(line)} |" for line in (list(frame), *frame.to_numpy().tolist()))
    return [header, "|---" * len(frame.columns) + "|", *lines]


def documents() -> list[Path]:
    """The files that tables may stand in."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def with_tables(text: str) -> str:
    """`text` with every marked table as the committed results have it; raises UserError for a table that is none."""

    def marked(match: re.Match) -> str:
        if match[2] not in TABLES:
            raise UserError(f"no table {match[2]}: there are {', '.join(TABLES)}")
        records = [record for source in TABLES[match[2]].sources for record in results.load(source)]
        return f"{match[1]}\n{markdown(match[2], records)}\n{match[3]}"

    return MARKS.sub(marked, text)


def write_tables() -> None:
    """Bring the tables of all documents up to date."""
    for path in documents():
        write_atomically(path, with_tables(path.read_text()).encode())


def table(columns: list[str], lines: Iterable[list[str]]) -> pd.DataFrame:
    """Lines of cells, without the columns in which no line has anything."""
    frame = pd.DataFrame(lines, columns=columns, dtype=object)
    return frame.loc[:, (frame != "").any()]


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
    metric, mean, std = metric_of(name), line.mean.get(name), line.std.get(name)
    if pd.isna(mean):
        return ""
    text = f"{metric.factor * mean:{sign}{metric.form}}"
    if not pd.isna(std):
        text += f" ± {metric.factor * std:{metric.form}}"
    return f"**{text}**" if bold else text


def scores_of(line: NamedTuple, *beginnings: str) -> str:
    """The scores of a line whose names begin so, with their names."""
    return ", ".join(f"{name} {cell(line, name)}" for name in line.mean if name.startswith(beginnings))


def accuracies(line: NamedTuple, domain: str) -> str:
    """Accuracy on test.csv and, in brackets, on val.csv, each as mean ± std."""
    test, val = (cell(line, f"{domain} {split}") or "–" for split in ("test", "val"))
    return f"{test} ({val})"


def epochs_of(line: NamedTuple) -> str:
    """How many epochs the runs of a line took."""
    return f"{line.epochs:.4g}" if pd.notna(line.epochs) else ""


def duration(seconds: float | None) -> str:
    """A time in the unit that suits it; empty for none."""
    if pd.isna(seconds):
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def scenario(source: str, target: str) -> str:
    """A scenario, its domains as papers call them."""
    return f"{DOMAINS.get(source, source)} → {DOMAINS.get(target, target)}"


def place_of(settings: dict[str, Any]) -> tuple[str, str]:
    """Source and target of an adaptation, each empty where there is none."""
    return settings.get("source") or "", settings.get("target") or ""


def _is_of(line: NamedTuple, one: NamedTuple) -> bool:
    """Whether a line of a summary is of the system, the scenario and, of a bound, the network that a report names."""
    source, _, target = one.scenario.partition("-")
    if one.system in BOUNDS:
        network, trained_on = one.conditions.partition(";")[0], source if one.system == SOURCE_ONLY else target
        return (line.system, line.settings.get("source")) == (f"supervised-{network}", trained_on)
    return line.system == one.system and (not target or place_of(line.settings) == (source, target))
