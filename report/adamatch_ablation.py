"""What each part of AdaMatch is worth: `python -m report.adamatch_ablation RUNS [RUNS2 ...] --out DIR`.

Every scored run of adamatch (of report.dann_scores) in these folders counts, whole or without a part; runs that differ
only in their seed make one entry. scripts/ablate_adamatch.sh makes them.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import tyro

from data.tables import write_table
from report.dann_table import (
    ADAMATCH_PARTS,
    CAPTION,
    Entry,
    cell,
    differences,
    entry_of,
    mean_and_std,
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


Table = dict[str, dict[str, Entry]]  # by what was left out, by scenario


def main(config: Config) -> None:
    """Write the table in both its forms and print it; raises UserError when there is nothing to compare."""
    table = collect([run for run in read_scores(config.runs) if run["method"] == "adamatch"])
    if WHOLE not in table:
        folders = ", ".join(map(str, config.runs))
        raise UserError(f"no scored whole run of adamatch in {folders}: make it with scripts/ablate_adamatch.sh")
    write_csv(table, config.out / "ablation.csv")
    text = markdown(table)
    write_atomically(config.out / "ablation.md", text.encode())
    print(text)


def left_out(run: dict) -> str:
    """The parts that a scored run did without; `whole` for none."""
    views = ["strong views"] if run["augment"] in ("off", "weak") else []
    return ", ".join(views + switched_off(run)) or WHOLE


def collect(scored: list[dict]) -> Table:
    """The runs' accuracies on their target, `whole` first, then in the order met; scenarios as `source → target`.

    Raises UserError where a run differs from the whole one in more than its part.
    """
    runs = defaultdict(lambda: defaultdict(list))
    for run in sorted(scored, key=lambda run: left_out(run) != WHOLE):
        runs[left_out(run)][f"{run['source']} → {run['target']}"].append(run)
    for part, scenarios in runs.items():
        for scenario, (run, *_) in scenarios.items():
            whole, *_ = runs.get(WHOLE, {}).get(scenario, [run])
            if different := differences(whole, run, {"seed", "scores", "augment"} | ADAMATCH_PARTS):
                keys = ", ".join(different)
                raise UserError(f"{scenario} without {part} differs from the whole run in {keys}: make it alike")
    return {
        part: {scenario: entry_of(seeds, seeds[0]["target"]) for scenario, seeds in scenarios.items()}
        for part, scenarios in runs.items()
    }


def difference(table: Table, part: str, scenario: str) -> float | None:
    """How many points of accuracy leaving `part` out costs (below 0) or gains, on test.csv (val.csv without labels)."""
    entry, whole = table[part].get(scenario), table[WHOLE].get(scenario)
    if part == WHOLE or entry is None or whole is None:
        return None
    split = "test" if entry.test and whole.test else "val"
    before, after = (mean_and_std(getattr(shares, split))[0] for shares in (whole, entry))
    return None if before is None or after is None else after - before


def write_csv(table: Table, path: Path) -> None:
    """One line for each entry, accuracies in per cent."""
    lines = []
    for part, scenarios in table.items():
        for scenario, entry in scenarios.items():
            numbers = [*mean_and_std(entry.val), *mean_and_std(entry.test), difference(table, part, scenario)]
            texts = [f"{number:.2f}" if number is not None else "" for number in numbers]
            lines.append([*scenario.split(" → "), part, len(entry.val), *texts])
    header = ["source", "target", "without", "runs", "val_mean", "val_std", "test_mean", "test_std", "difference"]
    write_table(path, header, lines)


def markdown(table: Table) -> str:
    """A line for what was left out, two columns for a scenario: accuracies, and the difference it makes."""
    scenarios = sorted({scenario for entries in table.values() for scenario in entries})
    lines = [CAPTION, ""]
    lines += [f"| without | {' | | '.join(scenarios)} | |", "|---" * (1 + 2 * len(scenarios)) + "|"]
    for part, entries in table.items():
        cells = []
        for scenario in scenarios:
            change = difference(table, part, scenario)
            cells += [cell(entries.get(scenario)), "" if change is None else f"{change:+.1f}"]
        lines.append(f"| {'nothing' if part == WHOLE else part} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Config, description=Config.__doc__)))
