"""t-SNE of a run's features: `python -m metrics.tsne RUN [RUN2 ...]` writes RUN/tsne.npz for the report.

van der Maaten and Hinton, *Visualizing Data using t-SNE*, JMLR 2008.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from data.digits import class_names, load_digits
from inference.classification import in_chunks, picture_size
from metrics.adaptation import adaptation_run
from metrics.passport import file_hash
from models.digit_classifiers import DigitClassifier
from models.weights import load_weights
from runtime.command_line import run_main
from runtime.device import OnDevice, choose_execution
from runtime.errors import UserError
from runtime.files import read_arrays, write_arrays
from runtime.settings import Range

FEWEST = 40  # points, more than t-SNE's perplexity asks for


@dataclass
class Config(OnDevice):
    """Embed features of validation digits (adaptation runs) or latents of validation faces (VAE runs) by t-SNE."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run directories."""
    data: Path | None = None
    """The data tree; that of each run by default."""
    domains: tuple[str, ...] = ()
    """Domains to show; the run's source and target by default."""
    count: Annotated[int, Range(1)] = 500
    """Digits of each domain, drawn from its val.csv (all of them where it has fewer); twice as many faces."""
    seed: int = 999
    """Seed of the choice and of t-SNE."""


def main(config: Config) -> None:
    """Write tsne.npz into each run directory; raises UserError for what is no run with features."""
    for run in config.runs:
        if (run / "latents.npz").exists():
            points = face_latents(run / "latents.npz", 2 * config.count)
        else:
            points = digit_features(run, config)
        if len(points["features"]) < FEWEST:
            raise UserError(f"t-SNE needs at least {FEWEST} images: use a larger --count, or a larger validation set")
        points["plane"] = plane_of(points["features"], config.seed)
        if (run / "weights.safetensors").exists():
            points["weights"] = np.array(file_hash(run / "weights.safetensors"))
        write_arrays(run / "tsne.npz", **points)
        print(f"{run / 'tsne.npz'}: {len(points['plane'])} points")


def plane_of(features: np.ndarray, seed: int) -> np.ndarray:
    """The places (N, 2) of features (N, F) by t-SNE.

    In one thread: several would add in any order, and the same features would give other places.
    """
    with threadpool_limits(1):
        return TSNE(random_state=seed).fit_transform(features)


def digit_features(run: Path, config: Config) -> dict[str, np.ndarray]:
    """`features` (N, F) of validation digits, their `labels` (N,), `domains` (N,) as positions in `names`.

    Raises UserError for what is no adaptation run and for an unknown domain.
    """
    settings = adaptation_run(run).settings
    names = config.domains or tuple(domain for domain in (settings["source"], settings["target"]) if domain)
    execution = choose_execution(config.device, "float32")
    classifier, _ = load_weights(run / "weights.safetensors", DigitClassifier)
    classifier = execution.place(classifier)
    root = config.data or settings["data"]
    size = picture_size(classifier.image_size, class_names(root, settings["source"]))
    features, labels, domains = [], [], []
    for number, name in enumerate(names):
        images, true = load_digits(root, name, "val", size=size)
        chosen = np.sort(np.random.RandomState(config.seed).permutation(len(images))[: config.count])
        features.append(in_chunks(classifier.features, images[chosen], execution))
        labels.append(true[chosen])
        domains.append(np.full(len(chosen), number))
    return {
        "features": np.concatenate(features),
        "labels": np.concatenate(labels),
        "domains": np.concatenate(domains),
        "names": np.array(names),
    }


def face_latents(path: Path, count: int) -> dict[str, np.ndarray]:
    """`features` (N, D) of the first `count` validation faces in the latents.npz of train_vae.py, and `attributes`
    (N, A), -1 or 1, 0 where unknown, by `names` (A,).

    Features are posterior means in their posteriors' deviations: the more a component matters to the image, the smaller
    its deviation. Raises UserError for a damaged file.
    """
    names, remedy = ("latents", "deviations", "attributes", "attribute_names"), "resume the run, which writes it again"
    latents, deviations, attributes, attribute_names = read_arrays(path, remedy, *names).values()
    features = latents[:count].astype(np.float32) / deviations
    return {"features": features, "attributes": attributes[:count], "names": attribute_names}


if __name__ == "__main__":
    run_main(main, Config)
