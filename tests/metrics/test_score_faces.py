"""The command: its scores against pytorch-fid's own, what is unavailable, and what users get wrong."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from metrics import faces
from metrics.faces import FEATURE_SCORES, LOGIT_SCORES, score_faces
from metrics.pictures import read_generated


@pytest.mark.parametrize("dims", [192, 768])
def test_fid_is_that_of_pytorch_fids_command(dims, weights, folders, tmp_path, command):
    offline = {**os.environ, "TORCH_HOME": str(weights.parents[2])}
    theirs = subprocess.run(
        [sys.executable, "-m", "pytorch_fid", *folders, "--dims", str(dims), "--device", "cpu", "--num-workers", "0"],
        env=offline,
        capture_output=True,
        text=True,
        check=True,
    )
    fid = float(theirs.stdout.split("FID:")[1])

    json_path = tmp_path / "scores" / "faces.json"
    arguments = ["--dims", dims, "--inception-weights", weights, "--json", json_path, "--device", "cpu"]
    status, out, _ = command(faces, folders[0], "--reference", folders[1], *arguments)
    scores = json.loads(json_path.read_text())
    assert status == 0
    assert scores["fid"] == pytest.approx(fid, abs=1e-3) and fid > 0.1
    assert f"FID-{dims}" in out and f"{scores['fid']:.3f}" in out
    assert (scores["images"], scores["reference_images"], scores["dims"]) == (6, 5, dims)
    assert 0 <= scores["precision"] <= 1 and 0 <= scores["recall"] <= 1 and np.isfinite(scores["kid"])
    assert 1 <= scores["inception_score"] <= 1008 and scores["hog_face_rate"] == 0
    assert scores["unavailable"] == {}


def test_a_folder_against_itself(weights_to_64, folders):
    scores = score_faces(read_generated(folders[0]), folders[0], 64, weights_to_64, "cpu")
    assert scores["fid"] == pytest.approx(0, abs=1e-4) and scores["kid"] < 1e-3
    assert (scores["precision"], scores["recall"]) == (1, 1)
    assert set(scores["unavailable"]) == set(LOGIT_SCORES)  # this file has no last layer


def test_one_face_again_and_again_is_precise_and_recalls_only_itself(weights_to_64, folders):
    again = read_generated(folders[1])[[0, 0, 0, 0]]
    scores = score_faces(again, folders[1], 64, weights_to_64, "cpu")
    assert (scores["precision"], scores["recall"]) == (1, pytest.approx(1 / 5))


def test_without_weights_the_other_scores_are_given(folders, tmp_path, command):
    status, out, _ = command(faces, folders[0], "--reference", folders[1], "--json", tmp_path / "scores.json")
    remedy = f"under {tmp_path}/no-torch-home/hub/checkpoints or pass --inception-weights FILE"
    assert status == 0
    assert out.count("unavailable: Inception weights not found: put pt_inception") == 5 and out.count(remedy) == 5
    assert "images            6\n" in out and "HOG face rate     0.0%\n" in out
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert all(scores[name] is None and remedy in scores["unavailable"][name] for name in FEATURE_SCORES + LOGIT_SCORES)
    assert scores["hog_face_rate"] == 0


def test_weights_with_nan_name_the_dimensions_that_work(weights_to_768, folders, command):
    arguments = ["--reference", folders[1], "--inception-weights", weights_to_768]
    status, out, _ = command(faces, folders[0], *arguments)
    assert status == 0
    assert out.count("gives NaN at 2048 dimensions: use --dims 768, or get pt_inception") == 5
    status, out, _ = command(faces, folders[0], *arguments, "--dims", 64)
    assert status == 0
    assert out.count("unavailable") == 1 and "gives NaN at the class logits" in out and "FID-64" in out


def picture(path, size=(64, 64)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)
    return path


def broken_folders(tmp_path, folders):
    """What a user can get wrong: the arguments, and what the one line says."""
    generated, reference = folders
    empty = tmp_path / "empty"
    empty.mkdir()
    one = picture(tmp_path / "one" / "0.png").parent
    sizes = picture(tmp_path / "sizes" / "0.png").parent
    picture(sizes / "1.png", (32, 64))
    unreadable = tmp_path / "unreadable"
    unreadable.mkdir()
    (unreadable / "0.png").write_bytes(b"")
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(b"x" * 99)
    return [
        ([tmp_path / "none", "--reference", reference], "no such folder: "),
        ([empty, "--reference", reference], "no pictures ("),
        ([one, "--reference", reference], "only 1 of the generated pictures to score: FID needs at least 2"),
        ([sizes, "--reference", reference], "0.png is 64x64, 1.png is 32x64; bring them to one size"),
        ([unreadable, "--reference", reference], f"none of the 1 pictures in {unreadable} can be read"),
        ([generated, "--reference", tmp_path / "none"], "no such folder: "),
        ([generated, "--reference", one], f"only 1 of the pictures in {one} to score"),
        ([generated, "--reference", reference, "--inception-weights", damaged], "cannot read the Inception weights"),
        ([generated, "--reference", reference, "--inception-weights", tmp_path / "no.pth"], "no such Inception"),
        ([generated, "--reference", reference, "--device", "toaster"], "unknown device 'toaster'"),
    ]


def test_errors_are_one_line_and_lose_nothing(tmp_path, folders, command):
    former = tmp_path / "scores.json"
    former.write_text("former scores")
    for arguments, message in broken_folders(tmp_path, folders):
        status, out, err = command(faces, *arguments, "--json", former)
        assert (status, out) == (1, ""), arguments
        assert err.startswith("error: ") and message in err and err.count("\n") == 1
        assert former.read_text() == "former scores"


def test_unreadable_pictures_are_left_out(tmp_path, folders, command):
    generated = shutil.copytree(folders[0], tmp_path / "generated")
    (generated / "00000.png").write_bytes(b"\x89PNG")
    status, out, err = command(faces, generated, "--reference", folders[1])
    assert status == 0 and "images            5\n" in out
    assert f"left out of every score: 1 unreadable, e.g. {generated}/00000.png" in err


def test_gray_pictures_and_other_sizes(tmp_path, weights_to_64):
    for index in range(3):
        path = tmp_path / "digits" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((28, 28), 50 * index, np.uint8)).save(path)
    images = read_generated(tmp_path / "digits")
    assert images.shape == (3, 28, 28, 3)
    assert score_faces(images, tmp_path / "digits", 64, weights_to_64, "cpu")["fid"] == pytest.approx(0, abs=1e-4)
