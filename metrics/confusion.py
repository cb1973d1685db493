"""Confusion matrices: counts, the scores they give, and a figure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion_matrix(true: list[int], given: list[int], classes: int = 10) -> np.ndarray:
    """Counts (classes, classes) of pictures by their true label (row) and the given one (column)."""
    matrix = np.zeros((classes, classes), int)
    np.add.at(matrix, (true, given), 1)
    return matrix


def label_scores(matrix: np.ndarray, missing: int = 0) -> dict:
    """`pictures`, `missing`, `accuracy` and each class's share of right labels (`by_class`; None without pictures)."""
    total = int(matrix.sum()) + missing
    return {
        "pictures": total,
        "missing": missing,
        "accuracy": float(matrix.trace() / total),
        "by_class": [float(row[label] / row.sum()) if row.any() else None for label, row in enumerate(matrix)],
    }


def confusion_figure(matrix: np.ndarray, title: str, classes: Sequence[str] = ()) -> "Figure":
    """A confusion matrix (K, K): counts, shaded by their share of the row; `classes` are other names than numbers."""
    import matplotlib.pyplot as plt  # here: scores without a figure need not wait for it

    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(4.4, 4.2), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=7, color=colour)
    names = classes or [str(label) for label in range(len(matrix))]
    axes.set_xticks(range(len(matrix)), names, rotation=90 if max(map(len, names)) > 2 else 0)
    axes.set_yticks(range(len(matrix)), names)
    axes.set(xlabel="predicted label", ylabel="true label")
    axes.set_title(title, fontsize=9)
    return figure
