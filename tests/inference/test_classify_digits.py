"""The command that labels a folder of digits, and its script."""

import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from data.digits import read_labels
from inference.classification import class_probabilities, vote
from inference.classify_digits import Config, main
from models import NETWORKS
from models.digit_classifiers import DigitClassifier
from models.weights import load_weights, save_weights
from runtime.device import Execution

CPU = Execution(torch.device("cpu"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Files of three untrained classifiers."""
    folder = tmp_path_factory.mktemp("some weights")
    for number, name in enumerate(("dann-lenet", "dann28", "dann-lenet")):
        torch.manual_seed(number)
        network = NETWORKS[f"{name}-classifier"](width=8)
        for parameter in network.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, 0, 0.3)  # so that they differ in what they see
        save_weights(folder / f"{number}.safetensors", network, f"{name}-classifier", {"width": 8}, {})
    return tuple(folder / f"{number}.safetensors" for number in range(3))


NAMES = [" space.png", "00001.png", "00002.png", 'a, "b".png', "z.png"]


@pytest.fixture
def pictures(tmp_path):
    """A folder of pictures, one of them gray, with names that are hard on a table."""
    folder = tmp_path / "some" / "svhn" / "pictures"
    folder.mkdir(parents=True)
    random = np.random.RandomState(0)
    for name in NAMES:
        Image.fromarray(random.randint(0, 256, (28, 28, 3), np.uint8)).save(folder / name)
    Image.open(folder / "z.png").convert("L").save(folder / "z.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


def expected(pictures, weights, how):
    images = np.stack([np.asarray(Image.open(pictures / name).convert("RGB")) for name in NAMES])
    networks = [CPU.place(load_weights(path, DigitClassifier)[0]) for path in weights]
    return vote(np.stack([class_probabilities(network, images, CPU) for network in networks]), how)


@pytest.mark.parametrize("how", ["majority", "mean"])
@pytest.mark.parametrize("voters", [1, 3])
def test_every_picture_gets_a_label_in_the_order_of_names(pictures, weights, tmp_path, how, voters):
    out = tmp_path / "new" / "out.csv"
    main(Config(weights[:voters], pictures, out, vote=how, device="cpu"))
    names, labels = read_labels(out)
    assert names == NAMES == sorted(NAMES)
    assert labels.tolist() == expected(pictures, weights[:voters], how).tolist()
    assert len({tuple(expected(pictures, (path,), how)) for path in weights}) == 3
    assert voters == 1 or labels.tolist() != expected(pictures, weights[:1], how).tolist()
    assert out.read_text().startswith("image_name,label\n space.png,")


def test_bad_pictures_are_named_or_skipped(pictures, weights, tmp_path, error_of, capsys):
    whole = (pictures / "00002.png").read_bytes()
    (pictures / "00002.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (32, 32)).save(pictures / "z.png")
    out = tmp_path / "out.csv"
    line = error_of(lambda: main(Config(weights[:1], pictures, out, device="cpu")))
    assert line.startswith(f"error: cannot read the picture {pictures / '00002.png'}")
    assert not out.exists()

    main(Config(weights[:1], pictures, out, skip_bad=True, device="cpu"))
    assert read_labels(out)[0] == NAMES[:2] + NAMES[3:4]
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("skipped 00002.png: ") and second.startswith("skipped z.png: ")
    assert "32x32, expected 28x28" in second

    for name in NAMES:
        (pictures / name).write_bytes(b"")
    line = error_of(lambda: main(Config(weights[:1], pictures, out, skip_bad=True, device="cpu")))
    assert "none of the 5 pictures in" in line


def test_wrong_weights_and_folders_end_in_one_line(pictures, weights, tmp_path, error_of):
    def error(*files, images=pictures):
        return error_of(lambda: main(Config(files, images, tmp_path / "out.csv", device="cpu")))

    save_weights(tmp_path / "faces.safetensors", torch.nn.Linear(1, 1), "dcgan-generator", {}, {})
    assert "holds the network 'dcgan-generator', but a digit classifier is needed" in error(
        tmp_path / "faces.safetensors"
    )
    assert "no such weights file" in error(tmp_path / "none.safetensors")
    assert "is no weights file" in error(pictures / "notes.txt")
    assert "--weights names no file" in error()
    assert "no such folder" in error(weights[0], images=tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "no pictures" in error(weights[0], images=tmp_path / "empty")
    assert not (tmp_path / "out.csv").exists()
    empty = tmp_path / "empty"
    line = error_of(lambda: main(Config(weights[:1], pictures, empty, device="cpu")))
    assert line == f"error: --csv {empty} is a folder: give the table's name too, {empty}/labels.csv say"


@pytest.fixture
def repository(root, tmp_path):
    """A copy of the scripts, with a stand-in for Python that only says what it is called with."""
    copy = tmp_path / "a repository"
    shutil.copytree(root / "scripts", copy / "scripts")
    (copy / "scripts" / "python.sh").write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@"\n')
    return copy


@pytest.mark.parametrize("script", ["classify_digits.sh", "hw2_3.sh"])
def test_the_script_finds_the_domain_in_the_path(repository, run, script):
    def call(*words, **variables):
        environment = os.environ | variables
        return run(repository / "scripts" / script, *words, command=("bash",), cwd=repository, env=environment)

    def weights_of(*words, **variables):
        return call(*words, **variables).stdout.splitlines()[3].rsplit("/", 1)[1]

    assert weights_of("data/svhn/test", "out.csv") == "mnistm-svhn.safetensors"
    assert weights_of("usps", "out.csv") == "mnistm-usps.safetensors"
    assert weights_of("some where/mnistm/", "out.csv") == "svhn-mnistm.safetensors"
    assert weights_of("any/folder", "usps", "out.csv") == "mnistm-usps.safetensors"
    assert weights_of("data/svhn/test", "usps", "out.csv") == "mnistm-usps.safetensors"
    assert weights_of("data/svhn/test", "out.csv", ADAPTED_FROM="usps") == "usps-svhn.safetensors"
    # So general a name may be set for something else.
    assert weights_of("data/svhn/test", "out.csv", SOURCE="usps") == "mnistm-svhn.safetensors"
    words = call("data/svhn/a b", "o u t.csv").stdout.splitlines()
    assert words[4:] == ["--images", "data/svhn/a b", "--csv", "o u t.csv"]

    for folder, count in (("any/svhn2", 0), ("svhn/usps", 2)):
        result = call(folder, "out.csv")
        assert result.returncode == 1
        assert result.stderr.startswith(f"error: {folder} names {count} of the domains mnistm svhn usps: give it")
    assert call("any", "mnist", "out.csv").stderr.startswith(
        "error: unknown target mnist: give one of mnistm svhn usps"
    )
    assert call("any").returncode == 2


@pytest.mark.parametrize("target", ["mnistm", "svhn", "usps"])
def test_graders_get_labels_by_the_shipped_weights(root, run, pictures, tmp_path, target):
    """With the true Python, from any directory."""
    script, out = root / "scripts" / "hw2_3.sh", tmp_path / "new" / "o.csv"
    result = run(script, pictures, target, out, command=("bash",), cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert read_labels(out)[0] == NAMES


def test_a_scenario_without_shipped_weights_is_one_line(root, run, pictures, tmp_path):
    script, out = root / "scripts" / "classify_digits.sh", tmp_path / "none.csv"
    chosen = os.environ | {"ADAPTED_FROM": "fonts"}
    result = run(script, pictures, "usps", out, command=("bash",), cwd=tmp_path, env=chosen)
    assert result.returncode == 1 and result.stderr.startswith("error: no such weights file: ")
    assert not out.exists()
