"""What each sampler gives in how many steps: `python -m metrics.samplers WEIGHTS --classifier F --reference DIR`.

A row is a sampler and its steps: accuracy and FID of digits from the same noise, and the seconds that 1000 take.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from metrics import Unavailable
from metrics.sampling import Scorer, ScoringConfig
from models.samplers import Process, Sampling
from runtime.errors import UserError, run_command
from runtime.files import write_atomically

FEW_STEPS = 50  # rows up to here are cheap enough for several seeds
# The scores of a row, and how each is written.
FORMS = {"accuracy": ".2%", "fid": ".3f", "precision": ".3f", "recall": ".3f", "seconds_per_1000": ".1f"}


@dataclass
class Config(ScoringConfig):
    """Sample a diffusion network in several ways and score each."""

    reference: Path
    """Real digits: a folder of pictures, or a domain's folder (ROOT/digits/mnistm)."""
    out: Path | None = None
    """Where the rows go, samplers.json beside the weights by default; rows that are there already are kept."""
    steps: tuple[int, ...] = (50, 20, 15, 10)
    """Steps of ddim and dpm++; those that do not divide the training's are left out. ddpm takes all."""
    guidance: float = 2.0
    """Guidance scale of all rows."""
    seeds: tuple[int, ...] = (999, 1000, 1001)
    """Sampling seeds; rows above 50 steps take the first only."""


def main(config: Config) -> None:
    """Make the rows that are missing, and print all of them, the cheapest first."""
    if not config.seeds or config.per_class < 1:
        raise UserError("--seeds needs at least one seed, and --per-class must be at least 1")
    scorer = Scorer(config)
    diffusion = scorer.network.diffusion
    samplings = choose_samplings(diffusion, config)
    try:
        scorer.load_inception()
    except Unavailable as reason:
        raise UserError(str(reason)) from reason

    path = config.out or config.weights.with_name("samplers.json")
    content = json.loads(path.read_text()) if path.exists() else {"dims": config.dims, "rows": {}}
    for name, sampling in samplings.items():
        if name not in content["rows"]:
            few = len(diffusion.times(sampling)) - 1 <= FEW_STEPS
            content["rows"][name] = scorer.row(sampling, config.seeds if few else config.seeds[:1], tuple(FORMS))
            write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())
    print(table(content["rows"], content["dims"]))


def choose_samplings(diffusion: Process, config: Config) -> dict[str, Sampling]:
    """The rows' names and settings, of those that `diffusion` can be sampled with; the others are named in a line."""
    samplings = {}
    for sampler, steps in (("ddpm", diffusion.most_steps), *((s, n) for s in ("ddim", "dpm++") for n in config.steps)):
        sampling = Sampling(sampler, steps, config.guidance)
        try:
            diffusion.check(sampling)
        except ValueError as reason:
            print(f"left out: {sampler}, {reason}")
            continue
        samplings[f"{sampler}, {steps} steps, guidance {config.guidance:g}"] = sampling
    return samplings


def cells_of(rows: dict[str, dict[str, list[float]]]) -> list[tuple[str, list[str]]]:
    """The rows' names and cells, the cheapest first: each score as mean ± standard deviation over the seeds."""

    def cell(values: list[float], form: str) -> str:
        spread = f" ± {np.std(values, ddof=1):{form}}" if len(values) > 1 else ""
        return f"{np.mean(values):{form}}{spread}"

    ordered = sorted(rows.items(), key=lambda item: np.mean(item[1]["seconds_per_1000"]))
    return [(name, [cell(row[score], form) for score, form in FORMS.items()]) for name, row in ordered]


def table(rows: dict[str, dict[str, list[float]]], dims: int) -> str:
    """The rows as lines under their titles."""
    titles = ("accuracy", f"FID-{dims}", "precision", "recall", "s per 1000")
    lines = [f"{'':34}" + "".join(f"{title:>18}" for title in titles)]
    lines += [f"{name:34}" + "".join(f"{cell:>18}" for cell in cells) for name, cells in cells_of(rows)]
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Config, description=Config.__doc__)))
