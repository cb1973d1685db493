"""The rule by which faces are counted."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import metrics.hog
from metrics.hog import count_faces, hog_face_rate
from metrics.inception import Inception
from metrics.pictures import read_generated

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "raw" / "celeba" / "img_align_celeba"


@pytest.fixture
def fake_detector(monkeypatch):
    """Finds as many faces as the first pixel's red says."""

    def detect(image, upsamplings):
        assert upsamplings == 1
        assert image.dtype == np.uint8 and image.flags.writeable and image.flags.c_contiguous
        return [None] * int(image[0, 0, 0])

    monkeypatch.setattr(metrics.hog, "dlib", SimpleNamespace(get_frontal_face_detector=lambda: detect))


def pictures_of(*counts):
    return np.stack([np.full((8, 8, 3), count, np.uint8) for count in counts])


def test_exactly_one_face_counts(fake_detector):
    images = pictures_of(1, 0, 2, 1, 1)
    images.flags.writeable = False
    assert count_faces(images).tolist() == [1, 0, 2, 1, 1]
    assert hog_face_rate(images) == 0.6


def test_unreadable_files_are_left_out(fake_detector, tmp_path, capsys):
    for index, image in enumerate(pictures_of(1, 1, 0)):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    (tmp_path / "3.png").write_bytes(b"\x89PNG but no more")
    (tmp_path / "notes.txt").write_text("not a picture")
    assert hog_face_rate(read_generated(tmp_path)) == 2 / 3
    error = capsys.readouterr().err
    assert "left out of every score: 1 unreadable" in error and "3.png" in error


def test_dlib_finds_no_face_in_flat_pictures():
    assert count_faces(np.full((2, 64, 64, 3), 128, np.uint8)).tolist() == [0, 0]


@pytest.mark.skipif(not REAL.is_dir(), reason="no real data beside the repository")
def test_dlib_finds_real_faces():
    from data.decoded import decode_folder, image_names

    assert hog_face_rate(decode_folder(REAL, image_names(REAL)[-30:], 64, resize=True)) > 0.8


def test_no_network_is_needed(monkeypatch, fake_detector):
    monkeypatch.setattr(Inception, "__init__", None)
    assert hog_face_rate(pictures_of(1)) == 1
