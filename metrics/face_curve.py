"""Scores of a face generator over its training: `python -m metrics.face_curve RUN --reference DIR`.

Every weights file that the run kept (`--keep-every`) generates faces from the same noise vectors.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pandas as pd
import tyro

from data.decoded import image_names
from inference.sampling import load_generator, sample_images
from metrics import passport
from metrics.faces import score_faces
from metrics.inception import InceptionSettings
from runtime.command_line import run_main
from runtime.device import choose_execution
from runtime.errors import UserError
from runtime.files import write_json
from runtime.images import rgb
from runtime.seeds import image_seeds
from runtime.settings import AT_LEAST_1, Range


@dataclass
class Config(InceptionSettings):
    """Score the kept weights of a face run, oldest first."""

    run: tyro.conf.Positional[Path]
    """Run directory, trained with --keep-every."""
    reference: Path
    """Folder of real faces, ROOT/face/val say."""
    out: Path | None = None
    """Folder for curve.json; the run directory by default."""
    every: Annotated[int, AT_LEAST_1] = 1
    """Score every n-th of the kept weights, and the last."""
    count: Annotated[int, Range(2)] = 1000
    """Number of faces generated per score."""
    seed: int = 999
    """Seed of their noise vectors."""


def main(config: Config) -> None:
    """Score the run's kept weights; those in curve.json already are not scored again."""
    folder = config.out or config.run
    kept = sorted((config.run / "kept").glob("*.safetensors"))
    if not kept:
        raise UserError(f"{config.run} kept no weights to compare: train with --keep-every STEPS")
    image_names(config.reference)  # a wrong folder is better noticed before the work
    execution = choose_execution(config.device, "float32")
    path = folder / "curve.json"
    points = {point["step"]: point for point in json.loads(path.read_text())} if path.exists() else {}
    for file in sorted({*kept[config.every - 1 :: config.every], kept[-1]}):
        if int(file.stem) in points:
            continue
        generator, about = load_generator(file, "faces")
        seeds = image_seeds(config.seed, range(config.count))
        images = rgb(sample_images(execution.place(generator), seeds, execution))
        points[about["step"]] = about | score_faces(
            images, config.reference, config.dims, config.inception_weights, config.device, config.seed
        )
        write_json(path, [points[step] for step in sorted(points)])
    told = {step: point["passport"] for step, point in points.items() if "passport" in point}
    if len({passport.basis(about, "fid") for about in told.values()}) > 1:
        raise UserError(f"the scores in {path} do not compare, their settings differ: give another --out")
    if told:
        print(passport.line(told[max(told)]))
    curve = pd.DataFrame([points[step] for step in sorted(points)])[["epochs", "step", "fid", "hog_face_rate"]]
    names = {"fid": f"FID-{config.dims}", "hog_face_rate": "HOG face rate"}
    print(curve.rename(columns=names).to_string(index=False, na_rep="unavailable", float_format="{:.3f}".format))


if __name__ == "__main__":
    run_main(main, Config)
