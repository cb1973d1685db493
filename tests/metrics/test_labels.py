"""Accuracy of a table of labels, and what is wrong with tables."""

import json

import numpy as np
import pytest
from PIL import Image

from data.digits import write_labels
from metrics.labels import Config, confusion_matrix, label_scores, main
from metrics.passport import file_hash


@pytest.fixture
def tables(tmp_path):
    """Write labels by name to a table: tables("out", {"a.png": 1})."""

    def write(name, labels):
        write_labels(tmp_path / f"{name}.csv", list(labels), labels.values())
        return tmp_path / f"{name}.csv"

    return write


def test_confusion_matrix_has_true_labels_in_rows():
    matrix = confusion_matrix([3, 3, 3, 9], [3, 5, 5, 0])
    assert matrix.sum() == 4 and matrix[3, 3] == 1 and matrix[3, 5] == 2 and matrix[9, 0] == 1
    scores = label_scores(matrix, missing=1)
    assert (scores["accuracy"], scores["pictures"], scores["missing"]) == (1 / 5, 5, 1)
    assert scores["by_class"][3] == pytest.approx(1 / 3) and scores["by_class"][9] == 0
    assert scores["by_class"][0] is None


def test_names_are_matched_whatever_their_order(tables, tmp_path, capsys):
    truth = tables("truth", {'a, "b" c.png': 1, "d.png": 2, " e.png": 3, "absent.png": 4})
    out = tables("out", {" e.png": 3, "other.png": 0, "d.png": 7, 'a, "b" c.png': 1})
    main(Config(out, truth, confusion=tmp_path / "new folder" / "matrix.png", json=tmp_path / "scores.json"))
    assert capsys.readouterr().out.splitlines() == [
        "accuracy 50.00% of 4 pictures",
        "without a label, counted as wrong: 1",
        "by class  1: 100.0%  2: 0.0%  3: 100.0%",
        f"passport: count 4, truth {file_hash(truth)}",
    ]
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["accuracy"] == 0.5 and scores["missing"] == 1
    with Image.open(tmp_path / "new folder" / "matrix.png") as page:
        assert np.asarray(page.convert("L")).std() > 10


def test_wrong_tables_end_in_one_line(tables, tmp_path, error_of):
    truth = tables("truth", {"a.png": 1, "b.png": 2})
    out = tmp_path / "out.csv"

    def error(text):
        out.write_text(text)
        return error_of(lambda: main(Config(out, truth)))

    assert "out.csv has no column label (it has image_name)" in error("image_name\na.png\n")
    assert "line 2: the label is '10', expected an integer from 0 to 9" in error("image_name,label\na.png,10\n")
    assert "out.csv is empty" in error("")
    assert "names a.png more than once" in error("image_name,label\na.png,1\nb.png,2\na.png,1\n")
    assert "have no image_name in common" in error("image_name,label\nc.png,1\n")
    out.unlink()
    assert "no such table" in error_of(lambda: main(Config(out, truth)))


def test_other_classes_are_those_listed_beside_the_truth(tables, tmp_path, capsys, error_of):
    truth = tables("truth", {"a.png": "stop", "b.png": "go", "c.png": "go"})
    out = tables("out", {"a.png": "stop", "b.png": "stop", "c.png": "go"})
    without = error_of(lambda: main(Config(out, truth)))
    assert "the label is 'stop', expected an integer from 0 to 9" in without
    (tmp_path / "classes.txt").write_text("go\nstop\nyield\n")
    main(Config(out, truth, confusion=tmp_path / "matrix.png"))
    assert "by class  go: 50.0%  stop: 100.0%\n" in capsys.readouterr().out
