"""Pictures of noise in the layout of the data tree: what is timed or counted does not depend on what is seen."""

from pathlib import Path

import numpy as np
from PIL import Image

from data.tree import write_domain


def write_noise(folder: Path, count: int, seed: int = 0, size: int = 64) -> None:
    """`count` PNGs of `size` x `size` RGB noise, each around a colour of its own, as `folder/00000.png` and on."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for index in range(count):
        picture = rng.normal(rng.uniform(0, 255, 3), 40, (size, size, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{index:05d}.png")


def write_tree(root: Path, batch: int = 256) -> Path:
    """A data tree of noise: faces and the domains `mnistm` and `usps`, enough for batches of `batch`; gives `root`."""
    write_noise(root / "face" / "train", batch)
    write_noise(root / "face" / "val", 16, seed=1)
    rng, count = np.random.default_rng(2), 4 * batch
    for domain in ("mnistm", "usps"):
        images = rng.integers(0, 256, (count, 28, 28, 3), np.uint8)
        write_domain(root / "digits" / domain, images, np.arange(count) % 10)
    return root
