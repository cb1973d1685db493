"""Model selection without target labels: `python -m metrics.evidence RUN [RUN2 ...]`, runs with one target.

Of each run's predictions on the target: the entropy of their mean (low where classes are missing), their mean entropy
(high where they are uncertain), the difference of both, which is the mutual information of image and class (Bridle et
al., *Unsupervised Classifiers, Mutual Information and "Phantom Targets"*, NIPS 1991), and the agreement of the runs. A
run that confuses one class with another does so with confidence: a rare class and the other seeds reveal it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from scipy.stats import entropy

from data.digits import class_names, load_unlabelled
from inference.classification import class_probabilities, picture_size
from metrics.adaptation import adaptation_run, last_classifier
from runtime.command_line import run_main
from runtime.device import OnDevice, choose_execution
from runtime.errors import UserError
from runtime.files import write_json

RARE = 0.5  # of an equal share of the images: a class that is predicted less often raises an alarm
APART = 0.03  # a run that agrees so much less with the others than another does raises an alarm


@dataclass
class Config(OnDevice):
    """Measure entropy, mutual information and agreement of adaptation runs on their target; no label is read."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run directories with one target, e.g. of several seeds."""
    split: Literal["train", "val", "test"] = "val"
    """Split of the target."""
    json: Path | None = None
    """Also write the measurements to this file."""
    data: Path | None = None
    """The data tree; that of the first run by default."""


def main(config: Config) -> None:
    """Print a line for each run, its alarms, and which run to choose; raises UserError for runs that do not compare."""
    if not config.runs:
        raise UserError("give a run directory or several")
    runs = [adaptation_run(folder) for folder in config.runs]
    targets = {run.settings["target"] for run in runs}
    if len(targets) > 1 or "" in targets:
        raise UserError(f"these runs have the targets {sorted(targets)}: give runs that have one, and the same")
    root = config.data or runs[0].settings["data"]
    execution = choose_execution(config.device, "float32")
    classifiers = [execution.place(last_classifier(run)) for run in runs]
    size = picture_size(classifiers[0].image_size, class_names(root, runs[0].settings["source"]))
    images = load_unlabelled(root, targets.pop(), config.split, size)
    probabilities = [class_probabilities(classifier, images, execution) for classifier in classifiers]
    measured = evidence(np.stack(probabilities))
    for run, values in zip(config.runs, measured, strict=True):
        agreement = "" if values["agreement"] is None else f", agreement with the others {values['agreement']:.1%}"
        print(
            f"{run.name}: mutual information {values['mutual_information']:.3f} (entropy of the mean prediction "
            f"{values['entropy_of_mean']:.3f}, mean entropy {values['mean_entropy']:.3f}){agreement}"
        )
        for alarm in values["alarms"]:
            print(f"  alarm: {alarm}")
    chosen = config.runs[choice(measured)]
    print(f"choose {chosen.name}")
    if config.json:
        by_run = dict(zip(map(str, config.runs), measured, strict=True))
        write_json(config.json, {"runs": by_run, "choice": str(chosen)})


def evidence(probabilities: np.ndarray) -> list[dict]:
    """What predictions (R, N, K) of R runs on N images tell of each, entropies in nats, shares and agreement in [0, 1].

    `agreement` is the share of the images that another run gives the same class, averaged over the others; None for a
    single run. `alarms` are sentences.
    """
    labels, classes = probabilities.argmax(2), probabilities.shape[2]
    agreements: list[float | None] = [None]
    if len(labels) > 1:
        same = (labels[:, None] == labels).mean(2)
        agreements = ((same.sum(1) - 1) / (len(labels) - 1)).tolist()
    measured = []
    for run, agreement in enumerate(agreements):
        entropy_of_mean, mean_entropy = entropy(probabilities[run].mean(0)), entropy(probabilities[run], axis=1).mean()
        shares = np.bincount(labels[run], minlength=classes) / labels.shape[1]
        alarms = [
            f"{label} is predicted for {share:.1%} of the images only"
            for label, share in enumerate(shares)
            if share < RARE / classes
        ]
        if agreement is not None and agreement < max(agreements) - APART:
            alarms.append(
                f"it agrees with the others on {agreement:.1%} of the images, another on {max(agreements):.1%}"
            )
        measured.append(
            {
                "entropy_of_mean": float(entropy_of_mean),
                "mean_entropy": float(mean_entropy),
                "mutual_information": float(entropy_of_mean - mean_entropy),
                "agreement": agreement,
                "shares": shares.tolist(),
                "alarms": alarms,
            }
        )
    return measured


def choice(measured: list[dict]) -> int:
    """The run that agrees best with the others, of equal ones that of the most mutual information."""
    return max(range(len(measured)), key=lambda run: (measured[run]["agreement"], measured[run]["mutual_information"]))


if __name__ == "__main__":
    run_main(main, Config)
