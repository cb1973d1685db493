"""How an AdaMatch run went: `python -m report.adamatch_curves RUN` draws its metrics.jsonl as RUN/curves.png."""

import json
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import tyro

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
    path = config.run / "metrics.jsonl"
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): give the directory of a run of adamatch") from error
    logged = [line for line in lines if "mask_rate" in line]
    if not logged:
        raise UserError(f"{path} has no mask_rate: give the directory of a run of adamatch")
    draw(logged, [line for line in lines if "source_accuracy" in line], config.out or config.run / "curves.png")


def shares(lines: list[dict], name: str) -> list[float]:
    """How the labels called `name`, pseudo or source, were distributed over the classes in these lines: sums to 1."""
    counts = [sum(line[f"{name}_{digit}"] for line in lines) for digit in CLASSES]
    return [count / (sum(counts) or 1) for count in counts]


def draw(logged: list[dict], curve: list[dict], path: Path) -> None:
    """Four panels: three over the steps, and the histograms of the last tenth of the run."""
    figure, grid = plt.subplots(2, 2, figsize=(10, 6.4), layout="constrained")
    panels = [
        (grid[0, 0], logged, {"mask_rate": "mask rate", "threshold": "threshold", "pseudo_weight": "weight mu"}),
        (grid[0, 1], logged, {"class_loss": "source, labels", "pseudo_loss": "target, pseudo-labels"}),
        (grid[1, 0], curve, {"source_accuracy": "source", "target_accuracy": "target"}),
    ]
    for axes, lines, names in panels:
        for name, label in names.items():
            points = [(line["step"], line[name]) for line in lines if name in line]  # val.csv may have no labels
            axes.plot([step for step, _ in points], [value for _, value in points], label=label)
        axes.set(xlabel="step")
        axes.legend(fontsize=8)
    grid[0, 0].set(ylim=(0, 1.02))
    grid[0, 1].set(ylim=(0, None), ylabel="cross-entropy")
    grid[1, 0].set(ylim=(0, 1.02), ylabel="validation accuracy")
    last = logged[-max(1, len(logged) // 10) :]
    for offset, (name, label) in zip((-0.2, 0.2), {"source": "source", "pseudo": "pseudo-labels"}.items(), strict=True):
        grid[1, 1].bar([digit + offset for digit in CLASSES], shares(last, name), 0.4, label=label)
    grid[1, 1].set(xlabel=f"digit, from step {last[0]['step']} on", ylabel="share of the labels", xticks=CLASSES)
    grid[1, 1].legend(fontsize=8)
    save_figure(figure, path)


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Config, description=Config.__doc__)))
