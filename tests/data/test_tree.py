import itertools

import numpy as np
import pytest
from PIL import Image

from data.digits import load_digits, read_labels
from data.tree import building, is_complete, picture_names, resize_digits, split_counts, write_domain
from runtime.errors import UserError


@pytest.mark.parametrize(
    ("total", "counts"),
    [
        (70_000, (44_800, 11_200, 14_000)),  # MNIST-M
        (99_289, (63_544, 15_887, 19_858)),  # SVHN
        (9_298, (5_950, 1_488, 1_860)),  # USPS
        (8_791, (5_626, 1_407, 1_758)),
        (10_083, (6_453, 1_613, 2_017)),
    ],
)
def test_split_counts_are_the_courses(total, counts):
    assert split_counts(total) == counts


def test_split_counts_leave_none_out():
    for total in range(200):
        counts = split_counts(total)
        assert sum(counts) == total and min(counts) >= 0


def test_picture_names_sort_in_their_order():
    assert picture_names(2) == ["00000.png", "00001.png"]
    assert picture_names(100_000)[-1] == "99999.png"
    names = picture_names(100_001)
    assert names[0] == "000000.png" and names == sorted(names)


def test_domain_is_split_without_loss_and_always_alike(tmp_path):
    images = np.random.RandomState(0).randint(0, 256, (50, 28, 28), np.uint8)
    labels = np.arange(50) % 10
    members = []
    for copy in ("a", "b"):
        write_domain(tmp_path / copy / "digits/d", images, labels)
        tables = [read_labels(tmp_path / copy / "digits/d" / f"{split}.csv") for split in ("train", "val", "test")]
        members.append([names for names, _ in tables])
        for names, values in tables:
            assert names == sorted(names)
            assert [labels[int(name[:5])] for name in names] == values.tolist()
    assert members[0] == members[1]
    assert [len(names) for names in members[0]] == [32, 8, 10]
    assert sorted(itertools.chain(*members[0])) == picture_names(50)
    assert members[0][0] != picture_names(32)  # shuffled
    with Image.open(tmp_path / "a/digits/d/data/00007.png") as image:
        assert image.mode == "L" and np.array_equal(np.asarray(image), images[7])
    read, _ = load_digits(tmp_path / "a", "d", "val")
    assert np.array_equal(read[0], np.repeat(images[int(members[0][1][0][:5])][..., None], 3, axis=2))


def test_the_split_is_the_one_that_was_trained_on(tmp_path):
    """That of numpy's first generator and seed 0."""
    write_domain(tmp_path / "d", np.zeros((10, 28, 28), np.uint8), np.arange(10))
    members = [read_labels(tmp_path / "d" / f"{split}.csv")[1].tolist() for split in ("train", "val", "test")]
    assert members == [[1, 2, 4, 6, 8, 9], [3, 7], [0, 5]]


def test_building_leaves_nothing_behind_when_it_fails(tmp_path):
    with pytest.raises(KeyboardInterrupt), building(tmp_path / "deep" / "part") as folder:
        (folder / "half").write_text("half")
        raise KeyboardInterrupt
    assert list((tmp_path / "deep").iterdir()) == []


def test_building_never_touches_what_appeared_meanwhile(tmp_path):
    with pytest.raises(UserError, match="appeared while it was being built"), building(tmp_path / "part") as folder:
        (folder / "new").write_text("new")
        (tmp_path / "part").mkdir()
        (tmp_path / "part" / "theirs").write_text("theirs")
    assert [path.name for path in tmp_path.rglob("*")] == ["part", "theirs"]


def test_incomplete_part_is_refused(tmp_path):
    part = tmp_path / "part"
    assert not is_complete(part, ["data"])
    part.mkdir()
    assert not is_complete(part, ["data"])
    (part / "data").mkdir()
    assert is_complete(part, ["data"])
    with pytest.raises(UserError, match=r"incomplete \(no val\.csv\): remove it"):
        is_complete(part, ["data", "val.csv"])


def test_resizing_keeps_flat_pictures_and_is_antialiased():
    flat = np.full((2, 32, 32, 3), 77, np.uint8)
    assert np.array_equal(resize_digits(flat), np.full((2, 28, 28, 3), 77))
    stripes = np.zeros((1, 56, 56), np.uint8)
    stripes[:, :, ::2] = 200
    inner = resize_digits(stripes)[0, :, 1:-1]
    assert abs(inner.astype(int) - 100).max() <= 1  # plain bilinear would pick stripes instead
