"""Several runs of one adaptation as one classifier: `python -m inference.ensemble RUN RUN2 [RUN3 ...] --out FILE`."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from inference.api import find_weights
from models import NETWORKS
from models.digit_classifiers import DANN_NETWORKS, DigitClassifier
from models.weights import load_weights, save_weights
from runtime.command_line import run_main
from runtime.errors import UserError


@dataclass
class Config:
    """Write a weights file of digit classifiers of one network, of several seeds say, whose mean is predicted."""

    weights: tyro.conf.Positional[tuple[Path, ...]]
    """Run directories, or their weights files."""
    out: Path
    """The file to write."""


def main(config: Config) -> None:
    """Write the file; raises UserError for a single classifier, another network and other classes."""
    if len(config.weights) < 2:
        raise UserError("an ensemble needs two classifiers or more")
    members, abouts = zip(*(load_weights(find_weights(path), DigitClassifier) for path in config.weights), strict=True)
    name, arguments = members[0].origin
    network = name.removesuffix("-classifier")
    if network not in DANN_NETWORKS:
        raise UserError(f"{config.weights[0]} holds the network {name!r}, of which there are no ensembles")
    if any(member.origin != (name, arguments) for member in members):
        raise UserError("an ensemble is of classifiers of one network, width and number of classes")
    if any(about.get("classes") != abouts[0].get("classes") for about in abouts):
        raise UserError("an ensemble is of classifiers of the same classes")
    given = {"network": network, "count": len(members)} | arguments
    ensemble = NETWORKS["ensemble"](**given)
    for number, member in enumerate(members):
        ensemble.feature_extractor[number].load_state_dict(member.feature_extractor.state_dict())
        ensemble.label_classifier[number].load_state_dict(member.label_classifier.state_dict())
    save_weights(config.out, ensemble, "ensemble", given, abouts[0] | {"members": list(abouts)})


if __name__ == "__main__":
    run_main(main, Config)
