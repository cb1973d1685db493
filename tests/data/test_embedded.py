import os

import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from data.digits import digit_domains, load_digits
from data.drawn_faces import ATTRIBUTES, draw_face
from data.embedded import FONTS, embed, in_fonts
from data.faces import load_attributes, load_faces
from runtime.errors import UserError


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    out = tmp_path_factory.mktemp("embedded")
    embed(out)
    return out


def test_domains(tree):
    assert digit_domains(tree) == ["blended", "fonts", "handwritten"]
    for domain in digit_domains(tree):
        splits = [load_digits(tree, domain, split) for split in ("train", "val", "test")]
        assert [len(images) for images, _ in splits] == [1150, 288, 359]
        assert all(len(np.unique(labels)) == 10 for _, labels in splits)
    with Image.open(tree / "digits/handwritten/data/00000.png") as image:
        assert image.mode == "L" and image.getpixel((0, 0)) == 0


def test_handwriting_can_be_learnt(tree):
    (train, labels), (val, expected) = (load_digits(tree, "handwritten", split) for split in ("train", "val"))
    nearest = KNeighborsClassifier(1).fit(train.reshape(len(train), -1), labels)
    assert nearest.score(val.reshape(len(val), -1), expected) > 0.95


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
    assert capsys.readouterr().out.count("is there already and left as it is") == 4
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("*")} == before


def test_incomplete_part_is_refused(tmp_path):
    (tmp_path / "digits/handwritten/data").mkdir(parents=True)
    with pytest.raises(UserError, match=r"handwritten exists but is incomplete \(no train\.csv\)"):
        embed(tmp_path)
