import os
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data.digits import digit_domains, load_digits, read_labels, write_labels
from data.tree import write_domain
from runtime.errors import UserError


@pytest.fixture
def root(tmp_path):
    images = np.random.RandomState(0).randint(0, 256, (25, 28, 28, 3), np.uint8)
    write_domain(tmp_path / "tree/digits/colour", images, np.arange(25) % 10)
    write_domain(tmp_path / "tree/digits/gray", images[..., 0], np.arange(25) % 10)
    return tmp_path / "tree"


def test_every_split_in_the_order_of_its_table(root):
    assert digit_domains(root) == ["colour", "gray"]
    folder = root / "digits/colour"
    write_labels(folder / "val.csv", ["00007.png", "00003.png"], [7, 3])
    images, labels = load_digits(root, "colour", "val")
    assert images.shape == (2, 28, 28, 3) and images.dtype == np.uint8
    assert labels.tolist() == [7, 3] and labels.dtype == np.int64
    assert np.array_equal(images[0], np.asarray(Image.open(folder / "data/00007.png")))


def test_gray_is_repeated(root):
    images, _ = load_digits(root, "gray", "train")
    assert images.shape == (16, 28, 28, 3) and np.array_equal(images[..., 0], images[..., 2])


def test_labels_of_the_test_split_may_be_absent(root):
    (root / "digits/gray/test.csv").write_text("image_name\n00001.png\n")
    images, labels = load_digits(root, "gray", "test")
    assert len(images) == 1 and labels is None
    (root / "digits/gray/val.csv").write_text("image_name\n00001.png\n")
    with pytest.raises(UserError, match=r"val\.csv has no column label \(it has image_name\)"):
        load_digits(root, "gray", "val")


def test_splits_share_one_cache_file(root, cache):
    for split in ("train", "val", "test", "train"):
        load_digits(root, "gray", split)
    (cached,) = cache.rglob("*.npy")
    written = cached.stat().st_mtime_ns
    load_digits(root, "gray", "val")
    assert cached.stat().st_mtime_ns == written


def test_cache_notices_a_changed_picture(root, cache):
    picture = root / "digits/gray/data/00002.png"
    write_labels(root / "digits/gray/val.csv", [picture.name], [2])
    load_digits(root, "gray", "val")
    Image.new("L", (28, 28), 9).save(picture)
    os.utime(picture, ns=(1, 1))
    assert (load_digits(root, "gray", "val")[0] == 9).all()
    assert len(list(cache.rglob("*.npy"))) == 1  # the former one is dropped


def test_without_a_cache_folder_all_is_as_before(root, tmp_path, monkeypatch):
    expected, _ = load_digits(root, "colour", "train")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert np.array_equal(load_digits(root, "colour", "train")[0], expected)


def test_unknown_domain_lists_those_there_are(root, tmp_path):
    with pytest.raises(UserError, match=r"no domain mnist in .*digits \(it has colour, gray\)"):
        load_digits(root, "mnist", "train")
    with pytest.raises(UserError, match=r"does not exist .*prepare\.sh"):
        load_digits(tmp_path / "nowhere", "mnist", "train")
    (tmp_path / "empty/digits").mkdir(parents=True)
    with pytest.raises(UserError, match="no domains in"):
        digit_domains(tmp_path / "empty")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, r"no such table: .*train\.csv"),
        ("", r"train\.csv is empty"),
        ("image_name,label\n", r"train\.csv is empty"),
        ("name,label\n00001.png,1\n", r"train\.csv has no column image_name \(it has name, label\)"),
        ("image_name,digit\n00001.png,1\n", r"train\.csv has no column label"),
        (
            "image_name,label\n00001.png,1\n\n00002.png,ten\n",
            r"train\.csv, line 4: the label is 'ten', expected .* 0 to 9",
        ),
        ("image_name,label\n00001.png,10\n", r"train\.csv, line 2: the label is '10'"),
        ("image_name,label\n00001.png,-1\n", r"train\.csv, line 2: the label is '-1'"),
        ("image_name,label\n00001.png,1.0\n", r"train\.csv, line 2: the label is '1\.0'"),
        ("image_name,label\n00001.png,\n", r"train\.csv, line 2: the label is ''"),
        ("image_name,label\n00001.png\n", r"train\.csv, line 2: 1 fields where the header has 2"),
        ("image_name,label\nabsent.png,1\n", r"train\.csv names absent\.png, which is not in .*data"),
        ("image_name,label\n../train.csv,1\n", r"train\.csv names \.\./train\.csv, which is not in"),
    ],
)
def test_wrong_table_is_named(root, table, message):
    path = root / "digits/gray/train.csv"
    path.unlink()
    if table is not None:
        path.write_text(table)
    with pytest.raises(UserError, match=message):
        load_digits(root, "gray", "train")
    load_digits(root, "gray", "val")


def test_wrong_picture_is_named(root):
    picture = root / "digits/gray/data/00002.png"
    Image.new("L", (32, 28)).save(picture)
    with pytest.raises(UserError, match=r"00002\.png is 32x28, expected 28x28"):
        load_digits(root, "gray", "train")
    picture.write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"cannot read the picture .*00002\.png"):
        load_digits(root, "gray", "train")


def test_tables_from_spreadsheets_are_read(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xef\xbb\xbflabel, image_name\r\n 3,a.png\r\n")
    names, labels = read_labels(path)
    assert names == ["a.png"] and labels.tolist() == [3]


names = st.text(st.characters(exclude_characters="\0/\r", exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: not re.match(r"[=@\t]|[+-].*[^\w .-]", name, re.DOTALL)  # formulas to a spreadsheet are refused
)


@given(st.lists(names, min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_any_file_name_survives_a_round_trip(tmp_path_factory, names):
    path = tmp_path_factory.mktemp("table") / "a" / "table.csv"
    names = [*names, 'a, "b" c.png', " spaces .png", "broken\udcff.png"]
    labels = [index % 10 for index in range(len(names))]
    write_labels(path, names, labels)
    read, values = read_labels(path)
    assert read == names and values.tolist() == labels
    assert os.listdir(path.parent) == ["table.csv"]


def test_failed_writing_keeps_the_former_table(tmp_path):
    path = tmp_path / "table.csv"
    write_labels(path, ["a.png"], [1])
    with pytest.raises(ValueError):
        write_labels(path, ["a.png", "b.png"], [1])
    assert path.read_text() == "image_name,label\na.png,1\n"
    assert os.listdir(tmp_path) == ["table.csv"]
