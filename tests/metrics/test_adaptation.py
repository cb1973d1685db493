"""Scores of adaptation runs."""

import json
import shutil

import numpy as np

from data.digits import load_digits
from inference.classification import accuracy, class_probabilities, vote
from metrics.adaptation import Config, main
from metrics.calibration import calibration_error
from metrics.labels import confusion_matrix
from models.digit_classifiers import DigitClassifier
from models.weights import load_weights
from runtime.device import choose_execution


def scores_of(*runs, **options):
    main(Config(runs, device="cpu", **options))
    return json.loads((options.get("out") or runs[0] / "scores.json").read_text())


def test_a_supervised_run_is_scored_on_all_domains_an_adapted_one_on_its_target(adapted, digits):
    supervised, dann, _ = adapted
    content = scores_of(supervised)
    assert {domain: set(scores) for domain, scores in content["scores"].items()} == {"a": {"val"}, "b": {"val", "test"}}
    assert (content["recipe"], content["seed"], content["steps"], content["augment"]) == ("supervised", 1, 2, "off")
    content = scores_of(dann)
    assert content["scores"].keys() == {"b"}
    execution = choose_execution("cpu", "float32")
    classifier, _ = load_weights(dann / "weights.safetensors", DigitClassifier)
    images, labels = load_digits(digits, "b", "test")
    classifier = execution.place(classifier)
    assert content["scores"]["b"]["test"] == accuracy(classifier, images, labels, execution)
    probabilities = class_probabilities(classifier, images, execution)
    assert content["confusion"]["b"] == {
        "split": "test",
        "matrix": confusion_matrix(labels, probabilities.argmax(1)).tolist(),
        "calibration_error": calibration_error(probabilities, labels),
    }
    supervised = scores_of(supervised)["confusion"]
    assert supervised["a"]["split"] == "val" and supervised["b"]["split"] == "test"  # a's test.csv has no labels


def test_several_runs_vote(adapted, digits, tmp_path, error_of):
    supervised, *both = adapted
    content = scores_of(*both, out=tmp_path / "vote" / "scores.json")
    assert content["voting"] == 2 and content["network"] == "dann-lenet and variants"
    execution = choose_execution("cpu", "float32")
    classifiers = [execution.place(load_weights(run / "weights.safetensors", DigitClassifier)[0]) for run in both]
    images, labels = load_digits(digits, "b", "test")
    given = vote(np.stack([class_probabilities(each, images, execution) for each in classifiers]), "majority")
    assert content["scores"]["b"]["test"] == (given == labels).mean()
    assert content["scores"] != scores_of(both[0])["scores"]
    assert "give a run directory, or several and --out" in error_of(lambda: scores_of(*both))
    line = error_of(lambda: scores_of(supervised, both[0], out=tmp_path / "x.json"))
    assert "the runs differ in their method" in line
    assert "is no run of an adaptation" in error_of(lambda: scores_of(tmp_path))


def test_an_unfinished_run_has_no_scores_and_data_may_lie_elsewhere(adapted, digits, tmp_path, error_of):
    run = shutil.copytree(adapted[1], tmp_path / "run")
    content = json.loads((run / "config.json").read_text())
    content["settings"]["data"] = "moved away"
    (run / "config.json").write_text(json.dumps(content))
    assert "no digits in moved away" in error_of(lambda: scores_of(run))
    assert scores_of(run, data=digits)["scores"] == scores_of(adapted[1])["scores"]
    (run / "config.json").write_text(json.dumps(content | {"total_steps": 9}))
    assert "stands at step 2 of 9: finish it with --resume" in error_of(lambda: scores_of(run))
    (run / "config.json").write_text("[]")
    assert "is no run of an adaptation" in error_of(lambda: scores_of(run))
