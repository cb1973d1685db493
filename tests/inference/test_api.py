"""Networks from Python, and the commands that find out what weights are."""

import doctest
import hashlib
import os

import numpy as np
import pytest
import torch
from PIL import Image

from inference import Autoencoder, Classifier, Digits, Faces, api
from inference.generate import Config, main
from inference.generate_digits import Config as DigitsConfig
from inference.generate_digits import main as generate_digits
from inference.weights import Config as CardConfig
from inference.weights import card
from inference.weights import main as print_card
from models import NETWORKS
from models.generator import Sampling
from models.weights import save_weights, shrink
from runtime.errors import UserError

NETWORKS_OF = {
    "faces": ("dcgan-generator", {"latent_size": 8, "width": 4}),
    "vae": ("vae", {"latent_size": 6, "width": 4}),
    "acgan": ("acgan28-generator", {"latent_size": 8, "width": 4}),
    "diffusion": ("context-unet", {"width": 8, "steps": 4}),
    "classifier": ("dann-lenet-classifier", {"width": 4}),
    "discriminator": ("dcgan-discriminator", {"width": 4}),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Run directories, by kind, of untrained networks whose pictures are not all gray."""
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in NETWORKS_OF}
    for kind, (name, arguments) in NETWORKS_OF.items():
        torch.manual_seed(0)
        network = NETWORKS[name](**arguments)
        for parameter in network.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, 0, 0.1)
        save_weights(folders[kind] / "weights.safetensors", network, name, arguments, {"recipe": "r", "step": 1234})
    return folders


def test_examples_are_right():
    found = doctest.testmod(api)
    assert found.attempted > 8 and not found.failed


@pytest.mark.parametrize("kind", ["acgan", "diffusion"])
def test_digits_are_those_of_the_command(runs, tmp_path, kind):
    sampling = {"guidance": 3.0, "steps": 2} if kind == "diffusion" else {"truncation": 0.9}
    generate_digits(DigitsConfig(runs[kind], tmp_path / "out", 2, seed=7, sampling=Sampling(**sampling), device="cpu"))
    digits = Digits.load(runs[kind], device="cpu")
    found = digits.sample([4, 9, 4], seed=7, **sampling)
    for picture, name in zip(found, ("4_001", "9_001", "4_002"), strict=True):
        assert np.array_equal(picture, np.asarray(Image.open(tmp_path / "out" / f"{name}.png")))
    assert not np.array_equal(found, digits.sample([4, 9, 4], seed=7))


def test_names_are_files_runs_and_shipped_weights(runs, tmp_path, monkeypatch):
    file = runs["faces"] / "weights.safetensors"
    assert api.find_weights(runs["faces"]) == api.find_weights(str(file)) == file
    assert api.find_weights("faces") == api.SHIPPED / "faces.safetensors"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces").mkdir()  # of pictures, say
    assert api.find_weights("faces").is_file()
    with pytest.raises(UserError, match="no such weights file: nobody"):
        Faces.load("nobody")


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda runs: Faces.load(runs["acgan"]), "these weights make digits and need labels"),
        (lambda runs: Digits.load(runs["faces"]), "these weights make faces, which have no labels"),
        (lambda runs: Classifier.load(runs["faces"]), "but a digit classifier is needed"),
        (lambda runs: Autoencoder.load(runs["faces"]), "but a vae is needed"),
        (lambda runs: Digits.load(runs["acgan"]).sample([10]), "there is no digit 10: ask for 0 to 9"),
        (lambda runs: Digits.load(runs["acgan"]).sample([1], steps=2), "steps is for diffusion networks"),
        (lambda runs: Digits.load(runs["acgan"]).process(1), "only diffusion networks have a process to show"),
        (lambda runs: Digits.load(runs["diffusion"]).sample([1], guidance=-1), "--guidance must be from 0 to 100"),
        (lambda runs: Faces.load(runs["faces"]).sample(1, truncation=0), "--truncation must be above 0"),
        (lambda runs: Classifier.load(runs["classifier"]).classify(np.zeros((1, 28, 28))), "give uint8"),
        (lambda runs: Autoencoder.load(runs["vae"]).encode(np.zeros((64, 64, 3), np.uint8)), "give uint8"),
    ],
)
def test_mistakes_are_one_line(runs, mistake, message):
    with pytest.raises(UserError, match=message):
        mistake(runs)


def make(folder, out, **options):
    main(Config(folder, out, device="cpu", **options))
    return sorted(os.listdir(out))


def test_generate_makes_what_the_weights_can(runs, tmp_path, capsys):
    faces = make(runs["faces"], tmp_path / "faces", count=3)
    assert faces == ["0000.png", "0001.png", "0002.png"]
    assert capsys.readouterr().out == f"3 faces are in {tmp_path / 'faces'}\n"
    assert make(runs["acgan"], tmp_path / "digits", count=20)[:2] == ["0_001.png", "0_002.png"]
    assert make(runs["vae"], tmp_path / "new", count=2) == faces[:2]
    assert "for reconstructions give a folder of faces with --images" in capsys.readouterr().out
    assert make(runs["vae"], tmp_path / "again", images=tmp_path / "faces") == faces
    assert make(runs["classifier"], tmp_path / "labels", images=tmp_path / "digits") == ["labels.csv"]


def test_generate_says_what_it_needs(runs, tmp_path, error_of):
    for kind, options, message in (
        ("classifier", {}, "is a classifier: give the digits to label with --images DIR"),
        ("discriminator", {}, "makes nothing by itself"),
        ("faces", {"images": tmp_path}, "makes pictures of noise: leave out --images"),
        ("acgan", {"count": 11}, "--count 11: of 10 classes there are a multiple of 10"),
        ("vae", {"images": tmp_path, "sampling": Sampling(truncation=0.5)}, "settings of sampling do nothing"),
    ):
        assert message in error_of(lambda kind=kind, options=options: make(runs[kind], tmp_path / "out", **options))
        assert not (tmp_path / "out").exists()


def test_the_card_of_a_file(runs, tmp_path, capsys):
    print_card(CardConfig(runs["faces"]))
    told = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    path = runs["faces"] / "weights.safetensors"
    assert told["network"] == "dcgan-generator" and told["arguments"] == "latent_size 8, width 4"
    assert told["recipe"] == "r" and told["training"] == "1,234 steps, 0 epochs"
    count = sum(value.numel() for value in NETWORKS["dcgan-generator"](8, 4).parameters())
    assert told["parameters"] == f"{count:,}, stored as float32"
    assert told["SHA-256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    shrink(path, tmp_path / "small", bits=8)
    assert card(tmp_path / "small")["parameters"] == f"{count:,}, stored as float16, int8"


@pytest.mark.parametrize(
    ("module", "needed"),
    [("inference.generate", ()), ("data.prepare", ()), ("metrics.faces", ("scipy", "dlib"))],
)
def test_help_comes_at_once(run, module, needed):
    """Without the packages that only computing needs."""
    heavy = {"sklearn", "matplotlib", "pandas", "scipy", "dlib", "torchvision", "torch_fidelity"} - {*needed}
    done = run("-c", f"import sys, {module}; print(*{heavy} & set(sys.modules))")
    assert (done.returncode, done.stdout.split()) == (0, [])
