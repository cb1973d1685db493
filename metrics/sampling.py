"""Digits of a diffusion network, scored: what the tables of samplers and of guidance scales have in common."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from inference.generate_digits import requests
from inference.sampling import sample_digits
from metrics.digits import classify, diversity_scores, load_classifier, real_features
from metrics.inception import Inception
from models.samplers import Sampling
from models.weights import load_weights
from runtime.device import Precision, choose_execution


@dataclass
class ScoringConfig:
    """The network, and what its digits are measured with."""

    weights: tyro.conf.Positional[Path]
    """A diffusion network's weights.safetensors."""
    classifier: Path
    """The course's Classifier.pth, or the weights.safetensors of a classifier trained here."""
    reference: Path
    """Real digits: a domain's folder (ROOT/digits/mnistm)."""
    reference_count: int = 1000
    """How many of its validation digits are the reference, the first ones."""
    per_class: int = 100
    """How many of each digit, for each seed."""
    dims: Literal[2048, 768, 192, 64] = 2048
    """Inception features for FID, precision and recall; only 2048 compares with published values."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: Precision = "float32"
    """float32, bf16 (mixed), or auto."""


class Scorer:
    """Makes digits and scores them, without FID, precision and recall until `load_inception`."""

    def __init__(self, config: ScoringConfig):
        self.config = config
        self.execution = choose_execution(config.device, config.precision)
        self.exact = choose_execution(config.device, "float32")
        self.network = self.execution.place(load_weights(config.weights, kind="unet")[0])
        self.classifier = self.exact.place(load_classifier(config.classifier))
        self.inception: Inception | None = None

    def load_inception(self) -> None:
        """Measure the real digits for FID, precision and recall; raises Unavailable without Inception weights."""
        inception = Inception(self.config.dims, device=self.config.device)
        self.real = real_features(inception, self.config.reference, self.config.reference_count)
        self.inception = inception

    def row(self, sampling: Sampling, seeds: tuple[int, ...], names: tuple[str, ...]) -> dict[str, list[float]]:
        """Those of the scores `names` that there are, each with a value for every seed."""
        results = [self.score(sampling, seed) for seed in seeds]
        return {name: [result[name] for result in results] for name in names if name in results[0]}

    def score(self, sampling: Sampling, seed: int) -> dict[str, float]:
        """All scores of digits made from the noise of `seed`, and the seconds that 1000 of them take."""
        noise_seeds, asked = requests(seed, self.config.per_class)
        start = time.perf_counter()
        digits = sample_digits(self.network, noise_seeds, asked, self.execution, sampling)
        seconds = time.perf_counter() - start  # the digits are on the CPU, so the device has finished
        scores = {
            "accuracy": float((classify(self.classifier, digits, self.exact) == asked.numpy()).mean()),
            "spread": spread(digits, asked.numpy()),
            "seconds_per_1000": 1000 * seconds / len(digits),
        }
        return scores | (diversity_scores(self.inception.features(digits), self.real) if self.inception else {})


def spread(images: np.ndarray, labels: np.ndarray) -> float:
    """How much pictures uint8 (N, H, W, 3) of one class differ: the standard deviation of a value in [0, 1].

    It is taken pixel by pixel over the pictures of each class in `labels` (N,), and averaged.
    """
    return float(np.mean([(images[labels == label] / 255).std(0).mean() for label in np.unique(labels)]))
