"""Accuracy of a table of labels: `python -m metrics.labels OUT.csv TRUTH.csv [--confusion FILE.png] [--json FILE]`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from data.digits import read_labels, table_classes
from metrics import passport
from metrics.confusion import confusion_figure, confusion_matrix, label_scores
from runtime.command_line import run_main
from runtime.errors import UserError
from runtime.files import write_json


@dataclass
class Config:
    """Score the labels of one table by those of another; both have the columns image_name and label.

    Labels are digits, or the classes that a classes.txt beside TRUTH lists.
    """

    out: tyro.conf.Positional[Path]
    """The labels to score; names that TRUTH lacks are ignored."""
    truth: tyro.conf.Positional[Path]
    """The true labels; an image without a label in OUT counts as wrong."""
    confusion: Path | None = None
    """Also draw the confusion matrix to this PNG."""
    json: Path | None = None
    """Also write the scores to this file."""


def main(config: Config) -> None:
    """Score the table, print the scores, and write what was asked for."""
    classes = table_classes(config.truth.parent)
    matrix, missing = compare(config.out, config.truth, classes)
    scores = label_scores(matrix, missing)
    scores["passport"] = {"count": scores["pictures"], "truth": passport.file_hash(config.truth)}
    print(f"accuracy {scores['accuracy']:.2%} of {scores['pictures']} pictures")
    if missing:
        print(f"without a label, counted as wrong: {missing}")
    by_class = zip(classes, scores["by_class"], strict=True)
    shares = [f"{name}: {share:.1%}" for name, share in by_class if share is not None]
    print("by class  " + "  ".join(shares))
    print(passport.line(scores["passport"]))
    if config.confusion:
        from runtime.figures import save_figure

        save_figure(confusion_figure(matrix, f"accuracy {scores['accuracy']:.2%}", classes), config.confusion)
    if config.json:
        write_json(config.json, scores)


def compare(out: Path, truth: Path, classes: Sequence[str]) -> tuple[np.ndarray, int]:
    """The confusion matrix (K, K) of two tables, rows true and columns given, and how many true ones have no label.

    Raises UserError for a table that is missing or malformed, when one names a picture twice or when they have no
    picture in common.
    """
    given, true = _by_name(out, classes), _by_name(truth, classes)
    common = [name for name in true if name in given]
    if not common:
        raise UserError(f"{out} and {truth} have no image_name in common: give the tables of the same pictures")
    labels = ([table[name] for name in common] for table in (true, given))
    return confusion_matrix(*labels, len(classes)), len(true) - len(common)


def _by_name(path: Path, classes: Sequence[str]) -> dict[str, int]:
    names, labels = read_labels(path, classes=classes)
    table = dict(zip(names, labels.tolist(), strict=True))
    if len(table) < len(names):
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise UserError(f"{path} names {twice} more than once: keep one line for each picture")
    return table


if __name__ == "__main__":
    run_main(main, Config)
