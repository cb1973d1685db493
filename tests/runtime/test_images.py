import os

import numpy as np
import pytest
import torch
from PIL import Image

from runtime.errors import UserError
from runtime.images import claimed, from_uint8, image_grid, save_images, save_png, to_uint8


def test_every_level_survives_the_way_to_numbers_and_back():
    levels = np.arange(256, dtype=np.uint8).reshape(2, 8, 16, 1).repeat(3, axis=3)
    numbers = torch.from_numpy(levels).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    np.testing.assert_array_equal(to_uint8(numbers), levels)
    torch.testing.assert_close(from_uint8(levels), numbers)


def test_numbers_round_to_the_nearest_level_and_stop_at_the_extremes():
    numbers = torch.tensor([-1.0, 1.0, -1.5, 7.0, -1 + 1.4 / 127.5, -1 + 1.6 / 127.5])
    assert to_uint8(numbers.expand(1, 3, 1, 6))[0, 0, :, 0].tolist() == [0, 255, 0, 255, 1, 2]
    assert to_uint8(torch.ones(1, 3, 1, 1, dtype=torch.bfloat16)).dtype == np.uint8


def test_channels_are_kept_apart():
    colours = torch.tensor([1.0, -1.0, 0.2])[None, :, None, None].expand(2, 3, 4, 5)
    pictures = to_uint8(colours)
    assert pictures.shape == (2, 4, 5, 3)
    assert (pictures == [255, 0, 153]).all()


def test_a_grid_has_rows_of_columns_on_white():
    pictures = np.stack([np.full((4, 6, 3), index, np.uint8) for index in range(5)])
    page = image_grid(pictures, columns=3, gap=2)
    expected = np.full((2 + 2 * (4 + 2), 2 + 3 * (6 + 2), 3), 255, np.uint8)
    for index, (top, left) in enumerate([(2, 2), (2, 10), (2, 18), (8, 2), (8, 10)]):
        expected[top : top + 4, left : left + 6] = index
    np.testing.assert_array_equal(page, expected)


def test_pictures_are_saved_as_they_are(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), np.uint8)
    names = ["0.png", "1.png", "2.png"]
    folder = tmp_path / "new" / "some pictures"
    save_images(folder, names, pictures)
    assert sorted(os.listdir(folder)) == names
    save_png(tmp_path / "alone" / "2.png", pictures[2])
    for path, picture in zip([folder / "0.png", folder / "1.png", tmp_path / "alone/2.png"], pictures, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)


def test_a_folder_is_claimed_with_its_parents_and_again_for_the_same_names(tmp_path):
    folder = tmp_path / "a" / "b"
    with claimed(folder, ["0.png", "1.png"]):
        pass
    (folder / "1.png").write_bytes(b"former")
    with claimed(folder, ["0.png", "1.png"]):
        pass
    assert (folder / "1.png").read_bytes() == b"former"


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path):
    for name in ("0.png", "2.png", "notes.txt"):
        (tmp_path / name).write_text(name)
    with (
        pytest.raises(UserError, match=r"holds other files \(2.png …\): give an empty or new folder"),
        claimed(tmp_path, ["0.png", "1.png"]),
    ):
        pass
    assert {name: (tmp_path / name).read_text() for name in os.listdir(tmp_path)} == {
        name: name for name in ("0.png", "2.png", "notes.txt")
    }


def test_a_file_in_the_folder_s_place_is_refused(tmp_path):
    (tmp_path / "faces").write_text("mine")
    with (
        pytest.raises(UserError, match="faces is a file: give a folder for the pictures"),
        claimed(tmp_path / "faces", ["0.png"]),
    ):
        pass
    assert (tmp_path / "faces").read_text() == "mine"


def test_what_a_killed_process_had_not_finished_is_no_other_file(tmp_path):
    (tmp_path / ".0.png.123.tmp").write_bytes(b"half a pict")
    with claimed(tmp_path, ["0.png"]):
        assert os.listdir(tmp_path) == []


def test_former_pictures_stay_until_all_are_written(tmp_path):
    pictures = np.zeros((3, 4, 4, 3), np.uint8)
    save_images(tmp_path, ["0.png", "1.png", "2.png"], pictures)
    former = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(TypeError):
        save_images(tmp_path, ["0.png", "1.png", "2.png"], [pictures[0] + 1, pictures[1] + 1, np.zeros((4, 4, 7))])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == former
