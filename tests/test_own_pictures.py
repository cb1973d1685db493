"""Pictures of anybody's own: other sizes than the reports', gray ones, and other classes than digits."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import train_acgan
import train_adamatch
import train_dann
import train_dcgan
import train_ddpm
import train_dsn
import train_vae
from data.digits import load_classes
from data.faces import load_faces
from inference import Autoencoder, Classifier, Digits, Faces, classify_digits, generate
from inference.sampling import grid_requests
from inference.weights import card
from metrics import adaptation
from models import NETWORKS
from models.generator import Sampling
from models.weights import load_weights, save_weights
from runtime.errors import UserError
from runtime.images import image_grid
from training.config import parse_command_line

TINY = ("--batch-size", 8, "--max-steps", 2, "--device", "cpu", "--precision", "float32")
FACES = {
    "dcgan": (train_dcgan, ("--width", 8, "--latent-size", 8)),
    "sagan": (train_dcgan, ("--width", 8, "--latent-size", 8)),
    "pixelshuffle": (train_dcgan, ("--width", 8, "--latent-size", 8)),
    "projected-pixel": (train_dcgan, ("--width", 4, "--latent-size", 8)),
    "vae-pca": (train_vae, ("--width", 8, "--latent-size", 8)),
    "edm-faces": (train_ddpm, ("--width", 4, "--fold", 4, "--sample-steps", 1)),
}


def colours(seed, width, height):
    """A smooth, colourful picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of ten pictures, 150x140."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(10):
        colours(number, 150, 140).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def train(tmp_path):
    """Train a recipe in this process; gives the run directory."""

    def train(script, recipe, *options):
        words = (recipe, "--runs", tmp_path / "runs", *TINY, *options)
        config = parse_command_line(script.RECIPES, list(map(str, words)))
        script.main(config)
        return config.folder

    return train


def modes_and_sizes(folder):
    """Pillow's modes and sizes of the pictures in a folder."""
    return {(image.mode, image.size) for image in map(Image.open, folder.glob("*.png"))}


@pytest.mark.parametrize(
    ("recipe", "size", "channels"),
    [
        *((recipe, 128, 3) for recipe in ("dcgan", "vae-pca", "edm-faces")),
        *((recipe, 32, 1) for recipe in FACES),
    ],
)
def test_faces_of_another_size_and_in_gray(train, pictures, tmp_path, capsys, recipe, size, channels):
    script, options = FACES[recipe]
    shape = ("--size", size, "--channels", channels)
    folder = train(script, recipe, "--data", pictures, *shape, *options)
    mode = {1: "L", 3: "RGB"}[channels]
    grid = Image.open(folder / "samples" / "0000002.png")
    assert (grid.mode, grid.width) == (mode, 8 * (size + 2) + 2)

    quick = Sampling(steps=1) if script is train_ddpm else Sampling()
    generate.main(generate.Config(folder, tmp_path / "out", count=3, sampling=quick, device="cpu"))
    assert "3 faces are in" in capsys.readouterr().out
    assert modes_and_sizes(tmp_path / "out") == {(mode, (size, size))}
    assert Faces.load(folder, "cpu").sample(1, **vars(quick)).shape == (1, size, size, channels)
    if script is train_vae:
        generate.main(generate.Config(folder, tmp_path / "restored", images=pictures, device="cpu"))
        assert modes_and_sizes(tmp_path / "restored") == {(mode, (size, size))}
        given = np.zeros((2, size, size, channels), np.uint8)
        assert Autoencoder.load(folder, "cpu").reconstruct(given)[0].shape == given.shape


@pytest.mark.parametrize("name", [name for name in NETWORKS if name.endswith(("-generator", "vae", "unet"))])
def test_a_network_of_another_shape_says_so(name):
    """The last layer makes the pictures' channels; the size and the channels are known without one."""
    size = 64 if name == "acgan64-generator" else 32
    network = NETWORKS[name](width=8, size=size, channels=1).eval()
    assert (network.image_size, network.channels) == (size, 1)
    labels = torch.tensor([0, 1]) if network.classes else None
    sampling = Sampling(steps=2) if network.diffusion else Sampling()
    images = network.sample(lambda: torch.randn(2, *network.latent_shape), labels, sampling)
    assert images.shape == (2, 1, size, size)


def test_files_of_the_reported_shape_do_not_name_it(train, pictures):
    """They are those of earlier versions, which knew no other shape."""
    folder = train(train_dcgan, "dcgan", "--data", pictures, *FACES["dcgan"][1])
    text = (folder / "weights.safetensors").read_bytes()[:2000]
    assert b"latent_size" in text and b"channels" not in text and b'size\\": 64' not in text
    assert load_weights(folder / "weights.safetensors", torch.nn.Module)[0].image_size == 64


@pytest.mark.parametrize(
    ("script", "words", "message"),
    [
        (train_dcgan, ("dcgan", "--size", 48), "--size must be 32, 64 or 128"),
        (train_dcgan, ("dcgan", "--channels", 2), "--channels must be 1 or 3"),
        (train_vae, ("vae-pca", "--channels", 1, "--width", 1), "--width must be at least 2 for a linear start"),
        (train_ddpm, ("edm-faces", "--size", 28), "images of 28 pixels cannot be folded by 4"),
        (train_ddpm, ("edm-faces", "--size", 96), "--size must be 0, 28, 32, 64 or 128"),
    ],
)
def test_unknown_shapes_end_in_one_line(train, pictures, error_of, tmp_path, script, words, message):
    assert message in error_of(lambda: train(script, *words, "--data", pictures))
    assert not (tmp_path / "runs").exists()


def test_grids_are_gray_of_gray_pictures():
    assert image_grid(np.zeros((3, 4, 4, 1), np.uint8), columns=2).shape == (14, 14, 1)


def test_pictures_are_taken_upright_and_on_white(tmp_path):
    """As an upload to the page is: cameras say in EXIF how a picture was held."""
    (tmp_path / "in").mkdir()
    held = colours(0, 64, 64)
    turned = held.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    turned.save(tmp_path / "in" / "turned.png", exif=exif)
    held.save(tmp_path / "in" / "damaged.png", exif=b"Exif\0\0 none")
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(tmp_path / "in" / "white.png")
    damaged, upright, white = load_faces(tmp_path / "in")
    assert np.array_equal(upright, np.asarray(held)) and np.array_equal(damaged, upright)
    assert (white == 255).all()
    gray = load_faces(tmp_path / "in", channels=1)[1]
    assert np.array_equal(gray[..., 0], np.asarray(held.convert("L")))


def test_pictures_of_16_bits_are_refused(tmp_path, error_of):
    Image.fromarray(np.full((64, 64), 1000, np.uint16)).save(tmp_path / "deep.png")
    assert "it has more than 8 bits a channel): replace" in error_of(lambda: load_faces(tmp_path))


CLASSES = ["bend", "circle", "cross", "line", "ring", "square", "wedge"]
GENERATORS = {
    "acgan28": (train_acgan, ("--width", 4, "--latent-size", 8, "--size", 32)),
    "acgan64": (train_acgan, ("--width", 4, "--latent-size", 8, "--size", 64)),
    "edm": (train_ddpm, ("--width", 4, "--fold", 4, "--sample-steps", 1, "--size", 32)),
    "context-unet": (train_ddpm, ("--width", 8, "--diffusion-steps", 2, "--sample-steps", 1, "--size", 32)),
}


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Two domains of seven classes of gray pictures, 32x32, five of each; `plain` has splits."""
    root = tmp_path_factory.mktemp("classes")
    for number, name in enumerate(CLASSES):
        for place in ("plain/train", "plain/val", "other"):
            (root / place / name).mkdir(parents=True)
            for index in range(5):
                picture = colours(10 * number + index, 32, 32).convert("L")
                picture.save(root / place / name / f"{index}.png")
    return root


@pytest.mark.parametrize("recipe", GENERATORS)
def test_seven_classes_of_gray_pictures_are_generated(train, classes, tmp_path, recipe):
    script, options = GENERATORS[recipe]
    folder = train(script, recipe, "--data", classes, "--domain", "plain", "--channels", 1, *options)
    size = options[options.index("--size") + 1]
    grid = Image.open(folder / "samples" / "0000002.png")
    assert (grid.mode, grid.size) == ("L", (10 * (size + 2) + 2, 7 * (size + 2) + 2))

    quick = Sampling(steps=1) if script is train_ddpm else Sampling()
    generate.main(generate.Config(folder, tmp_path / "out", count=14, sampling=quick, device="cpu"))
    names = [f"{name}_{number:03d}.png" for name in CLASSES for number in (1, 2)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert modes_and_sizes(tmp_path / "out") == {("L", (size, size))}
    generator = Digits.load(folder, "cpu")
    by_name, by_number = (generator.sample(asked, **vars(quick)) for asked in (["ring", "ring"], [4, 4]))
    assert np.array_equal(by_name, by_number)
    assert np.array_equal(by_name[1, ..., 0], np.asarray(Image.open(tmp_path / "out" / "ring_002.png")))
    assert card(folder / "weights.safetensors")["classes"] == ", ".join(CLASSES)


def test_grids_show_some_of_many_classes():
    seeds, labels = grid_requests(0, 300)
    assert len(seeds) == len(labels) == 200 and labels.tolist()[::10] == list(range(20))


def test_a_folder_of_classes_is_a_domain_of_its_own(classes):
    """So `--data` may be the folder of classes itself, as it may be any folder of faces."""
    found = load_classes(classes / "other", "mnistm", 32, 1)
    images, labels, names = load_classes(classes, "other", 32, 1)
    assert np.array_equal(found[0], images) and np.array_equal(found[1], labels) and found[2] == names
    assert images.shape == (35, 32, 32, 1) and list(names) == CLASSES
    assert labels.tolist() == [label for label in range(7) for _ in range(5)]


@pytest.mark.parametrize("recipe", ["supervised", "dann", "dsn", "adamatch"])
def test_seven_classes_are_adapted_and_named(train, classes, tmp_path, recipe):
    script = {"dsn": train_dsn, "adamatch": train_adamatch}.get(recipe, train_dann)
    domains = ("--source", "plain", "--target", "other")
    folder = train(script, recipe, "--data", classes, *domains, "--network", "dann32", "--width", 4)
    assert Classifier.load(folder, device="cpu").size == 32
    table, pictures = tmp_path / "labels.csv", classes / "other" / "ring"
    classify_digits.main(classify_digits.Config((folder,), pictures, table, device="cpu"))
    header, *rows = table.read_text().splitlines()
    assert header == "image_name,label" and len(rows) == 5
    assert {row.split(",")[1] for row in rows} <= set(CLASSES)

    adaptation.main(adaptation.Config((folder,), device="cpu"))
    scores = json.loads((folder / "scores.json").read_text())
    assert np.sum(scores["confusion"]["other"]["matrix"], axis=1).tolist() == [5] * 7


def test_tables_name_their_classes_in_a_list(train, classes, tmp_path):
    """As `classes.txt` beside the tables; without it labels are digits."""
    folder = tmp_path / "own" / "digits" / "signs"
    shutil.copytree(classes / "other" / "ring", folder / "data")
    (folder / "train.csv").write_text("image_name,label\n0.png,stop\n1.png,go\n2.png,stop\n3.png,go\n4.png,go\n")
    (folder / "classes.txt").write_text("go\nstop\n")
    images, labels, names = load_classes(tmp_path / "own", "signs", 28, 1)
    assert (images.shape, labels.tolist(), names) == ((5, 28, 28, 1), [1, 0, 1, 0, 0], ("go", "stop"))
    (folder / "train.csv").write_text("image_name,label\n0.png,walk\n")
    with pytest.raises(UserError, match="line 2: the label is 'walk', expected one of go, stop"):
        load_classes(tmp_path / "own", "signs")


def without(folder, name):
    shutil.rmtree(folder / name)


def emptied(folder, name):
    without(folder, name)
    (folder / name).mkdir()


def renamed(folder, name):
    (folder / name).rename(folder / "=1+1")


def alone(folder, name):
    for other in set(CLASSES) - {name}:
        shutil.rmtree(folder / other)


def stray(folder, name):
    shutil.copy(folder / name / "0.png", folder / "0.png")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (emptied, "no pictures (.bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp) in "),
        (renamed, "'=1+1' cannot be the name of a class: rename it"),
        (alone, "has one class alone, ring: there must be two at least"),
        (stray, "0.png is of no class: move it into the folder of one"),
    ],
)
def test_bad_folders_of_classes_end_in_one_line(train, classes, tmp_path, error_of, damage, message):
    root = tmp_path / "own"
    shutil.copytree(classes / "other", root)
    damage(root, "ring")
    assert message in error_of(lambda: train(train_acgan, "acgan28", "--data", root))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("script", "words", "message"),
    [
        (train_dann, ("dann", "--source", "plain", "--target", "fewer"), "the same classes: plain alone has ring"),
        (train_dann, ("dann", "--source", "flat", "--target", "plain"), "flat has no folders of classes: the source"),
        (train_acgan, ("acgan28", "--domain", "nowhere"), "no domain nowhere in "),
        (train_acgan, ("acgan28", "--domain", "flat"), "flat has no folders of classes: its pictures have no labels"),
        (train_acgan, ("acgan28", "--domain", "other", "--size", 64), "--size 64 is for acgan64"),
        (train_acgan, ("acgan28", "--domain", "other", "--size", 128), "--size must be 28, 32 or 64"),
    ],
)
def test_domains_that_do_not_do_end_in_one_line(train, classes, tmp_path, error_of, script, words, message):
    root = tmp_path / "own"
    shutil.copytree(classes, root)
    shutil.copytree(root / "other", root / "fewer")
    without(root / "fewer", "ring")
    shutil.copytree(root / "other" / "ring", root / "flat")
    assert message in error_of(lambda: train(script, *words, "--data", root))
    assert not (tmp_path / "runs").exists()


def test_a_target_needs_no_labels(train, classes, tmp_path):
    shutil.copytree(classes / "other", tmp_path / "own" / "source")
    (tmp_path / "own" / "target").mkdir()
    for number, path in enumerate((classes / "plain").rglob("*.png")):
        shutil.copy(path, tmp_path / "own" / "target" / f"{number}.png")
    options = ("--source", "source", "--target", "target", "--network", "dann-lenet", "--width", 4)
    folder = train(train_dann, "dann", "--data", tmp_path / "own", *options)
    line = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert "source_accuracy" in line and "target_accuracy" not in line


def test_names_in_weights_cannot_lead_out_of_the_folder(train, classes, tmp_path, error_of):
    """Weights may be anybody's: what they call their classes becomes names of files."""
    arguments = {"latent_size": 8, "width": 4, "classes": 2}
    network = NETWORKS["acgan28-generator"](**arguments)
    for names, message in (
        (["../a", "b"], "'../a' cannot be the name of a class"),
        (["a"], "the weights have 2 classes, but other names of them"),
        (3, "the weights have 2 classes, but other names of them"),
    ):
        save_weights(tmp_path / "weights.safetensors", network, "acgan28-generator", arguments, {"classes": names})
        config = generate.Config(tmp_path / "weights.safetensors", tmp_path / "out", count=2, device="cpu")
        assert message in error_of(lambda config=config: generate.main(config))
        assert not (tmp_path / "out").exists()
