"""How the samples of a run changed over its training: some sheets as a picture, all as an animation."""

import numpy as np
from PIL import Image

from report.context import Context
from report.figures import cut_sheet, sheet_figure
from report.page import Block
from runtime.images import sheet
from training.directory import Run

FRAMES = 24  # of an animation
STILLS = 6  # rows of the picture


def read_sheets(run: Run, folder: str = "samples") -> list[tuple[int, np.ndarray]]:
    """Step and sheet, uint8 (H, W, 3), of all sheets of a run that can be read, the oldest first."""
    sheets = []
    for path in sorted((run.folder / folder).glob("*.png")):
        try:
            with Image.open(path) as image:
                sheets.append((int(path.stem), np.asarray(image.convert("RGB"))))
        except (OSError, SyntaxError, ValueError):
            run.complain(f"has a damaged picture `{folder}/{path.name}`, which is left out")
    return [(step, page) for step, page in sheets if page.shape == sheets[-1][1].shape]


def over_training(context: Context, run: Run, columns: int, shown: np.ndarray, what: str) -> list[Block]:
    """The samples made from the same noise in the course of a run, sheets of `columns`.

    `shown` are the positions in a sheet of the pictures that stand in the picture; the animation has the first 32 or,
    of a sheet with ten columns, all.
    """
    sheets = read_sheets(run)
    if len(sheets) < 2:
        return []
    cells = [(step, cut_sheet(page, columns)) for step, page in evenly(sheets, FRAMES)]
    names = [f"epoch {run.epochs(step):.3g}" for step, _ in cells]
    flat = np.stack([pictures.reshape(-1, *pictures.shape[2:]) for _, pictures in cells])
    stills = evenly(list(range(len(cells))), STILLS)
    count = 32 if columns == 8 else columns**2
    frames = np.stack([sheet(pictures[:count], columns) for pictures in flat])
    enlargement = 1 if columns == 8 else 2
    frames = frames.repeat(enlargement, axis=1).repeat(enlargement, axis=2)
    figure = sheet_figure(flat[stills][:, shown], [names[index] for index in stills], scale=2)
    return [
        context.gallery.add(
            f"samples-{run.name}",
            figure,
            f"A row of {what} for each of {len(stills)} points of the training of {run.name}.",
            f"`{run.name}`: {what} from the same noise, in rows over the training.",
            chart=False,
        ),
        context.gallery.animate(
            f"samples-{run.name}-animation",
            frames,
            names,
            f"Animation of {what} as the training of {run.name} goes on.",
            f"`{run.name}`: {what} from the same noise over the training, {len(frames)} of {len(sheets)} sheets.",
        ),
    ]


def evenly(items: list, count: int) -> list:
    """At most `count` of the items, evenly spaced, the first and the last among them."""
    chosen = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[index] for index in chosen]
