"""t-SNE of a digit classifier's features, by class and by domain: `python -m report.tsne RUN --data ROOT --out DIR`.

(van der Maaten and Hinton, *Visualizing Data using t-SNE*, JMLR 2008.) The features are saved as features.npz; given
that file in place of RUN, the pictures are drawn again from it.
"""

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tyro
from matplotlib.axes import Axes
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from data.digits import load_digits
from report.figures import scatter
from runtime.classification import in_chunks
from runtime.device import choose_execution
from runtime.errors import UserError, run_command
from runtime.figures import save_figure
from runtime.files import write_atomically
from runtime.weights import load_weights


@dataclass
class Config:
    """Draw the features of validation digits in the plane: by_class.png and by_domain.png."""

    run: tyro.conf.Positional[Path]
    """Run directory of train_dann.py, or a features.npz to draw again."""
    out: Path
    """Folder for the pictures and features.npz."""
    data: Path = Path("datasets/real")
    """The data tree."""
    domains: tuple[str, ...] = ()
    """Domains to show; the run's source and target if not given."""
    count: int = 500
    """Pictures of each domain, drawn from its val.csv; all of them where it has fewer."""
    seed: int = 999
    """Seed of the choice and of t-SNE."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""


def main(config: Config) -> None:
    """Compute or read the features and draw them."""
    if config.run.suffix == ".npz":
        table = read_features(config.run)
    else:
        table = extract_features(config)
        if len(table["labels"]) < 40:
            raise UserError("t-SNE needs at least 40 pictures: use a larger --count, or a larger val.csv")
        table["plane"] = plane_of(table["features"], config.seed)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **table)
        write_atomically(config.out / "features.npz", buffer.getvalue())
    draw_by_class(axes := _axes(), table)
    save_figure(axes.figure, config.out / "by_class.png")
    draw_by_domain(axes := _axes(), table)
    save_figure(axes.figure, config.out / "by_domain.png")


def plane_of(features: np.ndarray, seed: int) -> np.ndarray:
    """The places (N, 2) of features (N, F) by t-SNE.

    In one thread: several would add in any order, and the same features would give other pictures.
    """
    with threadpool_limits(1):
        return TSNE(random_state=seed).fit_transform(features)


def extract_features(config: Config) -> dict[str, np.ndarray]:
    """`features` (N, F) of validation pictures, their `labels` (N,), `domains` (N,) as positions in `names`.

    Raises UserError for what is no run of train_dann.py, DataError for an unknown domain.
    """
    try:
        settings = json.loads((config.run / "config.json").read_text())["settings"]
        scenario = (settings["source"], settings["target"])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{config.run} is no run of train_dann.py, nor a features.npz") from error
    names = config.domains or tuple(domain for domain in scenario if domain)
    execution = choose_execution(config.device, "float32")
    classifier, _ = load_weights(config.run / "weights.safetensors", kind="classifier")
    classifier = execution.place(classifier)
    features, labels, domains = [], [], []
    for number, name in enumerate(names):
        images, true = load_digits(config.data, name, "val")
        chosen = np.sort(np.random.RandomState(config.seed).permutation(len(images))[: config.count])
        features.append(in_chunks(classifier.features, images[chosen], execution))
        labels.append(true[chosen])
        domains.append(np.full(len(chosen), number))
    return {
        "features": np.concatenate(features),
        "labels": np.concatenate(labels),
        "domains": np.concatenate(domains),
        "names": np.array(names),
    }


def read_features(path: Path) -> dict[str, np.ndarray]:
    """What `main` saved; raises UserError when it is missing or something else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in ("plane", "labels", "domains", "names")}
    except FileNotFoundError as error:
        raise UserError(f"no such file: {path}") from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} holds no features of report.tsne ({error})") from error


def draw_by_class(axes: Axes, table: dict[str, np.ndarray]) -> None:
    """The features of `read_features`, each as its digit."""
    scatter(axes, table["plane"], table["labels"], [f"{digit}" for digit in range(10)], digits=True)


def draw_by_domain(axes: Axes, table: dict[str, np.ndarray]) -> None:
    """The features of `read_features`, coloured by domain."""
    scatter(axes, table["plane"], table["domains"], table["names"].tolist())


def _axes() -> Axes:
    return plt.subplots(figsize=(5, 5), layout="constrained")[1]


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Config, description=Config.__doc__)))
