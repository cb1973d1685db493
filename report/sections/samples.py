"""How the samples of a run changed over its training: some grids as a picture, more as a film."""

import numpy as np

from data.decoded import read_image
from report.context import Context
from report.figures import cut_grid, grid_figure
from report.gallery import film
from report.page import Block
from runtime.errors import UserError
from runtime.images import image_grid
from training.directory import Run

FRAMES = 16  # of a film
STILLS = 6  # rows of the picture, besides those of the first epochs


def read_grids(run: Run) -> list[tuple[int, np.ndarray]]:
    """Step and grid, uint8 (H, W, 3), of all sample grids of a run that can be read, the oldest first."""
    grids = []
    for path in sorted((run.folder / "samples").glob("*.png")):
        try:
            grids.append((int(path.stem), read_image(path)))
        except (UserError, ValueError):
            run.complain(f"has a damaged picture `samples/{path.name}`, which is left out")
    return [(step, page) for step, page in grids if page.shape == grids[-1][1].shape]


def over_training(context: Context, run: Run, columns: int, every: int, what: str) -> list[Block]:
    """The samples of a run from the same noise over its training, from grids of so many `columns`.

    A row of the picture has as many samples of a grid, each `every`-th; the film the first 32, or of digits all. Of
    runs with sample grids after each of the first epochs, these are the picture's first rows.
    """
    grids = read_grids(run)
    if len(grids) < 2:
        return []
    early = run.settings.get("sample_epochs", 0)
    first = [one for one in grids if run.epochs(one[0]) <= early and run.epochs(one[0]).is_integer()]
    later = [one for one in grids if one[0] > (first[-1][0] if first else 0)]
    shown, scale = (32, 1) if columns == 8 else (None, 2)

    def samples_of(chosen: list[tuple[int, np.ndarray]]) -> tuple[list[str], list[np.ndarray]]:
        samples = [cut_grid(page, columns) for _, page in chosen]
        names = [f"epoch {run.epochs(step):.3g}" for step, _ in chosen]
        return names, [one.reshape(-1, *one.shape[2:]) for one in samples]

    names, rows = samples_of([*first, *evenly(later, STILLS)])
    figure = grid_figure(np.stack(rows)[:, : columns * every : every], names, scale=scale)
    names, frames = samples_of(evenly(grids, FRAMES))
    caption = f"{what} from the same noise vectors over the training."
    still = context.draw(run, "samples", figure, caption, chart=False)
    pages = np.stack([image_grid(frame[:shown], columns) for frame in frames])
    return [still, film(still, "More of the same noise vectors over the training, as a film.", pages, names, scale)]


def evenly(items: list, count: int) -> list:
    """At most `count` of the items, evenly spaced, the first and the last among them."""
    chosen = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[index] for index in chosen]
