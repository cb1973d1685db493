"""Diagrams as PNG files, drawn without a display."""

import io
from pathlib import Path

import matplotlib

from runtime.files import write_atomically

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write `figure` as PNG, whole or not at all, and close it; parents are made."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    plt.close(figure)
    write_atomically(path, buffer.getvalue())
