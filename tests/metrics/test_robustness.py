"""Accuracies on changed digits."""

import json

import numpy as np
import pytest
from PIL import Image

from metrics.robustness import CHANGES, Config, cropped, exposed, main, resized, robustness, shifted


@pytest.fixture
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8))


def test_shifts_repeat_the_border(picture):
    before = np.asarray(picture)
    right, up = (np.asarray(shifted(*way)(picture)) for way in ((2, 0), (0, -1)))
    assert (right[:, 2:] == before[:, :-2]).all() and (right[:, :2] == before[:, :1]).all()
    assert (up[:-1] == before[1:]).all() and (up[-1] == before[-1]).all()


def test_lengths_are_shares_of_the_side(picture):
    large = Image.fromarray(np.asarray(picture).repeat(2, 0).repeat(2, 1))
    assert (np.asarray(shifted(3, 0)(large))[:, 6:] == np.asarray(large)[:, :-6]).all()


def test_crops_enlarge_or_shrink_what_is_inside():
    square = np.zeros((28, 28, 3), np.uint8)
    square[10:18, 10:18] = 255
    areas = {margin: np.asarray(cropped(margin)(Image.fromarray(square))).mean() / 255 for margin in (-2, 2)}
    assert areas[-2] == pytest.approx((8 / 32) ** 2, rel=0.05)
    assert areas[2] == pytest.approx((8 / 24) ** 2, rel=0.05)


def test_exposure_is_about_mid_grey_and_stays_within_range():
    grey = Image.fromarray(np.array([0, 100, 128, 155, 255], np.uint8)[None, :, None].repeat(3, 2))
    assert np.asarray(exposed(contrast=0.6)(grey))[0, :, 0].tolist() == [51, 111, 128, 144, 204]
    assert np.asarray(exposed(contrast=1.4)(grey))[0, :, 1].tolist() == [0, 89, 128, 166, 255]
    assert np.asarray(exposed(brightness=0.2)(grey))[0, :, 2].tolist() == [51, 151, 179, 206, 255]


def test_resizing_loses_detail(picture):
    assert np.asarray(resized(14)(picture)).std() < 0.7 * np.asarray(picture).std()


def test_every_way_of_a_change_counts(picture):
    brightness = np.asarray(picture).mean()
    images, labels = np.asarray(picture)[None], np.array([1])

    def classify(images):
        return (images.mean((1, 2, 3)) > brightness + 10).astype(int)  # only the brightened one

    accuracies = robustness(classify, images, labels)
    assert accuracies.keys() == CHANGES.keys()
    assert accuracies["brightness ±0.15"] == 0.5 and accuracies["none"] == 0


def test_the_command_prints_and_writes(adapted, digits, tmp_path, capsys, error_of):
    dann = adapted[1]
    main(Config((dann,), domain="b", data=digits, json=tmp_path / "out.json", device="cpu"))
    content = json.loads((tmp_path / "out.json").read_text())
    assert (content["domain"], content["split"]) == ("b", "test")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(CHANGES) == len(content["accuracies"])
    assert f"{content['accuracies']['none']:.1%}" in lines[0]
    assert "give a run directory" in error_of(lambda: main(Config((), domain="b", data=digits)))
    assert "label" in error_of(lambda: main(Config((dann,), domain="a", data=digits)))
