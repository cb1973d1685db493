"""Scores of digits made on request, beside the graders' rule."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import conv2d
from torchvision import transforms

from metrics.digits import Config, classify, colours, load_classifier, main, read_requested, real_features
from metrics.inception import Inception
from models import NETWORKS
from models.course_classifier import CourseClassifier
from models.weights import save_weights
from runtime.command_line import from_command_line
from runtime.device import Execution
from runtime.errors import UserError
from runtime.images import save_images
from tests.digit_tree import write_digit_domain


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A file like the course's: other things beside the weights; it sees several digits in random pictures."""
    torch.manual_seed(0)
    network = CourseClassifier()
    for layer in (network.fc1, network.fc2, network.fc3):
        torch.nn.init.normal_(layer.weight, 0, 0.3)
    path = tmp_path_factory.mktemp("grader") / "Classifier.pth"
    torch.save({"state_dict": network.state_dict(), "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}, path)
    return path


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Thirty smooth pictures, three of each class."""
    folder = tmp_path_factory.mktemp("made") / "digits"
    random = np.random.default_rng(1)
    coarse = [Image.fromarray(random.integers(0, 256, (5, 5, 3), np.uint8)) for _ in range(30)]
    pictures = np.stack([np.asarray(image.resize((28, 28), Image.Resampling.BICUBIC)) for image in coarse])
    names = [f"{digit}_{number:03d}.png" for digit in range(10) for number in (1, 2, 3)]
    save_images(folder, names, pictures)
    return folder


def score(arguments, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["metrics.digits", *map(str, arguments), "--device", "cpu"])
    main(from_command_line(Config))
    return capsys.readouterr().out


def lenet(images, weights):
    """The graders' network: two 5x5 convolutions, each with a ReLU and pooling by 2x2 maxima; three linear layers."""
    for layer in ("conv1", "conv2"):
        images = conv2d(images, weights[f"{layer}.weight"], weights[f"{layer}.bias"]).clamp(min=0)
        count, channels, height, width = images.shape
        images = images.reshape(count, channels, height // 2, 2, width // 2, 2).amax((3, 5))
    features = images.reshape(len(images), 256)
    for layer in ("fc1", "fc2"):
        features = (features @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"]).clamp(min=0)
    return features @ weights["fc3.weight"].T + weights["fc3.bias"]


def graders_accuracy(folder, classifier):
    """The graders' rule: every entry, ToTensor and Normalize without resizing, the first character is the truth."""
    weights = torch.load(classifier, weights_only=True)["state_dict"]
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])
    correct = 0
    names = os.listdir(folder)
    for name in names:
        with Image.open(folder / name) as image:
            logits = lenet(transform(image.convert("RGB"))[None], weights)
        correct += int(logits.argmax(1).item() == int(name[0]))
    return correct / len(names)


def test_the_classifier_is_the_graders_lenet():
    """Of random weights in the shapes of the course's file."""
    random = torch.Generator().manual_seed(0)
    shapes = {"conv1": (6, 3, 5, 5), "conv2": (16, 6, 5, 5), "fc1": (128, 256), "fc2": (64, 128), "fc3": (10, 64)}
    weights = {f"{name}.weight": torch.randn(shape, generator=random) / 9 for name, shape in shapes.items()}
    weights |= {f"{name}.bias": torch.randn(shape[0], generator=random) for name, shape in shapes.items()}
    network = CourseClassifier()
    network.load_state_dict(weights)
    images = torch.rand(5, 3, 28, 28, generator=random) * 2 - 1
    torch.testing.assert_close(network(images), lenet(images, weights), rtol=1e-4, atol=1e-4)


def test_it_is_the_graders_rule(digits, classifier, tmp_path, capsys, monkeypatch):
    out = tmp_path / "new" / "scores.json"
    words = (digits, "--classifier", classifier, "--json", out, "--confusion", tmp_path / "new" / "confusion.png")
    printed = score(words, capsys, monkeypatch)
    scores = json.loads(out.read_text())
    expected = graders_accuracy(digits, classifier)
    assert 0 < expected < 1
    assert scores["accuracy"] == pytest.approx(expected)
    assert np.mean(scores["by_class"]) == pytest.approx(expected)
    assert scores["pictures"] == 30
    assert f"as requested     {expected:.2%} of 30 pictures" in printed
    assert Image.open(tmp_path / "new" / "confusion.png").size[0] > 500


def test_every_digit_right_and_every_digit_wrong(digits, classifier, tmp_path, capsys, monkeypatch):
    images, _ = read_requested(digits)
    seen = classify(load_classifier(classifier), images, Execution(torch.device("cpu")))
    assert len(set(seen.tolist())) > 2
    for shift, share in ((0, "100.00%"), (1, "0.00%")):
        folder = tmp_path / f"{shift}"
        save_images(folder, [f"{(digit + shift) % 10}_{index:03d}.png" for index, digit in enumerate(seen)], images)
        assert f"as requested     {share} of 30" in score((folder, "--classifier", classifier), capsys, monkeypatch)


def test_saturation_and_clipped_values():
    grey, red, dull = np.full((2, 2, 3), 90), np.full((2, 2, 3), (255, 0, 0)), np.full((2, 2, 3), (100, 49, 60))
    measured = colours(np.stack([grey, red, dull]).astype(np.uint8))
    assert measured == {"saturation": pytest.approx((0 + 1 + 51 / 255) / 3), "clipped": pytest.approx(1 / 3)}


def test_colours_stand_beside_those_of_the_reference(digits, classifier, tmp_path, capsys, monkeypatch):
    report = tmp_path / "scores.json"
    arguments = [digits, "--classifier", classifier, "--reference", digits, "--json", report]
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    printed = score(arguments, capsys, monkeypatch)
    scores = json.loads(report.read_text())
    assert 0.1 < scores["saturation"] == scores["real_saturation"] < 1
    assert scores["clipped"] == scores["real_clipped"]
    assert f"saturation       {scores['saturation']:.3f} (real {scores['saturation']:.3f})" in printed


def test_diversity_beside_it(digits, classifier, weights_to_64, tmp_path, capsys, monkeypatch):
    root = write_digit_domain(tmp_path / "tree")
    options = ("--classifier", classifier, "--dims", 64, "--inception-weights", weights_to_64, "--json", tmp_path / "s")
    score((digits, *options, "--reference", digits), capsys, monkeypatch)
    same = json.loads((tmp_path / "s").read_text())
    assert same["fid"] == pytest.approx(0, abs=1e-3)
    assert (same["precision"], same["recall"]) == (1, 1)

    # A generator that makes one picture again and again has no recall.
    collapsed = tmp_path / "collapsed"
    collapsed.mkdir()
    for digit in range(10):
        for number in range(2):
            shutil.copy(digits / "0_001.png", collapsed / f"{digit}_{number}.png")
    domain = root / "digits" / "mnistm"
    score((collapsed, *options, "--reference", domain, "--reference-count", 10), capsys, monkeypatch)
    scores = json.loads((tmp_path / "s").read_text())
    assert scores["recall"] == 0
    assert scores["fid"] > 0
    real = real_features(Inception(64, weights_to_64, "cpu"), domain, 10)
    assert real.shape == (10, 64)  # of twelve in val.csv


def test_without_inception_weights_the_accuracy_is_there(digits, classifier, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    printed = score((digits, "--classifier", classifier, "--reference", digits), capsys, monkeypatch)
    assert "as requested" in printed
    assert "FID-2048         unavailable: Inception weights not found" in printed


@pytest.mark.parametrize("kind", ["missing", "text", "shape", "key", "safetensors"])
def test_bad_classifiers(digits, tmp_path, error_of, kind, capsys, monkeypatch):
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "Classifier.pth")
    state = CourseClassifier().state_dict()
    expected = f"{path} is neither the course's classifier nor a weights.safetensors: give one"
    match kind:
        case "missing":
            expected = f"no such classifier: {path}"
        case "text":
            path.write_text("no classifier")
        case "shape":
            torch.save({"state_dict": state | {"fc3.weight": torch.zeros(11, 64)}}, path)
        case "key":
            torch.save(state, path)
        case "safetensors":
            save_weights(path, NETWORKS["context-unet"](width=8), "context-unet", {"width": 8}, {})
            expected = f"{path} holds the network 'context-unet', but a digit classifier is needed"
    assert error_of(lambda: score((digits, "--classifier", path), capsys, monkeypatch)) == f"error: {expected}"


class _Spy:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


def test_nothing_in_a_classifier_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": _Spy()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match="neither the course's classifier"):
        load_classifier(tmp_path / "evil.pth")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("damage", ["missing", "empty", "name", "text", "broken", "size", "folder"])
def test_bad_folders(digits, classifier, tmp_path, error_of, damage, capsys, monkeypatch):
    folder = tmp_path / "digits"
    if damage != "missing":
        shutil.copytree(digits, folder)
    match damage:
        case "missing":
            expected = f"no such folder: {folder}"
        case "empty":
            shutil.rmtree(folder)
            folder.mkdir()
            expected = "no pictures ("
        case "name":
            shutil.copy(digits / "0_001.png", folder / "seven.png")
            expected = f"{folder}/seven.png does not begin with the digit requested"
        case "text":
            (folder / "1_notes.txt").write_text("mine")
            expected = f"{folder} holds something that is no readable picture"
        case "broken":
            (folder / "1_001.png").write_bytes(b"broken")
            expected = f"{folder} holds something that is no readable picture"
        case "size":
            for path in folder.iterdir():
                Image.new("RGB", (64, 64)).save(path)
            expected = f"the pictures in {folder} are 64x64, expected 28x28"
        case "folder":
            (folder / "1_more").mkdir()
            expected = f"{folder} holds something that is no readable picture"
    assert expected in error_of(lambda: score((folder, "--classifier", classifier), capsys, monkeypatch))
