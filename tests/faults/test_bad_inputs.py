"""Damaged, foreign and hostile files, through the commands that read them."""

import io
import json
import os
import shutil
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from models import NETWORKS
from models.course_classifier import CourseClassifier
from models.weights import save_weights
from tests.faults.conftest import files_under


class Trap:
    """An object that makes a folder when it is unpickled carelessly."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def with_size(png, width, height):
    """A PNG file whose header claims another size."""
    header = b"IHDR" + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def pictures():
    """Names and bytes of pictures that somebody might have."""
    noise = np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8)
    image = Image.fromarray(noise)
    png = encoded(image, "PNG")
    files = {}
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16"):
        converted = image.convert("L").convert(mode) if mode == "I;16" else image.convert(mode)
        files[f"mode {mode}.png"] = encoded(converted, "PNG")
    for mode in ("CMYK", "F", "YCbCr", "LAB"):
        converted = Image.new(mode, (28, 28)) if mode == "LAB" else image.convert(mode)
        files[f"mode {mode}.tif"] = encoded(converted, "TIFF")
    files["transparent palette.png"] = encoded(image.convert("P"), "PNG", transparency=bytes(range(256)))
    for width, height in ((1, 1), (27, 28), (28, 29), (64, 64), (3000, 2), (1, 5000)):
        files[f"size {width}x{height}.png"] = encoded(Image.new("RGB", (width, height)), "PNG")
    for kind, suffix in (("PNG", "png"), ("JPEG", "jpg"), ("BMP", "bmp"), ("WEBP", "webp"), ("TIFF", "tif")):
        whole = encoded(image, kind)
        files |= {f"{tenth} tenths.{suffix}": whole[: len(whole) * tenth // 10] for tenth in range(10)}
    files |= {"text.png": b"no picture", "page.jpg": b"<html><body>404</body></html>", "noise.png": noise.tobytes()}
    files |= {"zeros.png": bytes(1000), "pdf.tif": b"%PDF-1.7\n", "zip.webp": b"PK\x03\x04" + bytes(50)}
    several = {"save_all": True, "append_images": [image.rotate(90), image.rotate(180)]}
    for kind, suffix in (("GIF", "png"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif")):
        files[f"animated {kind}.{suffix}"] = encoded(image, kind, **several)
    files["12000x12000.png"] = encoded(Image.new("1", (12000, 12000)), "PNG")
    files["20000x20000.png"] = with_size(png, 20000, 20000)
    files["2 to the 31.png"] = with_size(png, 2**31 - 1, 2**31 - 1)
    files["no width.png"] = with_size(png, 0, 28)
    files["other checksum.png"] = png[:40] + bytes([png[40] ^ 1]) + png[41:]
    text = PngImagePlugin.PngInfo()
    text.add_text("bomb", "0" * 100_000_000, zip=True)
    files["text bomb.png"] = encoded(image, "PNG", pnginfo=text)
    for name in ("with space", "new\nline", "'quoted'", '"quoted"', "<script>alert(1)</script>".replace("/", ""), "ü"):
        files[f"{name}.png"] = png
    for name in ("=cmd,x", "=1+1", "@SUM(1)", "+1|cmd", "-2+3", "-5", "\t=1", "a,b", "a;b", "$(touch sprung)", "%s{0}"):
        files[f"{name}.png"] = png
    return files


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Weights files of small untrained networks, by the command that they are for."""
    folder = tmp_path_factory.mktemp("weights")
    kinds = {
        "inference.classify_digits": ("dann-lenet-classifier", {"width": 8}),
        "inference.reconstruct_faces": ("vae", {"latent_size": 8, "width": 8}),
        "inference.generate_faces": ("dcgan-generator", {"latent_size": 8, "width": 8}),
        "inference.generate_digits": ("acgan28-generator", {"latent_size": 8, "width": 4}),
    }
    paths = {}
    for command, (name, arguments) in kinds.items():
        torch.manual_seed(0)
        paths[command] = folder / f"{name}.safetensors"
        save_weights(paths[command], NETWORKS[name](**arguments), name, arguments, {})
    return paths


def some(items, campaign):
    """All of `items` in a campaign, else every sixth."""
    return items if campaign else items[::6]


def test_pictures(networks, survives, tmp_path, campaign):
    for number, (name, content) in enumerate(some(list(pictures().items()), campaign)):
        folder = tmp_path / str(number) / "in"
        folder.mkdir(parents=True)
        (folder / name).write_bytes(content)
        for command, out in (("inference.classify_digits", "--csv"), ("inference.reconstruct_faces", "--out")):
            words = ("--weights", networks[command], "--images", folder, out, folder.parent / "out" / command)
            survives("pictures", command, *words, "--device", "cpu", kept=folder, name=name)
        table = folder.parent / "out" / "inference.classify_digits"
        assert not table.exists() or "\n=" not in table.read_text()
        shutil.rmtree(folder.parent)


@pytest.mark.parametrize("name", ["12000x12000.png", "=cmd,x.png"])
def test_pictures_that_must_be_refused(networks, survives, tmp_path, name):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / name).write_bytes(pictures()[name])
    words = ("--weights", networks["inference.classify_digits"], "--images", folder, "--csv", tmp_path / "out.csv")
    survives("pictures", "inference.classify_digits", *words, kept=folder, status=1)
    assert not (tmp_path / "out.csv").exists()


def weights_faults(path, trap):
    """Bytes in the place of a weights file."""
    whole = path.read_bytes()
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    first = next(iter(tensors))

    def made(tensors=tensors, **changed):
        save_file(tensors, trap.parent / "made", metadata | changed)
        return (trap.parent / "made").read_bytes()

    pickled = io.BytesIO()
    torch.save({"state_dict": Trap(trap)}, pickled)
    faults = [whole[: len(whole) * tenth // 10] for tenth in range(10)] + [b"no weights", bytes(1000)]
    faults += [pickled.getvalue(), struct.pack("<Q", 2**60) + whole[8:], whole + b"more"]
    faults += [made(network=name) for name in ("", "dsn", "nothing", "../../x", "vae")]
    faults += [made(arguments=text) for text in ("", "[]", "{}", "null", '{"width": -1}', '{"width": 0}', '{"x": 1}')]
    faults += [made(about=text) for text in ("", "[1]", "{", '"<script>"')]
    faults += [made({key: tensors[key] for key in list(tensors)[1:]}), made(tensors | {"more": torch.zeros(1)})]
    faults += [made(tensors | {first: torch.zeros(2, 3)}), made(tensors | {first: tensors[first] * torch.nan})]
    return faults


def test_weights(networks, survives, tmp_path, faces, digits, campaign):
    inputs = {
        "inference.classify_digits": ("--images", digits / "digits/a/data", "--csv"),
        "inference.reconstruct_faces": ("--images", faces, "--out"),
        "inference.generate_faces": ("--count", 1, "--out"),
        "inference.generate_digits": ("--per-class", 1, "--out"),
    }
    for command, path in networks.items():
        for number, content in enumerate(some(weights_faults(path, tmp_path / "sprung"), campaign)):
            folder = tmp_path / command / str(number)
            folder.mkdir(parents=True)
            (folder / "weights.safetensors").write_bytes(content)
            words = (
                "--weights",
                folder / "weights.safetensors",
                *inputs[command],
                tmp_path / command / f"out {number}",
            )
            survives("weights", command, *words, "--device", "cpu", kept=folder, name=number)


def test_classifiers(survives, tmp_path, campaign):
    pickled, trapped = io.BytesIO(), io.BytesIO()
    torch.save({"state_dict": CourseClassifier().state_dict()}, pickled)
    torch.save({"state_dict": Trap(tmp_path / "sprung")}, trapped)
    whole = pickled.getvalue()
    (tmp_path / "digits").mkdir()
    Image.new("RGB", (28, 28)).save(tmp_path / "digits" / "0_001.png")
    faults = [trapped.getvalue(), b"", b"text", b"\x80\x05."] + [whole[: len(whole) * n // 10] for n in range(1, 10)]
    for content in some(faults, campaign):
        (tmp_path / "Classifier.pth").write_bytes(content)
        words = (tmp_path / "digits", "--classifier", tmp_path / "Classifier.pth", "--device", "cpu")
        survives("classifiers (.pth)", "metrics.digits", *words, kept=tmp_path, status=1)


GOOD = "image_name,label\na.png,1\nb.png,2\n"
TABLES = [
    *(b"", b"\n\n", b"image_name,label\n", b"a.png,1\nb.png,2\n", b"\xef\xbb\xbf" + GOOD.encode()),
    *(GOOD.replace("\n", "\r\n").encode(), GOOD.replace("\n", "\r").encode(), GOOD.replace(",", ";").encode()),
    *(GOOD.replace(",", "\t").encode(), GOOD.encode("utf-16"), GOOD.replace("a.png", "ä.png").encode("latin-1")),
    *(b"image_name,label\na.png,%s\nb.png,2\n" % label for label in (b"", b"10", b"-1", b"1.0", b"nan", b"x", b"1e0")),
    *(GOOD.encode() + b"a.png,3\n", GOOD.encode() + b"c.png\n", GOOD.encode() + b"c.png,1,2\n", b"label\n1\n"),
    *(b"label,image_name\n1,a.png\n2,b.png\n", b'image_name,label\n"a.png,1\nb.png,2\n', b"image_name,label\na\0,1\n"),
    *(b"image_name,label\n" + b"a" * 200_000 + b",1\n", GOOD.encode() + b"=cmd|' /c calc'!A0,1\n", b"\xff\xfe\0\0"),
    *(b"image_name,image_name,label\na.png,b.png,1\n", b" image_name , label \na.png, 1\nb.png, 2\n", b"{}"),
    *(b"image_name,label\na.png,\xd9\xa1\n", b"image_name,label\n../../etc/passwd,1\n", b"%PDF-1.7\n", bytes(1000)),
]


def test_tables(survives, tmp_path, campaign):
    (tmp_path / "good.csv").write_text(GOOD)
    for content in some(TABLES, campaign):
        (tmp_path / "bad.csv").write_bytes(content)
        for pair in (("bad.csv", "good.csv"), ("good.csv", "bad.csv")):
            survives(
                "tables (CSV)", "metrics.labels", *(tmp_path / name for name in pair), kept=tmp_path, name=content[:60]
            )


def run_faults(folder, trap):
    """A file of a run directory, and what stands in its place."""
    config, checkpoint, log = (
        (folder / name).read_bytes() for name in ("config.json", "checkpoint.pt", "metrics.jsonl")
    )
    content = json.loads(config)
    faults = [("config.json", config[: len(config) * tenth // 10]) for tenth in range(10)]
    faults += [("config.json", text) for text in (b"[]", b"{}", b"null", b"\xff\xfe", b'{"settings": []}', b"{'a': 1}")]
    for changed in (
        *({"batch_size": "eight"}, {"batch_size": None}, {"batch_size": -1}, {"lr": float("nan")}, {"lr": "x"}),
        *({"betas": 1}, {"betas": [1]}, {"network": "nothing"}, {"recipe": "dann"}, {"recipe": 5}, {"unknown": 1}),
        *({"source": "<script>"}, {"precision": "float8"}, {"seed": 1e300}, {"epochs": [1]}),
    ):
        faults.append(("config.json", json.dumps(content | {"settings": content["settings"] | changed}).encode()))
    faults += [("checkpoint.pt", checkpoint[: len(checkpoint) * tenth // 10]) for tenth in range(10)]
    for state in ([], {}, {"step": 1}, {"step": "x", "parts": {}}, Trap(trap), torch.zeros(3), None):
        buffer = io.BytesIO()
        torch.save(state, buffer)
        faults.append(("checkpoint.pt", buffer.getvalue()))
    faults += [
        ("checkpoint.pt", b"text"),
        ("metrics.jsonl", log[:-9]),
        ("metrics.jsonl", log + b"\0\xff}\n5\n[]\n{}\n"),
    ]
    return faults


def test_run_directories(survives, tmp_path, digits, small, campaign):
    words = ("supervised", "--source", "a", "--data", digits, "--runs", tmp_path, *small)
    survives("run directories", "train_dann", *words, kept=digits, status=0)
    folder = tmp_path / "supervised-a"
    folder = folder if folder.exists() else next(path.parent for path in tmp_path.rglob("config.json"))
    whole = files_under(folder)
    for name, content in some(run_faults(folder, tmp_path / "sprung"), campaign):
        (folder / name).write_bytes(content)
        (folder / "mine.txt").write_text("mine")
        words = ("supervised", "--source", "a", "--runs", tmp_path, "--name", folder.name, "--resume")
        survives(
            "run directories",
            "train_dann",
            *words,
            "--data",
            digits,
            "--max-steps",
            3,
            kept=folder / "samples",
            name=f"{name} {content[-80:]}",
        )
        for path, former in whole.items():
            path.write_bytes(former)
