"""Scores by sampler, steps and guidance scale: `python -m metrics.sampling WEIGHTS --classifier FILE --reference DIR`.

Every setting of a grid samples digits from the same noise vectors; scored are accuracy, variety and time.
"""

import json
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import tyro

from data.digits import DIGITS, SIZE, load_digits
from inference.classification import class_names
from inference.sampling import requests, sample_images
from metrics import Unavailable, passport
from metrics.digits import classify, diversity_scores, load_classifier, real_features
from metrics.inception import InceptionSettings
from models.generator import Sampling
from models.samplers import DiffusionModel, Process
from models.weights import load_weights
from runtime.command_line import run_main
from runtime.device import InPrecision, choose_execution
from runtime.errors import UserError
from runtime.files import write_json
from runtime.images import rgb
from runtime.settings import AT_LEAST_0, AT_LEAST_1, Range

SETTINGS = ["sampler", "steps", "guidance", "per_class"]
FEW_STEPS = 50  # rows up to here are cheap enough for several seeds


@dataclass
class Config(InceptionSettings, InPrecision):
    """Score a diffusion network over a grid of samplers, steps and guidance scales.

    FID, precision and recall are left out where there are no Inception weights.
    """

    weights: tyro.conf.Positional[Path]
    """A diffusion network's weights.safetensors."""
    classifier: Path
    """The course's Classifier.pth, or the weights.safetensors of a classifier trained here."""
    reference: Path
    """Real digits: a domain's folder (ROOT/digits/mnistm)."""
    reference_count: Annotated[int, Range(2)] = 1000
    """Number of its validation digits, the first ones, that are the reference."""
    samplers: tuple[Literal["ddpm", "ddim", "heun", "dpm++"], ...] = ("dpm++",)
    """Samplers."""
    steps: Annotated[tuple[int, ...], AT_LEAST_1] = (20,)
    """Sampling steps; those that do not divide the training's are left out, and ddpm takes all of the training's."""
    guidance: Annotated[tuple[float, ...], AT_LEAST_0] = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
    """Guidance scales; 0 ignores the label, 1 is plain conditional sampling."""
    seeds: tuple[int, ...] = (999,)
    """Sampling seeds; rows above 50 steps take the first only."""
    per_class: Annotated[int, Range(2, 999)] = 100
    """Digits per class and seed."""
    out: Path | None = None
    """File of the scores, by default sampling.json beside the weights; rows it already has are kept."""


def main(config: Config) -> None:
    """Make the rows that are missing, and print all of them; raises UserError where no row can be made."""
    if not config.seeds:
        raise UserError("--seeds needs at least one seed")
    execution, exact = choose_execution(config.device, config.precision), choose_execution(config.device, "float32")
    network, metadata = load_weights(config.weights, DiffusionModel)
    if class_names(metadata, network.classes) != DIGITS or network.image_size != SIZE:
        raise UserError(f"{config.weights} makes no {SIZE}x{SIZE} digits, which the classifier reads: give another")
    network = execution.place(network)
    classifier = exact.place(load_classifier(config.classifier))
    wanted = grid(network.diffusion, config)
    reference = config.reference.resolve()
    images, labels = (
        part[: config.reference_count] for part in load_digits(reference.parents[1], reference.name, "val")
    )
    try:
        inception = config.inception()
    except Unavailable as reason:
        print(f"without FID, precision and recall: {reason}")
        inception = None
    else:
        real = real_features(inception, reference, config.reference_count)

    about = {"classifier": passport.file_hash(config.classifier), "reference": passport.of_reference(images)}
    about |= passport.of_extractor(inception) if inception else {}
    path = config.out or config.weights.with_name("sampling.json")
    content = json.loads(path.read_text()) if path.exists() else {"dims": config.dims, "rows": []}
    if content["rows"] and content.get("passport", about) != about:
        raise UserError(f"the rows of {path} were scored otherwise ({passport.line(content['passport'])}): give --out")
    content["passport"] = about
    content["real_spread"] = spread(images, labels)
    made = [{name: row[name] for name in (*SETTINGS, "seed")} for row in content["rows"]]
    for row in (row for row in wanted if row not in made):
        noise_seeds, asked = requests(row["seed"], config.per_class)
        sampling = Sampling(row["sampler"], row["steps"], row["guidance"])
        start = time.perf_counter()
        digits = rgb(sample_images(network, noise_seeds, execution, asked, sampling))
        seconds = time.perf_counter() - start  # the digits are on the CPU, so the device has finished
        scores = {
            "accuracy": float((classify(classifier, digits, exact) == asked.numpy()).mean()),
            "spread": spread(digits, asked.numpy()),
            "seconds_per_1000": 1000 * seconds / len(digits),
        }
        scores |= diversity_scores(inception.features(digits), real) if inception else {}
        content["rows"].append(row | scores)
        write_json(path, content)
    means = pd.DataFrame(content["rows"]).drop(columns="seed").groupby(SETTINGS).mean().sort_values("seconds_per_1000")
    print(
        f"Means over seeds; features of {content['dims']} dimensions\n{means.to_string(float_format='{:.3f}'.format)}"
    )
    print(passport.line(about))


def grid(diffusion: Process, config: Config) -> list[dict[str, Any]]:
    """The settings of all rows, with their seeds; those that `diffusion` cannot be sampled with are named in a line.

    Raises UserError where it can be sampled with none.
    """
    rows, reasons = {}, {}
    for sampler, steps, guidance in product(config.samplers, config.steps, config.guidance):
        steps = diffusion.most_steps if sampler == "ddpm" else steps
        try:
            diffusion.check(Sampling(sampler, steps, guidance))
        except UserError as reason:
            reasons[f"left out: {sampler}, {reason}"] = None
            continue
        rows[sampler, steps, guidance, config.per_class] = config.seeds[: None if steps <= FEW_STEPS else 1]
    if not rows:
        raise UserError("; ".join(reasons) or "--samplers, --steps and --guidance need at least one value each")
    print("\n".join(reasons), end="\n" * bool(reasons))
    return [dict(zip(SETTINGS, row, strict=True)) | {"seed": seed} for row, seeds in rows.items() for seed in seeds]


def spread(images: np.ndarray, labels: np.ndarray) -> float:
    """How much pictures uint8 (N, H, W, 3) of one class differ: the standard deviation of a value in [0, 1].

    It is taken pixel by pixel over the pictures of each class in `labels` (N,), and averaged.
    """
    return float(np.mean([(images[labels == label] / 255).std(0).mean() for label in np.unique(labels)]))


if __name__ == "__main__":
    run_main(main, Config)
