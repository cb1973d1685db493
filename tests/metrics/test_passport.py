"""What is told beside every score, statistics in pytorch-fid's format, and tables that do not mix."""

import json

import numpy as np
import pytest
from pytorch_fid.fid_score import compute_statistics_of_path

from experiments import results
from metrics import faces, passport, statistics
from metrics.distances import gaussian
from metrics.inception import Inception, reference_features
from metrics.pictures import read_generated
from runtime.errors import UserError
from training.directory import read_run


def test_a_score_tells_what_it_depends_on(weights_to_64, folders, tmp_path, command):
    out = tmp_path / "scores.json"
    words = ["--dims", 64, "--inception-weights", weights_to_64, "--device", "cpu", "--json", out, "--seed", 7]
    _, printed, _ = command(faces, folders[0], "--reference", folders[1], *words)
    about = json.loads(out.read_text())["passport"]
    generated, real = (read_generated(folder) for folder in folders)
    assert about == {
        "count": 6,
        "size": "64x64",
        "pictures": passport.pictures_hash(generated),
        "seed": 7,
        "resizing": "bilinear to 299x299 as pytorch-fid",
        "extractor": f"inception-64 {passport.file_hash(weights_to_64)}",
        "reference": f"5 pictures {passport.pictures_hash(real)}",
    }
    assert printed.splitlines()[-1] == passport.line(about)
    assert passport.line(about).startswith("passport: count 6, size 64x64, pictures ")
    assert passport.pictures_hash(generated) != passport.pictures_hash(generated[::-1])


def test_statistics_are_pytorch_fids_and_give_the_same_fid(weights_to_64, folders, tmp_path, command):
    words = ["--dims", 64, "--inception-weights", weights_to_64, "--device", "cpu"]
    file, out = tmp_path / "real.npz", tmp_path / "scores.json"
    command(statistics, folders[1], file, *words)
    expected = gaussian(reference_features(Inception(64, weights_to_64, "cpu"), folders[1]))
    theirs = compute_statistics_of_path(str(file), None, 1, 64, "cpu")
    for ours, read in zip(expected, theirs, strict=True):
        np.testing.assert_allclose(read, ours)

    np.savez(tmp_path / "theirs.npz", mu=theirs[0], sigma=theirs[1])  # as pytorch-fid's --save-stats writes it
    command(faces, folders[0], "--reference", folders[1], *words, "--json", out)
    fid = json.loads(out.read_text())["fid"]
    status, printed, _ = command(faces, folders[0], "--reference", tmp_path / "theirs.npz", *words, "--json", out)
    scores = json.loads(out.read_text())
    assert status == 0 and scores["fid"] == pytest.approx(fid) and scores["kid"] is None
    assert scores["passport"]["reference"] == f"statistics {passport.file_hash(tmp_path / 'theirs.npz')}"
    assert "holds statistics: give the folder of pictures" in printed


def test_statistics_that_cannot_serve_end_in_a_line(tmp_path, error_of):
    file = tmp_path / "real.npz"
    assert "no such statistics" in error_of(lambda: statistics.read_statistics(file, 64))
    file.write_bytes(b"damaged")
    assert "is damaged: give statistics of" in error_of(lambda: statistics.read_statistics(file, 64))
    np.savez(file, mu=np.zeros(64), sigma=np.eye(64))
    assert "is of 64 dimensions: give --dims 64" in error_of(lambda: statistics.read_statistics(file, 2048))


def test_tables_refuse_what_does_not_compare():
    about = {"count": 1000, "resizing": "r", "extractor": "inception-768 a", "reference": "2025 pictures b"}
    scored = {"dims": 768, "fid": 0.5, "hog_face_rate": 0.9, "passport": about}
    other = scored | {"passport": about | {"reference": "5 pictures c", "seed": 3}}
    bases = results.named_bases(scored)
    assert bases["FID-768"] == ("count 1000, resizing r, extractor inception-768 a, reference 2025 pictures b")
    records = [{"system": "one", "measured": bases}, {"system": "old"}, {"system": "two", "measured": bases}]
    results.refuse_mixture(records)
    records.append({"system": "three", "measured": results.named_bases(other)})
    message = r"FID-768 of one \(count 1000, .* b\) and of three \(.* 5 pictures c\) do not compare: score them alike"
    with pytest.raises(UserError, match=message):
        results.refuse_mixture(records)
    assert results.named_bases(other)["HOG face rate"] == bases["HOG face rate"] == "count 1000"


def test_accuracies_of_adaptations_tell_their_pictures(tmp_path):
    content = {"scores": {"svhn": {"test": 0.9, "val": 0.8}}, "passport": {"svhn test": "9 pictures a"}}
    assert results.named_bases(content) == {"svhn test": "9 pictures a", "svhn val": None}
    vote = content | {"recipe": "dann", "seed": 1, "network": "all", "steps": 2}  # of which nothing else is known
    (tmp_path / "scores.json").write_text(json.dumps(vote))
    record = results.record_of(read_run(tmp_path))
    assert record["settings"] == {"network": "all", "steps": 2} and record["measured"] == {"svhn test": "9 pictures a"}


def test_rows_of_sampling_tell_theirs(tmp_path):
    about = {"classifier": "a", "reference": "9 pictures b"}
    rows = [
        {"sampler": "dpm++", "steps": 4, "guidance": scale, "per_class": 2, "seed": 1, "accuracy": 0.5}
        | {"spread": 0.2, "seconds_per_1000": 3.0}
        for scale in (1.0, 2.0)
    ]
    (tmp_path / "sampling.json").write_text(json.dumps({"dims": 64, "rows": rows, "passport": about}))
    for record in results.sampling_records(read_run(tmp_path), "guidance"):
        assert record["measured"] == {"accuracy": "count 20, classifier a"}
