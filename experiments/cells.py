"""How scores, settings and times are written in the cells of tables."""

from typing import Any, NamedTuple

import pandas as pd

DOMAINS = {"mnistm": "MNIST-M", "svhn": "SVHN", "usps": "USPS"}


class Metric(NamedTuple):
    """How the scores are written whose names begin so."""

    name: str
    factor: float
    form: str
    arrow: str


METRICS = (
    Metric("FID", 1, ".3f", "↓"),
    Metric("KID", 1, ".4f", "↓"),
    Metric("Fréchet", 1, ".3f", "↓"),
    Metric("precision", 1, ".3f", "↑"),
    Metric("recall", 1, ".3f", "↑"),
    Metric("IS", 1, ".2f", "↑"),
    Metric("HOG face rate", 100, ".1f", "% ↑"),
    Metric("accuracy", 100, ".1f", "% ↑"),
    Metric("MSE", 1, ".5f", "↓"),
    Metric("spread", 1, ".3f", "↑"),
    Metric("s per 1000", 1, ".0f", "↓"),
    Metric("", 100, ".1f", ""),  # accuracy on a domain's split
)


def metric_of(score: str) -> Metric:
    """How a score of this name is written."""
    return next(metric for metric in METRICS if score.startswith(metric.name))


def cell(line: NamedTuple, name: str, sign: str = "", bold: bool = False) -> str:
    """A score of a line of a summary, as mean ± std; empty where it has none."""
    metric, mean, std = metric_of(name), line.mean.get(name), line.std.get(name)
    if pd.isna(mean):
        return ""
    text = f"{metric.factor * mean:{sign}{metric.form}}"
    if not pd.isna(std):
        text += f" ± {metric.factor * std:{metric.form}}"
    return f"**{text}**" if bold else text


def scores_of(line: NamedTuple, *beginnings: str) -> str:
    """The scores of a line whose names begin so, with their names."""
    return ", ".join(f"{name} {cell(line, name)}" for name in line.mean if name.startswith(beginnings))


def accuracies(line: NamedTuple, domain: str) -> str:
    """Accuracy on test.csv and, in brackets, on val.csv, each as mean ± std."""
    test, val = (cell(line, f"{domain} {split}") or "–" for split in ("test", "val"))
    return f"{test} ({val})"


def in_words(conditions: dict[str, str]) -> str:
    """Settings as a cell tells them."""
    return ", ".join(f"{name.replace('_', ' ')} {value.replace('True', 'on')}" for name, value in conditions.items())


def epochs_of(line: NamedTuple) -> str:
    """How many epochs the runs of a line took."""
    return f"{line.epochs:.4g}" if pd.notna(line.epochs) else ""


def duration(seconds: float | None) -> str:
    """A time in the unit that suits it; empty for none."""
    if pd.isna(seconds):
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def scenario(*domains: str) -> str:
    """A scenario, its domains as papers call them."""
    return " → ".join(DOMAINS.get(domain, domain) for domain in domains)


def place_of(settings: dict[str, Any]) -> tuple[str, str]:
    """Source and target of an adaptation, each empty where there is none."""
    return settings.get("source") or "", settings.get("target") or ""
