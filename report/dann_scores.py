"""Accuracies of finished adaptation runs: `python -m report.dann_scores RUN [RUN2 ...]`; several runs vote.

The last weights are scored on val.csv and test.csv of the run's target; those of a supervised run, which is the lower
bound of every adaptation from its domain and the upper bound of every one to it, on all domains.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from data.digits import digit_domains, load_digits
from runtime.classification import Vote, class_probabilities, vote
from runtime.device import choose_execution
from runtime.errors import UserError, run_command
from runtime.files import write_atomically
from runtime.weights import load_weights

KEPT_SETTINGS = ("recipe", "method", "network", "width", "source", "target", "augment", "seed")
KEPT_SETTINGS += ("interpolation", "alignment", "relative_threshold", "pseudo_weight", "ema_decay")


@dataclass
class Config:
    """Score runs of train_dann.py and write scores.json."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run directory; several of one scenario vote."""
    out: Path | None = None
    """The file to write; scores.json of the (single) run by default."""
    vote: Vote = "majority"
    """How several runs agree."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""


def main(config: Config) -> None:
    """Score the runs as `config` says."""
    if not config.runs or (len(config.runs) > 1 and config.out is None):
        raise UserError("give a run directory, or several and --out FILE")
    about, root, step = read_run(config.runs[0])
    if len(config.runs) > 1:
        others = [read_run(run)[0] for run in config.runs[1:]]
        for key in ("method", "source", "target"):
            if any(other[key] != about[key] for other in others):
                raise UserError(f"the runs differ in their {key}: let runs of one scenario vote")
        about |= {"network": about["network"] + " and variants", "voting": len(config.runs)}
    domains = digit_domains(root) if about["method"] == "supervised" else [about["target"]]
    execution = choose_execution(config.device, "float32")
    classifiers = [load_weights(run / "weights.safetensors", kind="classifier")[0] for run in config.runs]
    classifiers = [execution.place(classifier) for classifier in classifiers]
    scores = {}
    for domain in domains:
        scores[domain] = {}
        for split in ("val", "test"):
            images, labels = load_digits(root, domain, split)
            if labels is not None:
                probabilities = [class_probabilities(classifier, images, execution) for classifier in classifiers]
                right = vote(np.stack(probabilities), config.vote) == labels
                scores[domain][split] = float(right.mean())
    content = about | {"steps": step, "scores": scores}
    write_atomically(config.out or config.runs[0] / "scores.json", json.dumps(content, indent=2).encode())
    print(json.dumps(scores))


def read_run(run: Path) -> tuple[dict, Path, int]:
    """What a run was: the settings that matter to a table, its data tree, its steps.

    Raises UserError for what is no run of train_dann.py.
    """
    try:
        content = json.loads((run / "config.json").read_text())
        about = {key: content["settings"][key] for key in KEPT_SETTINGS}
        return about, Path(content["settings"]["data"]), content["total_steps"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{run} is no run of train_dann.py") from error


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Config, description=Config.__doc__)))
