"""Tiny raw data in the official formats."""

import bz2
import gzip
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


def write_mnist(raw: Path, train: int = 12, test: int = 8) -> np.ndarray:
    images = np.random.RandomState(1).randint(0, 256, (train + test, 28, 28), np.uint8)
    for part, members in (("train", slice(None, train)), ("t10k", slice(train, None))):
        write_idx(raw / "MNIST/raw" / f"{part}-images-idx3-ubyte.gz", images[members])
        write_idx(raw / "MNIST/raw" / f"{part}-labels-idx1-ubyte.gz", np.arange(train + test)[members] % 10)
    return images


def write_photographs(raw: Path, sizes=((40, 30), (30, 40), (28, 28))) -> None:
    for index, (part, size) in enumerate(zip(("train", "val", "test"), sizes, strict=True)):
        folder = raw / "BSDS500/images" / part
        folder.mkdir(parents=True)
        Image.new("RGB", size, (60 * index + 20, 100, 200)).save(folder / f"{index}.jpg")
        (folder / "Thumbs.db").write_bytes(b"no picture")


def write_svhn(raw: Path, train: int = 15, test: int = 10) -> None:
    (raw / "SVHN").mkdir(parents=True)
    for part, count in (("train", train), ("test", test)):
        images = np.random.RandomState(count).randint(0, 256, (32, 32, 3, count), np.uint8)
        labels = (np.arange(count) % 10 + 1).astype(np.uint8)[:, None]
        savemat(raw / "SVHN" / f"{part}_32x32.mat", {"X": images, "y": labels})


def usps_line(label: int, values: np.ndarray) -> str:
    return f"{label} " + " ".join(f"{index}:{value:g}" for index, value in enumerate(values, 1) if value)


def write_usps(raw: Path, train: int = 15, test: int = 10) -> None:
    (raw / "USPS").mkdir(parents=True)
    for name, count in (("usps.bz2", train), ("usps.t.bz2", test)):
        lines = []
        for index in range(count):
            values = np.full((16, 16), -1.0)
            values[2:14, 6:10] = 1
            values[0, 0] = 0  # left out by the sparse format
            lines.append(usps_line(index % 10 + 1, values.ravel()))
        (raw / "USPS" / name).write_bytes(bz2.compress("\n".join(lines).encode() + b"\n"))


def write_celeba(raw: Path) -> None:
    """Six faces: four for training (one of half size, all red), two for validation (blue), one for testing."""
    folder = raw / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    partition = {1: 0, 2: 0, 3: 1, 4: 0, 5: 2, 6: 0, 7: 1}
    for index, part in partition.items():
        colour = {0: (200, 40 + index, 20), 1: (20, 40 + index, 200), 2: (0, 0, 0)}[part]
        size = (89, 109) if index == 1 else (178, 218)
        Image.new("RGB", size, colour).save(folder / "img_align_celeba" / f"{index:06d}.jpg", quality=95)
    lines = [f"{index:06d}.jpg {part}" for index, part in partition.items()]
    (folder / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")
    attributes = ["000001.jpg -1  1", "000003.jpg  1 -1", "000005.jpg  1  1", "000006.jpg -1 -1"]
    (folder / "list_attr_celeba.txt").write_text("\n".join(["4", "Male Smiling ", *attributes]) + "\n")
