"""Accuracies of finished adaptation runs: `python -m metrics.adaptation RUN [RUN2 ...]`; several runs vote.

The last weights are scored on val.csv and test.csv of the run's target; those of a supervised run, which is the
source-only baseline of every adaptation from its domain and the upper bound of every one to it, on all domains.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro

from data.digits import class_names, digit_domains, load_digits
from inference.classification import Vote, class_probabilities, picture_size, vote
from metrics import passport
from metrics.calibration import calibration_error
from metrics.confusion import confusion_matrix
from models.digit_classifiers import DigitClassifier
from models.weights import load_weights
from runtime.command_line import run_main
from runtime.device import OnDevice, choose_execution
from runtime.errors import UserError
from runtime.files import write_json
from training.directory import LOCAL_SETTINGS, Run, read_run

NEEDED_SETTINGS = {"recipe", "method", "network", "width", "source", "target", "augment", "seed", "data"}


@dataclass
class Config(OnDevice):
    """Score adaptation runs: accuracies; confusion and calibration on test.csv (val.csv where that has no labels)."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run directories; several of one scenario vote."""
    out: Path | None = None
    """The file to write; scores.json of the (single) run by default."""
    vote: Vote = "majority"
    """Vote of several runs: the class predicted by most, or by their mean probabilities."""
    data: Path | None = None
    """The data tree; that of the run by default."""


def main(config: Config) -> None:
    """Score the runs as `config` says."""
    if not config.runs or (len(config.runs) > 1 and config.out is None):
        raise UserError("give a run directory, or several and --out FILE")
    runs = [adaptation_run(folder) for folder in config.runs]
    abouts = [run.settings | {"steps": run.total} for run in runs]
    root = config.data or abouts[0]["data"]
    about = {key: value for key, value in abouts[0].items() if key not in LOCAL_SETTINGS}
    for key in ("method", "source", "target", "augment", "steps"):
        if any(other[key] != about[key] for other in abouts):
            raise UserError(f"the runs differ in their {key}: let runs of one method and scenario vote")
    if len(runs) > 1:
        about |= {"network": about["network"] + " and variants", "voting": len(runs)}
    execution = choose_execution(config.device, "float32")
    classifiers = [execution.place(last_classifier(run)) for run in runs]
    classes = class_names(root, about["source"])
    size = picture_size(classifiers[0].image_size, classes)
    domains = [about["target"]]
    if about["method"] == "supervised":
        domains = [domain for domain in digit_domains(root) if class_names(root, domain) == classes]
    scores, confusion, judged_on = {}, {}, {}
    for domain in domains:
        scores[domain] = {}
        for split in ("val", "test"):
            images, labels = load_digits(root, domain, split, labelled=False, size=size)
            if labels is not None:
                probabilities = [class_probabilities(classifier, images, execution) for classifier in classifiers]
                given = vote(np.stack(probabilities), config.vote)
                scores[domain][split] = float((given == labels).mean())
                judged_on[f"{domain} {split}"] = passport.of_reference(images)
                confusion[domain] = {
                    "split": split,
                    "matrix": confusion_matrix(labels, given, len(classes)).tolist(),
                    "calibration_error": calibration_error(np.mean(probabilities, 0), labels),
                }
    content = about | {"scores": scores, "confusion": confusion, "passport": judged_on}
    write_json(config.out or config.runs[0] / "scores.json", content)
    print(json.dumps(scores))
    print(passport.line(judged_on))


def adaptation_run(folder: Path) -> Run:
    """The run in a directory; raises UserError for what is no run of an adaptation script."""
    try:
        run = read_run(folder)
        if missing := NEEDED_SETTINGS - run.settings.keys():
            raise KeyError(missing)
        run.settings["data"] = Path(run.settings["data"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder} is no run of an adaptation") from error
    return run


def last_classifier(run: Run) -> torch.nn.Module:
    """The classifier of a run after all its steps; raises UserError where some are left: the last counts."""
    classifier, made = load_weights(run.weights, DigitClassifier)
    if made["step"] < run.total:
        raise UserError(f"{run.folder} stands at step {made['step']} of {run.total}: finish it with --resume")
    return classifier


if __name__ == "__main__":
    run_main(main, Config)
