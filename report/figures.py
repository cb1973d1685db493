"""How the report draws: curves smoothed over raw, grids of pictures with labels, points in the plane."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from scipy.ndimage import gaussian_filter1d

from runtime.figures import COLOURS
from runtime.images import image_grid, rgb

LETTERING = 8  # points; figures are drawn as wide as they are printed
PAGE_WIDTH = 7.2  # inches
SCREEN_DPI = 115  # an inch of a figure, in pixels of the page
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
GAP = 2  # pixels between the pictures of a grid, as in runtime.images.image_grid


def panels(count: int, columns: int = 3, height: float = 2.2, width: float = 2.4) -> tuple[Figure, list[Axes]]:
    """A figure with `count` axes, of this height and width in inches each, in rows of at most `columns`."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(width * columns, height * rows), squeeze=False, layout="constrained"
    )
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    for axes in grid.flat:
        axes.tick_params(labelsize=LETTERING - 1)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, list(grid.flat[:count])


def draw_curves(axes: Axes, curves: dict[str, tuple[Sequence[float], Sequence[float]]], exact: bool = False) -> None:
    """Curves (steps, values) by name, smoothed over raw; those of few points as marked points that are joined.

    Smoothing averages over a fiftieth of the values to each side, without a lag. What is `exact`, a schedule say, is
    drawn as it is.
    """
    longest = max(len(steps) for steps, _ in curves.values())
    for number, (name, (steps, values)) in enumerate(curves.items()):
        style = {"color": COLOURS[number % len(COLOURS)], "linestyle": LINES[number % len(LINES)], "label": name}
        if len(steps) < max(8, longest / 3):
            axes.plot(steps, values, marker=MARKERS[number % len(MARKERS)], markersize=3, linewidth=1, **style)
        elif exact:
            axes.plot(steps, values, linewidth=1.5, **style)
        else:
            axes.plot(steps, values, color=style["color"], alpha=0.3, linewidth=0.7)
            smoothed = gaussian_filter1d(np.asarray(values, float), max(1.0, len(values) / 50), mode="nearest")
            axes.plot(steps, smoothed, linewidth=1.5, **style)


def label_axes(axes: Axes, x: str, y: str, title: str = "") -> None:
    """Lettering of axes, in the report's size."""
    axes.yaxis.get_offset_text().set_fontsize(LETTERING - 1)
    axes.set_xlabel(x, fontsize=LETTERING)
    axes.set_ylabel(y, fontsize=LETTERING)
    axes.set_title(title, fontsize=LETTERING + 1)


def logarithmic_axis(axes: Axes) -> None:
    """Make the vertical axis logarithmic, with plain numbers at 1, 2 and 5."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def scatter(axes: Axes, plane: np.ndarray, groups: np.ndarray, names: Sequence[str], digits: bool = False) -> None:
    """Points (N, 2) of the groups (N,), positions in `names`, each with a colour and a sign of its own.

    With `digits` the sign is the group's number, which ten colours alone could not tell.
    """
    order = np.random.RandomState(0).permutation(len(plane))  # no group lies on top of another
    with plt.rc_context({"text.parse_math": True}):  # a marker between dollars is its text
        marks = [MarkerStyle(f"${n}$" if digits else MARKERS[n % len(MARKERS)]) for n in range(len(names))]
    for part in np.array_split(order, min(20, len(order))):
        for number in range(len(names)):
            chosen = part[groups[part] == number]
            colour = COLOURS[number % len(COLOURS)]
            size = {"s": 22, "linewidths": 0.2} if digits else {"s": 9, "linewidths": 0, "alpha": 0.75}
            axes.scatter(*plane[chosen].T, marker=marks[number], color=colour, **size)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
    label_axes(axes, "t-SNE 1 (no unit)", "t-SNE 2 (no unit)")
    if not digits:
        for number, name in enumerate(names):
            axes.scatter([], [], marker=marks[number], color=COLOURS[number % len(COLOURS)], s=24, label=name)
        axes.legend(fontsize=LETTERING, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)


def grid_figure(
    pictures: np.ndarray,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    scale: int = 1,
    row_title: str = "",
    column_title: str = "",
) -> Figure:
    """Pictures uint8 (R, C, H, W, 3), or gray (R, C, H, W, 1), in a grid with names of its rows and columns.

    Each pixel is shown as `scale` x `scale`.

    Up to PAGE_WIDTH a pixel of the figure is one of the page. The lettering lies outside the figure's page, which is
    widened for it when it is saved.
    """
    _, column_count, height, width = pictures.shape[:4]
    page = rgb(image_grid(pictures.reshape(-1, *pictures.shape[2:]), column_count, GAP))
    page_height, page_width = (scale * size for size in page.shape[:2])
    dpi = max(SCREEN_DPI, page_width / (PAGE_WIDTH - 0.8))  # no wider than a page
    figure = plt.figure(figsize=(page_width / dpi, page_height / dpi), dpi=dpi)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(page, interpolation="nearest", aspect="auto")
    axes.spines[:].set_visible(False)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks([GAP + index * (width + GAP) + width / 2 for index in range(len(columns))], columns)
    axes.set_yticks([GAP + index * (height + GAP) + height / 2 for index in range(len(rows))], rows)
    axes.tick_params(length=0, labelsize=LETTERING)
    axes.set_xlabel(column_title, fontsize=LETTERING)
    axes.set_ylabel(row_title, fontsize=LETTERING)
    return figure


def cut_grid(page: np.ndarray, columns: int) -> np.ndarray:
    """The square pictures uint8 (R, C, H, H, 3) of a grid of runtime.images.image_grid with so many columns."""
    step = (page.shape[1] - GAP) // columns  # from one picture to the next
    rows = (page.shape[0] - GAP) // step
    cells = page[GAP : GAP + rows * step, GAP : GAP + columns * step].reshape(rows, step, columns, step, 3)
    return cells.swapaxes(1, 2)[:, :, : step - GAP, : step - GAP]
