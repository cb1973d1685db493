"""The figures of a report: each as PNG and PDF in one folder, animations as GIF."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from report.page import Picture
from runtime.errors import UserError
from runtime.figures import save_figure
from runtime.images import save_animation

SCREEN_DPI = 115  # an inch of a figure, in pixels of the page


class Gallery:
    """The folder of figures; every figure has a name of its own, all of which are `names`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.names: set[str] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".writable"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise UserError(f"cannot write to {folder} ({error.strerror}): give another folder with --out") from error

    def add(self, name: str, figure: Figure, caption: str, chart: bool = True) -> Picture:
        """Save `figure` as NAME.png and NAME.pdf and close it."""
        path = self._path(name, ".png")
        save_figure(figure, path, path.with_suffix(".pdf"))
        with Image.open(path) as image:
            size = tuple(round(SCREEN_DPI * pixels / figure.dpi) for pixels in image.size)
        return Picture(path, caption, chart, size)

    def animate(self, name: str, frames: np.ndarray, titles: Sequence[str], caption: str) -> Picture:
        """Save pictures uint8 (N, H, W, 3) as NAME.gif, a line of text above each."""
        path = self._path(name, ".gif")
        titled = np.stack([_titled(frame, title) for frame, title in zip(frames, titles, strict=True)])
        save_animation(path, titled, seconds=max(4.0, 0.25 * len(frames)) if len(frames) < 40 else 6.0)
        height, width = titled.shape[1:3]
        return Picture(path, caption, chart=False, size=(width, height))

    def _path(self, name: str, suffix: str) -> Path:
        """A path whose name is made of `name`, different from all before."""
        name = "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in name)
        while name in self.names:
            name += "-again"
        self.names.add(name)
        return self.folder / f"{name}{suffix}"


def _titled(frame: np.ndarray, title: str) -> np.ndarray:
    """A picture uint8 (H, W, 3) under a white strip with a line of text."""
    page = Image.new("RGB", (frame.shape[1], frame.shape[0] + 24), "white")
    page.paste(Image.fromarray(frame), (0, 24))
    ImageDraw.Draw(page).text((6, 4), title, "black", ImageFont.load_default(14))
    return np.asarray(page)
