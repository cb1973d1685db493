"""Several classifiers become one file whose predictions are their mean."""

import numpy as np
import pytest
import torch

from inference.api import Classifier
from inference.ensemble import Config, main
from inference.weights import card
from models import NETWORKS
from models.digit_classifiers import DigitClassifier
from models.weights import load_weights, save_weights, shrink


def classifier_file(folder, seed, network="dann32-classifier", about=None, **arguments):
    torch.manual_seed(seed)
    classifier, path = NETWORKS[network](width=8, **arguments), folder / f"{seed}.safetensors"
    for parameter in classifier.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)
    save_weights(path, classifier, network, {"width": 8} | arguments, about or {"step": seed})
    return path


@pytest.mark.parametrize("network", ["dann32-classifier", "dann28-wide-classifier"])
def test_its_probabilities_are_the_mean(tmp_path, network):
    paths, out = [classifier_file(tmp_path, seed, network) for seed in (1, 2, 3)], tmp_path / "out.safetensors"
    main(Config(tuple(paths), out))
    images = np.random.RandomState(0).randint(0, 256, (7, 28, 28, 3)).astype(np.uint8)
    members, one = (Classifier.load(*names, device="cpu", vote="mean") for names in (paths, [out]))
    apart = members.probabilities(images)
    assert apart.shape == (3, 7, 10) and np.ptp(apart, 0).max() > 0.05
    np.testing.assert_allclose(one.probabilities(images)[0], apart.mean(0), atol=1e-6)
    assert (one.classify(images) == members.classify(images)).all()


def test_features_are_side_by_side_and_the_file_says_what_it_is(tmp_path):
    paths, out = [classifier_file(tmp_path, seed) for seed in (4, 5)], tmp_path / "out.safetensors"
    main(Config(tuple(paths), out))
    ensemble, about = load_weights(out, DigitClassifier)
    assert about == {"step": 4, "members": [{"step": 4}, {"step": 5}]} and ensemble.classes == 10
    images = torch.rand(3, 3, 28, 28)
    alone = [load_weights(path, DigitClassifier)[0].features(images) for path in paths]
    torch.testing.assert_close(ensemble.features(images), torch.cat(alone, 1))
    assert card(out)["network"] == "ensemble"
    shrink(out, tmp_path / "small.safetensors", 8)
    small, _ = load_weights(tmp_path / "small.safetensors", DigitClassifier)
    assert (small(images).softmax(1) - ensemble(images).softmax(1)).abs().max() < 0.05


def test_what_does_not_fit_is_refused(tmp_path, error_of):
    one, out = classifier_file(tmp_path, 1), tmp_path / "out.safetensors"
    assert "two classifiers or more" in error_of(lambda: main(Config((one,), out)))
    for other in (classifier_file(tmp_path, 2, "dann28-classifier"), classifier_file(tmp_path, 3, classes=4)):
        assert "of one network, width" in error_of(lambda other=other: main(Config((one, other), out)))
    named = classifier_file(tmp_path, 4, about={"classes": list("abcdefghij")})
    assert "of the same classes" in error_of(lambda: main(Config((one, named), out)))
    main(Config((one, one), out))
    again, dsn = tmp_path / "again.safetensors", classifier_file(tmp_path, 5, "dsn-classifier")
    for other in (out, dsn):
        assert "of which there are no ensembles" in error_of(lambda other=other: main(Config((other, other), again)))
    assert not again.exists()
