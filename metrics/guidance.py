"""What guidance does to digits: `python -m metrics.guidance WEIGHTS --classifier F --reference DIR`.

At each scale digits are made from the same noise: how many are seen as what was asked for, and how varied are they?
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from data.digits import load_digits
from inference.sampling import check_sampling
from metrics import Unavailable
from metrics.sampling import Scorer, ScoringConfig, spread
from models.samplers import Sampling
from runtime.errors import UserError, run_command
from runtime.files import write_atomically

SCORES = ("accuracy", "spread", "fid", "precision", "recall")
NAMES = {"accuracy": "classified as requested / %", "spread": "spread of pixels", "fid": "FID", "recall": "recall"}


@dataclass
class Config(ScoringConfig):
    """Sample a diffusion network at several guidance scales and score each.

    FID, precision and recall are left out where there are no Inception weights.
    """

    out: Path | None = None
    """Where the rows go, guidance.json beside the weights by default; rows that are there already are kept."""
    scales: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
    """Guidance scales; 0 ignores the label, 1 is plain conditional sampling."""
    steps: int = 20
    """Steps of dpm++."""
    seeds: tuple[int, ...] = (999,)
    """Sampling seeds."""


def main(config: Config) -> None:
    """Make the rows that are missing, and print all of them."""
    if not config.seeds or not config.scales or config.per_class < 2:
        raise UserError("--seeds and --scales need at least one number each, and --per-class must be at least 2")
    scorer = Scorer(config)
    samplings = {f"{scale:g}": Sampling("dpm++", config.steps, scale) for scale in config.scales}
    for sampling in samplings.values():
        check_sampling(scorer.network.diffusion, sampling)
    reference = config.reference.resolve()
    images, labels = load_digits(reference.parent.parent, reference.name, "val")
    count = config.reference_count
    try:
        scorer.load_inception()
    except Unavailable as reason:
        print(f"without FID and recall: {reason}")

    path = config.out or config.weights.with_name("guidance.json")
    curve = {"dims": config.dims, "steps": config.steps, "rows": {}}
    if path.exists():
        curve = json.loads(path.read_text())
    curve["real_spread"] = spread(images[:count], labels[:count])
    for name, sampling in samplings.items():
        if name not in curve["rows"]:
            curve["rows"][name] = scorer.row(sampling, config.seeds, SCORES)
            write_atomically(path, (json.dumps(curve, indent=2) + "\n").encode())
    print(table(curve))


def table(curve: dict[str, Any]) -> str:
    """The rows as lines, each score as its mean over the seeds."""
    scores = [score for score in NAMES if all(score in row for row in curve["rows"].values())]
    lines = [f"{'guidance':>10}" + "".join(f"{NAMES[score]:>28}" for score in scores)]
    for scale, row in ordered_rows(curve):
        means = [np.mean(row[score]) * (100 if score == "accuracy" else 1) for score in scores]
        lines.append(f"{scale:>10g}" + "".join(f"{mean:>28.3f}" for mean in means))
    return "\n".join(lines)


def ordered_rows(curve: dict[str, Any]) -> list[tuple[float, dict[str, list[float]]]]:
    """The rows of guidance.json, by rising scale."""
    return sorted((float(scale), row) for scale, row in curve["rows"].items())


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Config, description=Config.__doc__)))
