"""How an AdaMatch run went: `python -m report.adamatch_curves RUN` draws its metrics.jsonl as RUN/curves.png."""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from matplotlib.axes import Axes

from report.figures import LETTERING, label_axes, panels
from report.runs import Run
from runtime.errors import UserError, run_command
from runtime.figures import save_figure

CLASSES = range(10)


@dataclass
class Config:
    """Draw mask rate and threshold, losses, accuracies, and the pseudo-labels by class against the source's."""

    run: tyro.conf.Positional[Path]
    """Run directory of train_dann.py adamatch."""
    out: Path | None = None
    """The PNG to write; curves.png of the run directory by default."""


def main(config: Config) -> None:
    """Draw the run; raises UserError for what is no run of adamatch."""
    run = Run(config.run, config.run.name, {})
    lines = run.log
    for problem in run.problems:
        print(f"{config.run} {problem}", file=sys.stderr)
    logged = [line for line in lines if "mask_rate" in line]
    if not logged:
        raise UserError(f"no mask_rate in {config.run / 'metrics.jsonl'}: give the directory of a run of adamatch")
    validated = [line for line in lines if {"source_accuracy", "target_accuracy"} & line.keys()]
    draw(logged, validated, config.out or config.run / "curves.png")


def draw(logged: list[dict], curve: list[dict], path: Path) -> None:
    """Four panels: three over the steps, and the histograms of the last tenth of the run."""
    figure, grid = panels(4, columns=2, height=3.2, width=5)
    contents = [
        ("", logged, {"mask_rate": "mask rate", "threshold": "threshold", "pseudo_weight": "weight mu"}),
        ("cross-entropy", logged, {"class_loss": "source, labels", "pseudo_loss": "target, pseudo-labels"}),
        ("validation accuracy", curve, {"source_accuracy": "source", "target_accuracy": "target"}),
    ]
    draw_label_shares(grid.pop(), logged)
    for axes, (unit, lines, names) in zip(grid, contents, strict=True):
        for name, label in names.items():
            points = [(line["step"], line[name]) for line in lines if name in line]  # val.csv may have no labels
            marker = "o" if len(points) == 1 else None  # as a line it would not be seen
            axes.plot([step for step, _ in points], [value for _, value in points], label=label, marker=marker)
        axes.set_ylim(0, None if unit == "cross-entropy" else 1.02)
        label_axes(axes, "step", unit)
        axes.legend(fontsize=LETTERING - 1, frameon=False)
    save_figure(figure, path)


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


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Config, description=Config.__doc__)))
