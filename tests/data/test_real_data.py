"""The readers on real downloads, where a folder `shared` beside the repository holds some."""

from pathlib import Path

import numpy as np
import pytest

from data.faces import load_attributes
from data.prepare import Config, prepare
from data.raw_formats import read_celeba_attributes, read_celeba_partition, read_mnist, read_photographs, read_usps

RAW = Path(__file__).parents[2].parent / "shared" / "data" / "raw"
pytestmark = pytest.mark.skipif(not RAW.is_dir(), reason="no real data beside the repository")


def test_usps():
    images, labels = read_usps(RAW / "USPS/usps.t.bz2")
    assert images.shape == (1_500, 16, 16) and np.bincount(labels).argmax() == 0  # USPS has most zeros


def test_a_few_faces(tmp_path):
    prepare(Config(RAW, tmp_path, ("faces",), train_count=20, val_count=10))
    assert min(path.name for path in (tmp_path / "face/val").iterdir()) == "00020.png"
    assert len(load_attributes(tmp_path)[0]) == 30


def test_mnist_and_photographs():
    images, labels = read_mnist(RAW / "MNIST/raw", "t10k")
    assert images.shape == (10_000, 28, 28) and np.bincount(labels).min() > 800
    photographs = read_photographs(RAW / "BSDS500/images")
    assert len(photographs) == 500 and {photograph.shape[:2] for photograph in photographs} == {(321, 481), (481, 321)}


def test_celeba_lists():
    parts = [part for _, part in read_celeba_partition(RAW / "celeba/list_eval_partition.txt")]
    assert (parts.count(0), parts.count(1)) == (12_698, 2_025)
    names, values = read_celeba_attributes(RAW / "celeba/list_attr_celeba.txt")
    assert len(names) == 40 and len(values) == 9_271
