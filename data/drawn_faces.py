"""Drawn faces with known attributes, for trying things out where there are no photographs."""

import numpy as np
from PIL import Image, ImageDraw

ATTRIBUTES = ("Bangs", "Black_Hair", "Blond_Hair", "Brown_Hair", "Eyeglasses", "Gray_Hair", "Long_Hair", "Smiling")

_SKINS = np.array([[255, 224, 196], [241, 194, 155], [224, 172, 125], [190, 130, 85], [141, 85, 50], [96, 58, 36]])
_HAIRS = {
    "Black_Hair": (32, 26, 26),
    "Blond_Hair": (226, 190, 106),
    "Brown_Hair": (104, 64, 36),
    "Gray_Hair": (170, 168, 168),
}
_IRISES = ((70, 110, 160), (84, 120, 70), (96, 62, 34), (60, 40, 26))
_SCALE = 4  # drawn four times as large and averaged down, which smooths every edge


def draw_face(index: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """One face: uint8 RGB (64, 64, 3), and its attributes, int8 -1 or 1 in the order of `ATTRIBUTES`.

    The same for the same `index` and `seed`.
    """
    random = np.random.RandomState([seed, index])  # each face has its own stream, so the order does not matter
    hair = random.choice(list(_HAIRS))
    chances = {"Bangs": 0.4, "Eyeglasses": 0.3, "Long_Hair": 0.5, "Smiling": 0.5}
    traits = {name: random.random_sample() < chance for name, chance in chances.items()} | {hair: True}
    picture = _background(random)
    _paint(picture, traits, np.array(_HAIRS[hair]), random)
    pixels = np.asarray(picture.reduce(_SCALE))
    return pixels, np.array([1 if traits.get(name) else -1 for name in ATTRIBUTES], np.int8)


def _background(random: np.random.RandomState) -> Image.Image:
    """A slanted gradient between two random muted colours."""
    first, second = random.randint(80, 210, (2, 1)) + random.randint(-30, 31, (2, 3))
    slant = random.uniform(-0.5, 0.5)
    down, right = np.mgrid[0:64, 0:64] / 64
    mixture = np.clip(down + slant * (right - 0.5), 0, 1)[..., None]
    gradient = Image.fromarray((first * (1 - mixture) + second * mixture).astype(np.uint8))
    return gradient.resize((64 * _SCALE, 64 * _SCALE), Image.Resampling.NEAREST)


def _paint(picture: Image.Image, traits: dict[str, bool], hair: np.ndarray, random: np.random.RandomState) -> None:
    """Draw a face from the back to the front, in the units of a 64-pixel picture."""
    draw, vary = _Pen(picture), random.uniform
    skin = random.dirichlet(np.full(len(_SKINS), 0.3)) @ _SKINS
    hair = np.clip(hair + vary(-14, 14, 3), 0, 255)
    shirt, iris = random.randint(30, 230, 3), _IRISES[random.randint(len(_IRISES))]
    x, y = 32 + vary(-2, 2), 35 + vary(-2, 2)  # the middle of the face
    width, height = vary(15, 18.5), vary(19.5, 23)  # its half axes

    # Hair behind the head, and the body.
    draw.ellipse(x, y - 3, width + 3.5, height + 2.5, hair * 0.85)
    if traits["Long_Hair"]:
        draw.ellipse(x, y + 16, width + 4, 26, hair * 0.85)
    draw.ellipse(x, 72, 27, 15, shirt)
    draw.ellipse(x, y + height, 6, 12, skin * 0.82)

    # The head, and the hairline: a segment of the head's ellipse, deeper with bangs.
    for side in (-1, 1):
        draw.ellipse(x + side * width, y, 2.6, 4.2, skin * 0.88)
    draw.ellipse(x, y, width, height, skin * 0.9)
    draw.ellipse(x - 0.7, y - 0.7, width - 1.2, height - 1.2, skin)
    opening = 152 if traits["Bangs"] else 118
    draw.chord(x, y - 1.5, width + 1.6, height + 2.2, 270 - opening / 2, 270 + opening / 2, hair)

    # Eyes and brows, with glasses before them.
    gap, size, gaze = vary(6.6, 8), vary(2.6, 3.4), vary(-0.7, 0.7)
    eye_y = y - vary(2, 4)
    for eye in (x - gap, x + gap):
        draw.ellipse(eye, eye_y, size * 1.15, size * 0.8, (250, 250, 250))
        draw.ellipse(eye + gaze, eye_y, size * 0.68, size * 0.72, iris)
        draw.ellipse(eye + gaze, eye_y, size * 0.34, size * 0.36, (15, 12, 12))
        draw.line([(eye - 3.5, eye_y - size - 2), (eye, eye_y - size - 2.8), (eye + 3.5, eye_y - size - 2)], hair * 0.6)
        if traits["Eyeglasses"]:
            draw.ring(eye, eye_y, size + 2.2, (35, 30, 34))

    # Nose and mouth.
    tip, mouth_y, mouth_width = y + vary(3.5, 5.5), y + vary(10, 12), vary(5, 7.5)
    lips = skin * (0.78, 0.5, 0.5) + (20, 0, 0)
    draw.line([(x + 0.6, tip - 5), (x + 1.8, tip), (x - 1.2, tip + 0.6)], skin * 0.72)
    if traits["Smiling"]:
        draw.chord(x, mouth_y - 2.2, mouth_width, 5.2, 10, 170, (250, 248, 244))
        draw.chord(x, mouth_y + 0.5, mouth_width * 0.9, 3, 20, 160, lips)
    else:
        draw.ellipse(x, mouth_y, mouth_width * 0.72, 1.3, lips)


class _Pen:
    """Shapes by their middle and half axes, in the units of a 64-pixel picture."""

    def __init__(self, picture: Image.Image):
        self.draw = ImageDraw.Draw(picture)

    def ellipse(self, x: float, y: float, width: float, height: float, colour) -> None:
        self.draw.ellipse(_box(x, y, width, height), _ink(colour))

    def ring(self, x: float, y: float, radius: float, colour) -> None:
        self.draw.ellipse(_box(x, y, radius, radius * 0.9), outline=_ink(colour), width=_SCALE)

    def chord(self, x: float, y: float, width: float, height: float, start: float, end: float, colour) -> None:
        self.draw.chord(_box(x, y, width, height), start, end, _ink(colour))

    def line(self, points: list[tuple[float, float]], colour) -> None:
        self.draw.line([(x * _SCALE, y * _SCALE) for x, y in points], _ink(colour), _SCALE, joint="curve")


def _box(x: float, y: float, width: float, height: float) -> tuple[float, ...]:
    return tuple(_SCALE * corner for corner in (x - width, y - height, x + width, y + height))


def _ink(colour) -> tuple[int, ...]:
    return tuple(int(value) for value in np.clip(colour, 0, 255))
