"""Tables of results beside what was reported: which lines there are, and what stands in them."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from experiments import results
from experiments.cells import (
    METRICS,
    accuracies,
    cell,
    duration,
    epochs_of,
    in_words,
    metric_of,
    place_of,
    scenario,
    scores_of,
)
from experiments.claims import CLAIMS, verdict
from experiments.reported import BOUNDS, ON_TARGET, SOURCE_ONLY, best, of_system, reported
from experiments.reports import reports_of
from experiments.results import Record
from experiments.rows import bases, config_of, scripts, variants
from experiments.runs import ADAPTATION, kind_of_recipe


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


def scenarios(records: list[Record], report: str = "") -> pd.DataFrame:
    """Rows are scenarios and conditions, columns systems: accuracy on test.csv (on val.csv) of the target in per cent.

    Supervised runs are the source-only baseline of every scenario from their domain that was adapted, and the upper
    bound of every one to it, in rows whose conditions are theirs. The last column is of one `report`, or the best of
    all. Raises UserError for scores that do not compare.
    """
    results.refuse_mixture(records)
    rows = scenario_rows(records)
    adapted = dict.fromkeys(name for row in rows.values() for name in row if name not in BOUNDS)
    names = [SOURCE_ONLY, *adapted, ON_TARGET]
    lines = []
    for (source, target, conditions), row in rows.items():
        cells = [accuracies(row[name], target) if name in row else "" for name in names]
        runs = ", ".join(sorted({str(max(line.n.values())) for line in row.values()}))
        figures = [best(source, target, SOURCE_ONLY, report=report), best(source, target, report=report)]
        stated = ", ".join(f"{figure:g}" for figure in figures if figure is not None)
        lines.append([scenario(source, target), in_words(dict(conditions)), *cells, runs, stated])
    titles = [name if name in BOUNDS else f"`{name}`" for name in names]
    stated = f"reported in {report}: source only, best adapted" if report else "best reported: source only, adapted"
    return table(["scenario", "conditions", *titles, "runs", stated], lines)


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
    """Rows are recipes whole and with one part changed, columns scenarios: accuracy, and the gain of equal seeds.

    The gain is over the recipe that is changed; of a whole one, over AdaMatch.
    """
    all_of = {(one["system"], *place_of(one["settings"]), one["seed"]): one for one in records}
    for record in records:
        base = bases().get(record["system"], "adamatch")
        before = all_of.get((base, *place_of(record["settings"]), record["seed"]), record)
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
        place = scenario(*one.scenario.split("-"))
        found = []
        for line, conditions in measured:
            if _is_of(line, one):
                target, metric = one.scenario.split("-")[-1], one.metric.split("-")[0]
                scores = scores_of(line, f"{target} " if target else metric)
                scores = accuracies(line, target) if scores and target else scores
                other = [line.system] if one.system not in (line.system, *BOUNDS) else []
                ours = ", ".join(filter(None, [*other, in_words(conditions)]))
                found += [[scores, epochs_of(line), ours]] * bool(scores)
        about = [one.system, place, one.metric, one.value, one.conditions]
        lines += [[*about, *ours] for ours in found or [["not measured", "", ""]]]
    columns = ["system", "scenario", "metric", "reported", "its conditions", "measured", "epochs", "our conditions"]
    return table(columns, lines)


def in_a_line(record: Record, report: str) -> str:
    """What a report states of the system of one record, and what was measured: sentences for a caption."""
    told = ""
    for one in beside_reported([record], report).itertuples(name=None, index=False):
        system, place, metric, stated, conditions, measured, *_ = one
        if measured != "not measured":
            name = system.capitalize() if system in BOUNDS else f"`{system}`"
            what, split = (f"{name}, {place}: accuracy in %", " on test.csv (val.csv)") if place else (f"{metric}:", "")
            conditions = f" ({conditions})" if conditions else ""
            told += f" {what} reported {stated}{conditions}, measured {measured}{split}."
    return told


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
    """A row for every recipe but bounds and variants: reports, command, result here, and what was reported of it.

    Of an adaptation the scenario is MNIST-M → SVHN, or the first that it has.
    """
    summary = list(results.summarise(records).itertuples())
    lines = []
    for recipe, script in scripts().items():
        if recipe in variants() or config_of(recipe).to_json().get("method") == "supervised":
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
        lines.append([", ".join(reports_of(recipe)), f"`{recipe}`", f"`{command}`", *cells])
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


def _is_of(line: NamedTuple, one: NamedTuple) -> bool:
    """Whether a line of a summary is of the system, or its ensemble, the scenario and, of a bound, the network that a
    report names."""
    source, _, target = one.scenario.partition("-")
    if one.system in BOUNDS:
        network, trained_on = one.conditions.partition(";")[0], source if one.system == SOURCE_ONLY else target
        return (line.system, line.settings.get("source")) == (f"supervised-{network}", trained_on)
    ours = line.system in (one.system, f"{one.system} ensemble")
    return ours and (not target or place_of(line.settings) == (source, target))
