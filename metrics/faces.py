"""All scores of a folder of generated faces against a folder of real ones.

python -m metrics.faces OUT --reference DIR [--dims 2048|768|192|64] [--json FILE] [--inception-weights FILE]
python -m metrics.faces OUT --reference DIR --features dlib|dinov2
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from scipy.spatial.distance import pdist

from data.decoded import image_names
from metrics import Unavailable, passport
from metrics.dinov2 import DINOv2
from metrics.distances import fid, frechet_distance, gaussian, inception_score, kid, precision_recall
from metrics.face_embedding import FaceEmbedding
from metrics.hog import hog_face_rate
from metrics.inception import Inception, InceptionSettings, reference_features, reference_passport
from metrics.passport import file_hash
from metrics.pictures import read_generated
from metrics.statistics import read_statistics
from runtime.command_line import run_main
from runtime.errors import UserError
from runtime.files import write_json
from runtime.processes import join_processes, leave_to_first

FEATURE_SCORES = ("fid", "kid", "kid_std", "precision", "recall")
LOGIT_SCORES = ("inception_score", "inception_score_std")
FORMS = {  # how scores are printed
    "images": ("images", "d"),
    "reference_images": ("reference images", "d"),
    "fid": ("FID-{dims}", ".3f"),
    "frechet_distance": ("Fréchet distance", ".3f"),
    "kid": ("KID-{dims}", ".3g"),
    "precision": ("precision-{dims}", ".3f"),
    "recall": ("recall-{dims}", ".3f"),
    "inception_score": ("Inception score", ".3f"),
    "hog_face_rate": ("HOG face rate", ".1%"),
    "median_distance": ("median distance", ".3f"),
    "reference_median_distance": ("of real faces", ".3f"),
}


@dataclass
class Config(InceptionSettings):
    """Score a folder of generated faces against a folder of real ones."""

    out: tyro.conf.Positional[Path]
    """Folder of the generated faces, all of one size."""
    reference: Path
    """Folder of the real faces, e.g. ROOT/face/val; for FID alone also statistics of them, FILE.npz, by
    metrics.statistics or pytorch-fid."""
    features: Literal["inception", "dlib", "dinov2"] = "inception"
    """Feature space of FID, precision and recall: Inception features, dlib's embedding of faces, or DINOv2's."""
    seed: int | None = None
    """Seed that the faces were generated with, to be written beside their scores."""
    json: Path | None = None
    """Also write the scores, and their passport, to this file."""


def score_faces(
    images: np.ndarray,
    reference: Path,
    dims: int = 2048,
    weights: Path | None = None,
    device: str = "auto",
    seed: int | None = None,
) -> dict:
    """All scores of generated pictures, uint8 RGB (N, H, W, 3), against the pictures in the folder `reference`.

    The dictionary holds `images` and `reference_images` (counts), `dims`; from the Inception features of width `dims`:
    `fid`, `kid`, `kid_std`, `precision`, `recall`; from the network's class logits: `inception_score`,
    `inception_score_std`; and `hog_face_rate`, a share in [0, 1]. A score that the weights do not allow is None, and
    `unavailable` maps its name to the reason and remedy; so are those that statistics (FILE.npz) do not allow. The
    reference's features are cached. `passport` says what the scores depend on.

    Raises UserError for fewer than two pictures on a side, a reference that is missing, unreadable or of
    several sizes, and weights that are damaged.
    """
    statistics = reference.suffix == ".npz"
    counts = {"generated pictures": len(images)}
    if not statistics:
        counts[f"pictures in {reference}"] = len(image_names(reference))
    for what, count in counts.items():
        if count < 2:
            raise UserError(f"only {count} of the {what} to score: FID needs at least 2")
    scores = dict(zip(("images", "reference_images"), counts.values(), strict=False)) | {"dims": dims}
    scores |= dict.fromkeys((*FEATURE_SCORES, *LOGIT_SCORES)) | {"hog_face_rate": None, "unavailable": {}}
    scores["passport"] = passport.of_pictures(images, seed)
    try:
        inception = Inception(dims, weights, device)
    except Unavailable as reason:
        scores["unavailable"] = dict.fromkeys((*FEATURE_SCORES, *LOGIT_SCORES), str(reason))
    else:
        real = read_statistics(reference, dims) if statistics else reference_features(inception, reference)
        generated, logits = inception.features_and_logits(images)
        leave_to_first()
        if statistics:
            scores["fid"] = frechet_distance(*gaussian(generated), *real)
            reason = f"{reference} holds statistics: give the folder of pictures"
            scores["unavailable"] = dict.fromkeys(FEATURE_SCORES[1:], reason)
            scores["passport"] |= passport.of_extractor(inception) | {"reference": f"statistics {file_hash(reference)}"}
        else:
            scores["fid"] = fid(generated, real)
            scores["kid"], scores["kid_std"] = kid(generated, real)
            scores["precision"], scores["recall"] = precision_recall(generated, real)
            scores["passport"] |= reference_passport(inception, reference)
        if logits is None:
            scores["unavailable"] |= dict.fromkeys(LOGIT_SCORES, inception.why_no_logits)
        else:
            scores["inception_score"], scores["inception_score_std"] = inception_score(logits)
    leave_to_first()
    scores["hog_face_rate"] = hog_face_rate(images)
    return scores


def score_embedded(
    images: np.ndarray, reference: Path, embed: Callable[[], passport.Extractor], seed: int | None = None
) -> dict:
    """Scores in another feature space of generated faces, uint8 RGB (N, H, W, 3), against the faces in `reference`.

    `frechet_distance`, `precision` and `recall` as `score_faces` has them for Inception features; `median_distance`
    between two generated faces and `reference_median_distance` between two real ones: how varied the people are.
    Raises UserError for faces of a size that it is not for, fewer than two on a side, and where it is not installed.
    """
    embedding = embed()
    generated, real = embedding.features(images), reference_features(embedding, reference)
    leave_to_first()
    precision, recall = precision_recall(generated, real)
    return {
        "images": len(generated),
        "reference_images": len(real),
        "dims": embedding.name,
        "frechet_distance": fid(generated, real),
        "precision": precision,
        "recall": recall,
        "median_distance": float(np.median(pdist(generated))),
        "reference_median_distance": float(np.median(pdist(real))),
        "passport": passport.of_pictures(images, seed) | reference_passport(embedding, reference),
    }


def table(scores: dict) -> str:
    """The scores as lines of a name and a value, or of a name and the reason why there is none."""
    lines = []
    for name, (title, form) in FORMS.items():
        if name in scores:
            value = f"unavailable: {scores['unavailable'][name]}" if scores[name] is None else f"{scores[name]:{form}}"
            spread = scores.get(f"{name}_std")
            lines.append(f"{title.format(**scores):<18}{value}" + (f" ± {spread:{form}}" if spread is not None else ""))
    return "\n".join(lines)


def main(config: Config) -> None:
    """Read the folder, score it, print the table and write the JSON."""
    join_processes(config.device)
    images = read_generated(config.out)
    if config.features != "inception":
        embed = FaceEmbedding if config.features == "dlib" else lambda: DINOv2(config.device)
        scores = score_embedded(images, config.reference, embed, config.seed)
    else:
        how = (config.dims, config.inception_weights, config.device, config.seed)
        scores = score_faces(images, config.reference, *how)
    print(table(scores))
    print(passport.line(scores["passport"]))
    if config.json is not None:
        write_json(config.json, scores)


if __name__ == "__main__":
    run_main(main, Config)
