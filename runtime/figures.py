"""Diagrams as PNG and PDF files, drawn without a display, in colours that the colour-blind can tell apart."""

import io
from pathlib import Path

import matplotlib
from cycler import cycler

from runtime.errors import UserError
from runtime.files import write_atomically

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

# Okabe and Ito, *Color Universal Design*, 2008, without its yellow, which is too pale for lines on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DPI = 150

# Names of runs, of logged values and of domains are drawn as they are: what is between dollars is no formula.
plt.rcParams.update({"axes.prop_cycle": cycler(color=COLOURS), "figure.dpi": DPI, "text.parse_math": False})


def save_figure(figure: Figure, *paths: Path) -> None:
    """Write `figure` to each of `paths`, as PNG or PDF by its suffix, whole or not at all, and close it.

    Parents are made. The same figure gives the same bytes: no file says when or by what it was made.
    Raises UserError for another suffix.
    """
    nameless = {".png": {"Software": None}, ".pdf": {"CreationDate": None, "Creator": None, "Producer": None}}
    for path in paths:
        if path.suffix not in nameless:
            raise UserError(f"cannot draw {path}: give a name that ends in .png or .pdf")
        buffer = io.BytesIO()
        figure.savefig(
            buffer, format=path.suffix[1:], dpi="figure", bbox_inches="tight", metadata=nameless[path.suffix]
        )
        write_atomically(path, buffer.getvalue())
    plt.close(figure)
