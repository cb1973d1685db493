import os

import numpy as np
import pytest
from PIL import Image

from data.decoded import image_names
from data.faces import attributes_of, load_attributes, load_faces
from runtime.errors import UserError


def test_faces_of_the_tree_or_of_a_plain_folder(tmp_path):
    folder = tmp_path / "face/train"
    folder.mkdir(parents=True)
    Image.new("RGB", (64, 64), (1, 2, 3)).save(folder / "b.png")
    Image.new("L", (100, 80), 7).save(folder / "a.jpg")
    images = load_faces(tmp_path)
    assert images.shape == (2, 64, 64, 3) and images.dtype == np.uint8
    assert (images[0] == 7).all() and (images[1] == (1, 2, 3)).all()
    assert np.array_equal(load_faces(folder), images)


def test_a_wide_picture_is_cut_to_its_middle(tmp_path):
    wide = np.zeros((64, 192, 3), np.uint8)
    wide[:, 64:128] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert (load_faces(tmp_path) == 200).all()


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(UserError, match="no such data folder"):
        load_faces(tmp_path / "absent")
    with pytest.raises(UserError, match="no pictures"):
        load_faces(tmp_path)


def test_attributes(tmp_path):
    (tmp_path / "face").mkdir()
    path = tmp_path / "face/attributes.csv"
    path.write_text("image_name,Male,Smiling\n00001.png,-1,1\n00004.png,1,1\n")
    names, columns, values = load_attributes(tmp_path)
    assert names == ["00001.png", "00004.png"] and columns == ["Male", "Smiling"]
    assert values.tolist() == [[-1, 1], [1, 1]] and values.dtype == np.int8
    columns, values = attributes_of(tmp_path, ["00004.png", "00002.png"])
    assert columns == ["Male", "Smiling"] and values.tolist() == [[1, 1], [0, 0]]
    path.write_text("image_name,Male,Smiling\n00001.png,-1,1\n00004.png,1,0\n")
    with pytest.raises(UserError, match=r"attributes\.csv, line 3: an attribute is neither -1 nor 1"):
        load_attributes(tmp_path)
    path.unlink()
    assert attributes_of(tmp_path, ["00004.png"])[1].shape == (1, 0)
    with pytest.raises(UserError, match=r"no such table: .*attributes\.csv"):
        load_attributes(tmp_path)


def test_pictures_come_by_name_whatever_the_file_system_says(tmp_path, monkeypatch):
    for name in ("b.png", "a.png", "c.jpg"):
        (tmp_path / name).touch()
    for entries in (sorted, lambda entries, key: sorted(entries, key=key, reverse=True)):
        listed = entries(os.scandir(tmp_path), key=lambda entry: entry.name)
        with monkeypatch.context() as patch:
            patch.setattr(os, "scandir", lambda _, listed=listed: listed)
            assert image_names(tmp_path) == ["a.png", "b.png", "c.jpg"]


def test_attributes_may_stand_before_the_names(tmp_path):
    (tmp_path / "face").mkdir()
    (tmp_path / "face" / "attributes.csv").write_text("Male,image_name,Smiling\n1,b.png,-1\n-1,a.png,1\n")
    names, columns, values = load_attributes(tmp_path)
    assert (names, columns, values.tolist()) == (["b.png", "a.png"], ["Male", "Smiling"], [[1, -1], [-1, 1]])
