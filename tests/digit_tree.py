"""A data tree with a domain of few digits, for the tests."""

import numpy as np
from PIL import Image

from data.digits import write_labels


def write_digit_domain(root, counts=(40, 12, 8)):
    """Write `root/digits/mnistm`: smooth, colourful pictures whose labels go round from 0 to 9 in every split."""
    folder = root / "digits" / "mnistm"
    (folder / "data").mkdir(parents=True)
    random = np.random.default_rng(0)
    first = 0
    for split, count in zip(("train", "val", "test"), counts, strict=True):
        names = [f"{index:05d}.png" for index in range(first, first + count)]
        for name in names:
            coarse = Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8))
            coarse.resize((28, 28), Image.Resampling.BICUBIC).save(folder / "data" / name)
        write_labels(folder / f"{split}.csv", names, [index % 10 for index in range(count)])
        first += count
    return root
