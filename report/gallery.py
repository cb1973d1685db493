"""The figures of a report: each as PNG and PDF in one folder, and as WebP at the size at which the page shows it."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from report.figures import SCREEN_DPI
from report.page import Picture
from runtime.errors import UserError
from runtime.figures import save_figure
from runtime.images import as_picture


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
        name = "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in name)
        while name in self.names:
            name += "-again"
        self.names.add(name)
        path = self.folder / f"{name}.png"
        save_figure(figure, path, path.with_suffix(".pdf"))
        with Image.open(path) as image:
            size = tuple(round(pixels * SCREEN_DPI / figure.dpi) for pixels in image.size)
            return Picture(path, caption, chart, size, _webp(image.convert("RGB"), lossless=chart))


def film(still: Picture, caption: str, frames: np.ndarray, titles: Sequence[str], scale: int = 1) -> Picture:
    """What a still shows some states of, as pictures uint8 (N, H, W, C) with a title each; in the page a slider goes
    through them, and each pixel is shown as `scale` x `scale`."""
    height, width = (scale * pixels for pixels in frames.shape[1:3])
    return still._replace(
        caption=caption, size=(width, height), webp=_webp(as_picture(np.concatenate(frames))), titles=titles
    )


def _webp(image: Image.Image, lossless: bool = False) -> bytes:
    """A picture as WebP; lines and lettering lose nothing."""
    buffer = BytesIO()
    image.save(buffer, "WEBP", lossless=lossless, quality=85, method=4)
    return buffer.getvalue()
