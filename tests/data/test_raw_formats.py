import bz2
import gzip

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from data.raw_formats import (
    read_celeba_attributes,
    read_celeba_partition,
    read_idx,
    read_mnist,
    read_photographs,
    read_svhn,
    read_usps,
)
from runtime.errors import UserError
from tests.data.raw_files import (
    usps_line,
    write_celeba,
    write_idx,
    write_mnist,
    write_photographs,
    write_svhn,
    write_usps,
)


def test_idx_round_trip(tmp_path):
    array = np.random.RandomState(0).randint(0, 256, (3, 5, 7), np.uint8)
    write_idx(tmp_path / "a.gz", array)
    assert np.array_equal(read_idx(tmp_path / "a.gz"), array)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not gzip",
        gzip.compress(b"\0\0\x08\x01\0\0\0\x05abcde")[:-9],  # the download was cut
        gzip.compress(b"\0\0\x08\x01\0\0\0\x05abcd"),  # the content was cut
        gzip.compress(b"\0\0\x08\x01\0\0\0\x05abcdef"),
        gzip.compress(b"\0\0\x0d\x01\0\0\0\x05abcde"),  # floats
        gzip.compress(b"\0\0\x08\x03\0\0"),
        gzip.compress(b"\0\0\x08\0"),
        gzip.compress(b""),
    ],
)
def test_broken_idx_is_named(tmp_path, content):
    (tmp_path / "broken.gz").write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.gz.*download it again"):
        read_idx(tmp_path / "broken.gz")


def test_missing_file_is_named(tmp_path):
    for read in (read_idx, read_svhn, read_usps, read_celeba_partition, read_celeba_attributes):
        with pytest.raises(UserError, match=r"(no such file|cannot read).*absent"):
            read(tmp_path / "absent")


def test_mnist_needs_a_label_for_each_picture(tmp_path):
    write_mnist(tmp_path)
    folder = tmp_path / "MNIST/raw"
    images, labels = read_mnist(folder, "train")
    assert images.shape == (12, 28, 28) and labels.tolist() == [*range(10), 0, 1] and labels.dtype == np.int64
    for wrong in (np.zeros(11), np.full(12, 10)):
        write_idx(folder / "train-labels-idx1-ubyte.gz", wrong)
        with pytest.raises(UserError, match=r"train-labels.*does not hold a label 0 to 9 for each of 12"):
            read_mnist(folder, "train")
    write_idx(folder / "train-images-idx3-ubyte.gz", np.zeros((12, 20, 28)))
    with pytest.raises(UserError, match=r"train-images.*28x28"):
        read_mnist(folder, "train")


def test_svhn_writes_zero_as_ten(tmp_path):
    images = np.random.RandomState(0).randint(0, 256, (32, 32, 3, 4), np.uint8)
    savemat(tmp_path / "a.mat", {"X": images, "y": np.array([[10], [1], [9], [10]], np.uint8)})
    read, labels = read_svhn(tmp_path / "a.mat")
    assert labels.tolist() == [0, 1, 9, 0]
    assert read.shape == (4, 32, 32, 3) and np.array_equal(read[2], images[..., 2])


def test_broken_svhn_is_named(tmp_path):
    write_svhn(tmp_path)
    path = tmp_path / "SVHN/train_32x32.mat"
    whole = path.read_bytes()
    for length in (0, 50, 130, 200, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"train_32x32\.mat.*(download it again|a label 1 to 10)"):
            read_svhn(path)
    for content in (
        {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": [[0], [1]]},
        {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": [[1]]},
        {"X": np.zeros((32, 32, 3, 2)), "y": [[1], [1]]},
        {"y": [[1]]},
    ):
        savemat(path, content)
        with pytest.raises(UserError, match=r"train_32x32\.mat"):
            read_svhn(path)


def test_usps_labels_and_sparse_values(tmp_path):
    write_usps(tmp_path)
    images, labels = read_usps(tmp_path / "USPS/usps.bz2")
    assert labels.tolist() == [*range(10), 0, 1, 2, 3, 4]
    assert images.shape == (15, 16, 16) and images.dtype == np.uint8
    assert images[0, 5, 7] == 255 and images[0, 5, 0] == 0 and images[0, 0, 0] == 128  # ink, paper, left out


def test_broken_usps_is_named(tmp_path):
    path = tmp_path / "usps.bz2"
    good = usps_line(1, np.ones(256))
    whole = bz2.compress(good.encode())
    for content in (
        b"",
        b"plain text",
        whole[: len(whole) // 2],
        bz2.compress(usps_line(11, np.ones(256)).encode()),
        bz2.compress(usps_line(1, np.full(256, 255.0)).encode()),
        bz2.compress(usps_line(1, np.ones(300)).encode()),
        bz2.compress(b"1 1:x"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"usps\.bz2.*download it again"):
            read_usps(path)


def test_photographs_come_from_all_three_folders(tmp_path):
    write_photographs(tmp_path)
    folder = tmp_path / "BSDS500/images"
    assert [photograph.shape for photograph in read_photographs(folder)] == [(30, 40, 3), (40, 30, 3), (28, 28, 3)]
    Image.new("RGB", (27, 90)).save(folder / "val/small.jpg")
    with pytest.raises(UserError, match=r"small\.jpg is smaller"):
        read_photographs(folder)
    (folder / "val/small.jpg").write_bytes((folder / "val/1.jpg").read_bytes()[:400])
    with pytest.raises(UserError, match=r"cannot read .*small\.jpg"):
        read_photographs(folder)


def test_celeba_lists(tmp_path):
    write_celeba(tmp_path)
    partition = read_celeba_partition(tmp_path / "celeba/list_eval_partition.txt")
    assert partition[:3] == [("000001.jpg", 0), ("000002.jpg", 0), ("000003.jpg", 1)] and len(partition) == 7
    names, values = read_celeba_attributes(tmp_path / "celeba/list_attr_celeba.txt")
    assert names == ["Male", "Smiling"]
    assert values["000001.jpg"] == [-1, 1] and values["000006.jpg"] == [-1, -1] and len(values) == 4


@pytest.mark.parametrize("content", ["", "\n\n", "000001.jpg", "000001.jpg 0\n000002.jp", "000001.jpg 3", "a\n"])
def test_broken_partition_is_named(tmp_path, content):
    path = tmp_path / "list.txt"
    path.write_text(content)
    with pytest.raises(UserError, match=r"list\.txt.*download"):
        read_celeba_partition(path)


@pytest.mark.parametrize(
    "content", ["", "A B\n", "2\nA B\n1.jpg 1 1\n", "1\nA B\n1.jpg 1\n", "1\nA B\n1.jpg 1 0\n", "1\nA B\n1.jpg 1 1 1\n"]
)
def test_broken_attributes_are_named(tmp_path, content):
    path = tmp_path / "list.txt"
    path.write_text(content)
    with pytest.raises(UserError, match=r"list\.txt"):
        read_celeba_attributes(path)
