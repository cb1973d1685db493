"""Statistics of real pictures for FID, in pytorch-fid's format: `python -m metrics.statistics DIR FILE.npz`.

They are the mean `mu` (D,) and the covariance `sigma` (D, D) of the Inception features; `count` is ours.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from metrics import passport
from metrics.distances import gaussian
from metrics.inception import InceptionSettings, reference_features
from runtime.command_line import run_main
from runtime.errors import UserError
from runtime.files import read_arrays, write_arrays


@dataclass
class Config(InceptionSettings):
    """Write what FID needs of a folder of real pictures; pytorch-fid and `metrics.faces --reference` read it."""

    reference: tyro.conf.Positional[Path]
    """Folder of the real pictures, e.g. ROOT/face/val."""
    out: tyro.conf.Positional[Path]
    """The file to write, FILE.npz."""


def main(config: Config) -> None:
    """Write the statistics; raises UserError without Inception weights, and for a folder that cannot be read."""
    if config.out.suffix != ".npz":
        raise UserError(f"{config.out} is no name for statistics: give FILE.npz")
    inception = config.inception()
    features = reference_features(inception, config.reference)
    mean, covariance = gaussian(features)
    write_arrays(config.out, mu=mean, sigma=covariance, count=np.array(len(features)))
    print(passport.line({"count": len(features)} | passport.of_extractor(inception)))


def read_statistics(path: Path, dims: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (dims,) and covariance (dims, dims) of a file of this module or of pytorch-fid's `--save-stats`.

    Raises UserError for a file that is missing, damaged or of features of another width.
    """
    try:
        mean, covariance = read_arrays(path, "give statistics of pytorch-fid's format", "mu", "sigma").values()
    except FileNotFoundError as error:
        raise UserError(f"no such statistics: {path}") from error
    if mean.shape != (dims,) or covariance.shape != (dims, dims):
        raise UserError(f"{path} is of {mean.size} dimensions: give --dims {mean.size}, or statistics of {dims}")
    return mean, covariance


if __name__ == "__main__":
    run_main(main, Config)
