"""Whether generated faces are training faces: distances to the nearest one, beside those of validation faces.

python -m metrics.memorisation OUT --training ROOT/face/train --reference ROOT/face/val [--features inception|dlib]
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro

from metrics import passport
from metrics.face_embedding import FaceEmbedding
from metrics.inception import InceptionSettings, reference_features, reference_passport
from metrics.pictures import read_generated
from runtime.command_line import run_main
from runtime.files import write_json

CHUNK = 256  # pictures whose distances to all training pictures are held at once


@dataclass
class Config(InceptionSettings):
    """Compare generated and validation faces by their distance to the nearest training face."""

    out: tyro.conf.Positional[Path]
    """Folder of the generated faces."""
    training: Path
    """Folder of the training faces, e.g. ROOT/face/train."""
    reference: Path
    """Folder of held-out real faces, e.g. ROOT/face/val."""
    features: Literal["inception", "dlib"] = "dlib"
    """Feature space of the distances."""
    figure: Path | None = None
    """Also draw both histograms to this PNG."""
    json: Path | None = None
    """Also write the distances to this file."""


def nearest_distances(features: np.ndarray, training: np.ndarray) -> np.ndarray:
    """The distance of each row of features (N, D) to the nearest row of `training` (M, D): float32 (N,)."""
    training = torch.from_numpy(training)
    chunks = torch.from_numpy(features).split(CHUNK)
    exact = "donot_use_mm_for_euclid_dist"  # a copy is at distance 0, not at the root of a rounding error
    return torch.cat([torch.cdist(chunk, training, compute_mode=exact).min(1).values for chunk in chunks]).numpy()


def memorisation(generated: np.ndarray, reference: np.ndarray, training: np.ndarray) -> dict:
    """Distances of `generated` (N, D) and `reference` (K, D) to the nearest of `training` (M, D), and 5th percentiles.

    A generator that copies has a lower percentile than pictures it never saw (`reference`).
    """
    distances = {
        "generated": nearest_distances(generated, training),
        "reference": nearest_distances(reference, training),
    }
    percentiles = {f"{side}_percentile_5": float(np.percentile(values, 5)) for side, values in distances.items()}
    return percentiles | {side: values.tolist() for side, values in distances.items()}


def draw_histograms(result: dict, path: Path) -> None:
    """Draw the distances of both sides, and their 5th percentiles, on one scale."""
    from runtime.figures import plt, save_figure

    figure, axes = plt.subplots(figsize=(4.5, 2.5), layout="constrained")
    edges = np.histogram_bin_edges(result["generated"] + result["reference"], 40)
    for number, (side, name) in enumerate((("generated", "generated faces"), ("reference", "validation faces"))):
        axes.hist(result[side], edges, density=True, histtype="step", label=name, color=f"C{number}")
        axes.axvline(result[f"{side}_percentile_5"], color=f"C{number}", linestyle=":")
    axes.set(xlabel="distance to the nearest training face (dotted: 5th percentile)", ylabel="density")
    axes.legend(frameon=False)
    save_figure(figure, path)


def main(config: Config) -> None:
    """Read the folders, print both percentiles, write what was asked for; raises UserError without the network."""
    extractor = FaceEmbedding() if config.features == "dlib" else config.inception()
    images = read_generated(config.out)
    real = [reference_features(extractor, folder) for folder in (config.reference, config.training)]
    result = memorisation(extractor.features(images), *real)
    sides = [reference_passport(extractor, folder) for folder in (config.reference, config.training)]
    result["passport"] = passport.of_pictures(images) | sides[0] | {"training": sides[1]["reference"]}
    for side in ("generated", "reference"):
        percentile, median = result[f"{side}_percentile_5"], float(np.median(result[side]))
        print(
            f"{side:<10} distance to the nearest training picture: 5th percentile {percentile:.4g}, median {median:.4g}"
        )
    print(passport.line(result["passport"]))
    if config.figure is not None:
        draw_histograms(result, config.figure)
    if config.json is not None:
        write_json(config.json, result, indent=None)


if __name__ == "__main__":
    run_main(main, Config)
