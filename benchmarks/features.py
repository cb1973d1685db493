"""Images per second of Inception features: ours against the `pytorch_fid` command's own code, alternately in one run.

    python -m benchmarks.features [--images 100] [--rounds 3] [--dims 2048] [--device cpu]

Both read the same PNGs from disk and use the same random weights; building the networks is not timed.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pytorch_fid.fid_score import get_activations
from pytorch_fid.inception import InceptionV3

from benchmarks.data import write_noise
from metrics.inception import WEIGHTS_NAME, Inception, fid_inception
from metrics.pictures import read_pictures
from runtime.command_line import run_main


@dataclass
class Config:
    """Time feature extraction by pytorch-fid's command and by metrics.inception."""

    images: int = 100
    """Number of 64x64 PNGs to read."""
    rounds: int = 3
    """Runs of each of the two, in turn."""
    dims: Literal[2048, 768, 192, 64] = 2048
    """Width of the features."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Device of both."""


def main(config: Config) -> None:
    """Print images per second of both and the ratio, each the median of the rounds."""
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "hub" / "checkpoints" / WEIGHTS_NAME
        write_random_weights(weights)
        os.environ["TORCH_HOME"] = folder  # where pytorch-fid finds them, and so downloads nothing
        pictures = Path(folder) / "pictures"
        write_noise(pictures, config.images)

        theirs_network = InceptionV3([InceptionV3.BLOCK_INDEX_BY_DIM[config.dims]]).to(config.device)
        ours_network = Inception(config.dims, weights, config.device)
        files = sorted(pictures.iterdir())
        workers = min(len(os.sched_getaffinity(0)), 8)

        def theirs() -> np.ndarray:
            return get_activations(files, theirs_network, 50, config.dims, config.device, workers)

        def ours() -> np.ndarray:
            return ours_network.features(read_pictures(pictures)[0])

        difference = np.abs(theirs() - ours()).max()  # also warms both up
        rates = [(config.images / seconds(theirs), config.images / seconds(ours)) for _ in range(config.rounds)]
    for name, column in zip(("pytorch_fid", "ours"), zip(*rates, strict=True), strict=True):
        print(f"{name:<12}{statistics.median(column):8.1f} images/s")
    print(f"{'ratio':<12}{statistics.median(ours / theirs for theirs, ours in rates):8.2f}")
    print(f"largest difference of a feature: {difference:.1e}")


def seconds(work: Callable[[], object]) -> float:
    """How long one call of `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def write_random_weights(path: Path, seed: int = 0) -> None:
    """Random weights for the FID Inception, as a state dict that pytorch-fid loads: He-normal, so no layer dies out."""
    generator = torch.Generator().manual_seed(seed)

    def random(name: str, like: torch.Tensor) -> torch.Tensor:
        if name.endswith("num_batches_tracked"):
            return torch.zeros((), dtype=torch.long)
        if like.dim() > 1:
            return torch.randn(like.shape, generator=generator) * (2 / like[0].numel()) ** 0.5
        if name.endswith(("bn.weight", "running_var")):
            return torch.empty(like.shape).uniform_(0.8, 1.2, generator=generator)
        return torch.randn(like.shape, generator=generator) * 0.1

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: random(name, like) for name, like in fid_inception().state_dict().items()}, path)


if __name__ == "__main__":
    run_main(main, Config)
