"""Batches from disk, and of the same set kept in memory: `python -m benchmarks.streaming`.

A synthetic set of faces, too large to stay on a device, is read at random from its memory-mapped file, first with
nothing of it in the system's cache.
"""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.lib.format import open_memmap

from data.batches import ImageBatches
from runtime.command_line import run_main
from runtime.seeds import RandomStream
from runtime.settings import AT_LEAST_1, Settings

BATCH = 128


@dataclass
class Config(Settings):
    """Time batches of a synthetic set, streamed and resident."""

    count: Annotated[int, AT_LEAST_1] = 200_000
    """64x64 RGB images."""
    batches: Annotated[int, AT_LEAST_1] = 400
    """Timed batches of 128."""
    folder: Path | None = None
    """Where the set is written and removed again, 12 KB an image; by default the system's temporary folder."""


def write_set(path: Path, count: int) -> None:
    """Write `count` images of noise as a uint8 array (count, 64, 64, 3), safely on disk and in no cache."""
    images, rng = open_memmap(path, "w+", np.uint8, (count, 64, 64, 3)), np.random.default_rng(0)
    for start in range(0, count, 1000):
        images[start : start + 1000] = rng.integers(0, 256, images[start : start + 1000].shape, np.uint8)
    images.flush()
    del images
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def own_memory() -> float:
    """Memory of this process in MB, without pages of files, which the system takes back when it needs them."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def main(config: Config) -> None:
    """Print images per second and the memory that they took, streamed twice and resident."""
    with tempfile.TemporaryDirectory(dir=config.folder) as folder:
        path = Path(folder) / "faces.npy"
        write_set(path, config.count)
        print(f"{config.count} images, {path.stat().st_size / 2**20:.0f} MB")
        for what, room in (("streamed, nothing cached", 0), ("streamed again", 0), ("resident", 2**62)):
            before, start = own_memory(), time.perf_counter()
            faces = ImageBatches(np.load(path, mmap_mode="r"), BATCH, RandomStream(0), resident_bytes=room)
            faces.batch(0)
            prepared = time.perf_counter() - start
            start = time.perf_counter()
            for number in range(1, config.batches + 1):
                faces.batch(number)
            speed = config.batches * BATCH / (time.perf_counter() - start)
            took = f"first batch after {prepared:.1f} s, {own_memory() - before:.0f} MB"
            print(f"{what}: {speed:,.0f} images/s, {took}", flush=True)


if __name__ == "__main__":
    run_main(main, Config)
