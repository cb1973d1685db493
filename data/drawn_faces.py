"""Drawn faces with known attributes, for trying things out where there are no photographs."""

import numpy as np
from PIL import Image, ImageDraw

ATTRIBUTES = (
    "Bangs",
    "Black_Hair",
    "Blond_Hair",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Eyeglasses",
    "Gray_Hair",
    "Long_Hair",
    "Rosy_Cheeks",
    "Smiling",
    "Wearing_Hat",
)

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
    chances = {"Bangs": 0.4, "Bushy_Eyebrows": 0.3, "Eyeglasses": 0.3, "Long_Hair": 0.5}
    chances |= {"Rosy_Cheeks": 0.25, "Smiling": 0.5, "Wearing_Hat": 0.12}
    traits = {name: random.random_sample() < chance for name, chance in chances.items()} | {hair: True}
    picture = _background(random)
    _Painter(picture, traits, np.array(_HAIRS[hair]), random).paint()
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


class _Painter:
    """Draws one face, from the back to the front, in the units of a 64-pixel picture."""

    def __init__(self, picture: Image.Image, traits: dict[str, bool], hair: np.ndarray, random: np.random.RandomState):
        self.draw = ImageDraw.Draw(picture)
        self.traits = traits
        vary = random.uniform
        weights = random.dirichlet(np.full(len(_SKINS), 0.3))
        self.skin = weights @ _SKINS
        self.hair = np.clip(hair + vary(-14, 14, 3), 0, 255)
        self.shirt, self.hat = random.randint(30, 230, (2, 3))
        self.iris = _IRISES[random.randint(len(_IRISES))]
        self.x, self.y = 32 + vary(-2, 2), 35 + vary(-2, 2)  # the middle of the face
        self.width, self.height = vary(15, 18.5), vary(19.5, 23)  # its half axes
        self.gaze = vary(-0.7, 0.7)
        self.eye_gap, self.eye_size = vary(6.6, 8), vary(2.6, 3.4)
        self.eye_y = self.y - vary(2, 4)
        self.brow_tilt = vary(-0.8, 0.8)
        self.mouth_y, self.mouth_width = self.y + vary(10, 12), vary(5, 7.5)
        self.nose = vary(2.5, 4.5)
        self.teeth = random.random_sample() < 0.6
        self.lips = self.skin * (0.78, 0.5, 0.5) + (20, 0, 0)

    def paint(self) -> None:
        self.back_hair()
        self.body()
        self.head()
        self.front_hair()
        if self.traits["Wearing_Hat"]:
            self.cap()
        for side in (-1, 1):
            self.eye(self.x + side * self.eye_gap, side)
        self.nose_and_mouth()
        if self.traits["Eyeglasses"]:
            self.glasses()

    def back_hair(self) -> None:
        self.ellipse(self.x, self.y - 3, self.width + 3.5, self.height + 2.5, self.hair * 0.85)
        if self.traits["Long_Hair"]:
            left, right = self.x - self.width - 4, self.x + self.width + 4
            self.draw.rounded_rectangle(self.box(left, self.y - 6, right, 70), 6 * _SCALE, _ink(self.hair * 0.85))

    def body(self) -> None:
        self.ellipse(self.x, 72, 27, 15, self.shirt)
        neck = self.box(self.x - 6, self.y + self.height - 8, self.x + 6, 62)
        self.draw.rounded_rectangle(neck, 5 * _SCALE, _ink(self.skin * 0.82))

    def head(self) -> None:
        for side in (-1, 1):
            self.ellipse(self.x + side * self.width, self.y, 2.6, 4.2, self.skin * 0.88)
        self.ellipse(self.x, self.y, self.width, self.height, self.skin * 0.9)
        self.ellipse(self.x - 0.7, self.y - 0.7, self.width - 1.2, self.height - 1.2, self.skin)
        if self.traits["Rosy_Cheeks"]:
            for side in (-1, 1):
                blush = self.skin * 0.7 + np.array([235, 90, 100]) * 0.3
                self.ellipse(self.x + side * (self.width - 5.5), self.y + 6, 3.6, 2.6, blush)

    def front_hair(self) -> None:
        """The hairline: a segment of the head's ellipse, deeper with bangs."""
        opening = 152 if self.traits["Bangs"] else 118
        box = self.around(self.x, self.y - 1.5, self.width + 1.6, self.height + 2.2)
        self.draw.chord(box, 270 - opening / 2, 270 + opening / 2, _ink(self.hair))
        if self.traits["Bangs"]:
            for place in np.linspace(-0.75, 0.75, 7):
                top = self.y - self.height * 0.72
                self.ellipse(self.x + place * self.width, top, 3.2, 5.5 - 2 * place**2, self.hair)

    def cap(self) -> None:
        box = self.around(self.x, self.y - 2, self.width + 3, self.height + 3)
        self.draw.chord(box, 205, 335, _ink(self.hat))
        brim = self.y - 2 - (self.height + 3) * 0.42
        self.draw.rounded_rectangle(
            self.box(self.x - self.width - 4, brim - 2, self.x + self.width + 4, brim + 1.6),
            1.6 * _SCALE,
            _ink(self.hat * 0.75),
        )

    def eye(self, x: float, side: int) -> None:
        size = self.eye_size
        self.ellipse(x, self.eye_y, size * 1.15, size * 0.8, (250, 250, 250))
        self.ellipse(x + self.gaze, self.eye_y, size * 0.68, size * 0.72, self.iris)
        self.ellipse(x + self.gaze, self.eye_y, size * 0.34, size * 0.36, (15, 12, 12))
        self.ellipse(x + self.gaze - 0.6, self.eye_y - 0.6, 0.5, 0.5, (255, 255, 255))
        lid = self.around(x, self.eye_y, size * 1.2, size * 0.85)
        self.draw.arc(lid, 190, 350, _ink(self.skin * 0.35), round(0.7 * _SCALE))
        brow_y, bushy = self.eye_y - size - 2, self.traits["Bushy_Eyebrows"]
        inner, outer = (x - side * 3.4, brow_y + self.brow_tilt), (x + side * 3.6, brow_y)
        self.line([inner, (x, brow_y - 0.8), outer], self.hair * 0.6, 2.4 if bushy else 1)

    def nose_and_mouth(self) -> None:
        shade = self.skin * 0.72
        tip = self.y + self.nose + 1
        self.line([(self.x + 0.6, tip - 5), (self.x + 1.8, tip), (self.x - 1.2, tip + 0.6)], shade, 0.9)
        width, y = self.mouth_width, self.mouth_y
        if not self.traits["Smiling"]:
            self.ellipse(self.x, y, width * 0.72, 1.3, self.lips)
            self.line([(self.x - width * 0.72, y), (self.x + width * 0.72, y)], self.lips * 0.6, 0.6)
            return
        box = self.around(self.x, y - 2.2, width, 5.2)
        self.draw.chord(box, 10, 170, _ink((250, 248, 244) if self.teeth else self.lips * 0.55))
        self.draw.arc(box, 4, 176, _ink(self.lips), round(1.1 * _SCALE))

    def glasses(self) -> None:
        frame, radius = (35, 30, 34), self.eye_size + 2.2
        for side in (-1, 1):
            x = self.x + side * self.eye_gap
            lens = self.around(x, self.eye_y, radius, radius * 0.9)
            self.draw.ellipse(lens, outline=frame, width=round(1.1 * _SCALE))
            self.line([(x + side * radius, self.eye_y), (self.x + side * self.width, self.eye_y - 1)], frame, 0.9)
        bridge = self.eye_gap - radius
        self.line([(self.x - bridge, self.eye_y - 0.6), (self.x + bridge, self.eye_y - 0.6)], frame, 1.1)

    def ellipse(self, x: float, y: float, half_width: float, half_height: float, colour) -> None:
        self.draw.ellipse(self.around(x, y, half_width, half_height), _ink(colour))

    def line(self, points: list[tuple[float, float]], colour, width: float) -> None:
        scaled = [(x * _SCALE, y * _SCALE) for x, y in points]
        self.draw.line(scaled, _ink(colour), round(width * _SCALE), joint="curve")

    def around(self, x: float, y: float, half_width: float, half_height: float) -> tuple[float, ...]:
        return self.box(x - half_width, y - half_height, x + half_width, y + half_height)

    def box(self, *corners: float) -> tuple[float, ...]:
        return tuple(corner * _SCALE for corner in corners)


def _ink(colour) -> tuple[int, int, int]:
    return tuple(int(value) for value in np.clip(colour, 0, 255))
