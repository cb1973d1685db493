"""What each part of AdaMatch is worth: `python -m report.adamatch_ablation RUNS [RUNS2 ...] --out DIR`.

Every scored run of adamatch (of metrics.adaptation) in these folders counts, whole or without a part; runs that differ
only in their seed make one entry. What a part is worth is told by the seeds that were run with and without it.
scripts/reproduce.sh ablation makes the runs.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import tyro

from data.tables import write_table
from report.dann_table import (
    ADAMATCH_PARTS,
    CAPTION,
    Entry,
    cell,
    differences,
    entry_of,
    in_todays_settings,
    mean_and_std,
    percent,
    read_scores,
    switched_off,
)
from runtime.errors import UserError, run_command
from runtime.files import write_atomically

WHOLE = "whole"


@dataclass
class Config:
    """Write ablation.csv and ablation.md from scored runs of adamatch."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of run directories."""
    out: Path
    """Folder for the table."""


class Result(NamedTuple):
    """What runs without a part reach in one scenario."""

    entry: Entry
    """Their accuracies."""
    gains: tuple[float, ...]
    """What they gain over the whole runs of their seeds; empty for the whole itself."""


Table = dict[str, dict[str, Result]]  # by what was left out, by scenario


def main(config: Config) -> None:
    """Write the table in both its forms and print it; raises UserError when there is nothing to compare."""
    table = collect([run for run in read_scores(config.runs) if run["method"] == "adamatch"])
    if WHOLE not in table:
        folders = ", ".join(map(str, config.runs))
        raise UserError(f"no scored whole run of adamatch in {folders}: make it with scripts/reproduce.sh ablation")
    write_csv(table, config.out / "ablation.csv")
    text = markdown(table)
    write_atomically(config.out / "ablation.md", text.encode())
    print(text)


def settings_off(run: dict) -> list[str]:
    """The settings by which a scored run did without parts of AdaMatch."""
    return [*(["augment"] if run["augment"] in ("off", "weak") else []), *switched_off(run)]


def left_out(run: dict) -> str:
    """The parts that a scored run did without; `whole` for none."""
    names = {"augment": "strong views"} | ADAMATCH_PARTS
    return ", ".join(names[setting] for setting in settings_off(run)) or WHOLE


def collect(scored: list[dict]) -> Table:
    """The results, `whole` first, then in the order met; scenarios as `source → target`.

    Raises UserError where a run differs from the whole one in more than its part, or from its other seeds.
    """
    runs = defaultdict(lambda: defaultdict(list))
    scored = [in_todays_settings(run) for run in scored]
    for run in sorted(scored, key=lambda run: left_out(run) != WHOLE):
        runs[left_out(run)][f"{run['source']} → {run['target']}"].append(run)
    table: Table = {}
    for part, scenarios in runs.items():
        table[part] = {}
        for scenario, seeds in scenarios.items():
            first, whole = seeds[0], runs.get(WHOLE, {}).get(scenario, [])
            if whole and (different := differences(whole[0], first, {"seed", "scores", *settings_off(first)})):
                keys = ", ".join(different)
                raise UserError(f"{scenario} without {part} differs from the whole run in {keys}: make it alike")
            change = gains(seeds, whole) if part != WHOLE else ()
            table[part][scenario] = Result(entry_of(seeds, first["target"]), change)
    return table


def gains(seeds: list[dict], whole: list[dict]) -> tuple[float, ...]:
    """The accuracy that every seed gains (below 0: loses) over the whole run of that seed; of seeds that both have.

    On test.csv, or on val.csv where one of these runs has no labels for it.
    """
    before = {run["seed"]: run["scores"][run["target"]] for run in whole}
    pairs = [(before[run["seed"]], run["scores"][run["target"]]) for run in seeds if run["seed"] in before]
    for split in ("test", "val"):
        if all(split in scores for pair in pairs for scores in pair):
            return tuple(after[split] - before[split] for before, after in pairs)
    return ()


def write_csv(table: Table, path: Path) -> None:
    """One line for each entry, accuracies in per cent; std is that of a sample, empty for one run."""
    lines = []
    for part, scenarios in table.items():
        for scenario, (entry, change) in scenarios.items():
            numbers = [number for shares in (entry.val, entry.test, change) for number in mean_and_std(shares)]
            texts = [f"{number:.2f}" if number is not None else "" for number in numbers]
            lines.append([*scenario.split(" → "), part, len(entry.val or entry.test), *texts])
    header = ["source", "target", "without", "runs", "val_mean", "val_std", "test_mean", "test_std"]
    write_table(path, [*header, "gain_mean", "gain_std"], lines)


def markdown(table: Table) -> str:
    """A line for what was left out, two columns for a scenario: accuracies, and what they gain over the whole's."""
    scenarios = sorted({scenario for entries in table.values() for scenario in entries})
    lines = [f"{CAPTION} Gains over the whole are those of equal seeds.", ""]
    lines += [f"| without | {' | '.join(f'{scenario} | gain' for scenario in scenarios)} |"]
    lines += ["|---" * (1 + 2 * len(scenarios)) + "|"]
    for part, entries in table.items():
        cells = []
        for scenario in scenarios:
            entry, change = entries.get(scenario, (None, ()))
            cells += [cell(entry), percent(change, "+") if change else ""]
        lines.append(f"| {'nothing' if part == WHOLE else part} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Config, description=Config.__doc__)))
