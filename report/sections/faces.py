"""Generated faces, and the VAE: samples, reconstructions, interpolations, latents in the plane."""

from collections.abc import Iterable

import numpy as np
import torch

from data.faces import load_faces
from experiments.runs import FACES, VAES, of_kind, repetitions
from inference.reconstruction import decode, encode, reconstruct
from inference.sampling import sample_between, sample_images
from models.generator import Generator
from models.vae import VAE
from report.context import Context, about, attempt, not_run, points_of
from report.figures import cut_sheet, label_axes, panels, scatter, sheet_figure
from report.page import Block, Heading, Section
from report.sections.samples import over_training, read_sheets
from runtime.errors import UserError
from runtime.images import sheet
from runtime.seeds import image_seeds
from training.directory import Run

FIRST = 32  # faces of each generator
PAIRS = 4  # rows of an interpolation
STEPS = 7  # its columns
RECONSTRUCTED = 10


def faces_section(context: Context) -> Section:
    """The generators of faces side by side, each over its training, and between two of its faces."""
    runs = [group[0] for group in repetitions(of_kind(context.runs, FACES, VAES))]
    blocks: list[Block] = []
    if runs:
        blocks += [Heading("First 32 faces of each generator"), *first_faces(context, runs)]
        blocks.append(Heading("Over the training"))
        for run in runs:
            blocks += score_curve(context, run)
            blocks += over_training(context, run, 8, np.arange(8), "faces")
        blocks.append(Heading("Between two latents"))
        for run in of_kind(runs, FACES):
            blocks += attempt(context, run, "interpolation", between_latents)
    return Section("Generated faces", blocks + not_run(context.runs, FACES))


def first_faces(context: Context, runs: list[Run]) -> list[Block]:
    """The first faces of each run as one picture; none of them was chosen."""
    pages: dict[str, np.ndarray] = {}

    def sample(context: Context, run: Run) -> list[Block]:
        network = context.network_of(run, Generator)
        faces = sample_images(network, image_seeds(context.seed, range(FIRST)), context.execution)
        pages[f"{run.name}, {run.epochs(run.step):.3g} epochs"] = sheet(faces).repeat(2, axis=0).repeat(2, axis=1)
        return []

    blocks: list[Block] = []
    for run in runs:
        blocks += attempt(context, run, "faces", sample)
    names = list(pages)
    for start in range(0, len(names), 2):
        pair = names[start : start + 2]
        figure = sheet_figure(np.stack([pages[name] for name in pair])[None], columns=pair, scale=1)
        alt = f"Four rows of eight generated faces for each of: {', '.join(pair)}."
        caption = f"The first {FIRST} faces that each generator makes (seed {context.seed}); none was chosen."
        name = f"faces-{start // 2 + 1}" if start else "faces"
        blocks.append(context.gallery.add(name, figure, alt, caption, chart=False))
    return blocks


def score_curve(context: Context, run: Run) -> list[Block]:
    """FID and HOG rate over the training, where metrics.face_curve was run."""
    wanted = ("epochs", "dims", "fid", "hog_face_rate")
    curve = run.json("curve.json", lambda points: [{name: point[name] for name in wanted} for point in points])
    if not curve:
        return []
    alt = f"FID and HOG face rate against epochs of {run.name}."
    figure, (left, right) = panels(2, columns=2, height=2.6, width=3.6)
    epochs = [point["epochs"] for point in curve]
    left.plot(epochs, [float("nan") if point["fid"] is None else point["fid"] for point in curve], marker="o")
    right.plot(epochs, [100 * point["hog_face_rate"] for point in curve], marker="o", color="C1")
    label_axes(left, "epochs", f"FID-{curve[0]['dims']}")
    label_axes(right, "epochs", "HOG face rate / %")
    left.set_ylim(0, None)
    right.set_ylim(0, 102)
    return [context.gallery.add(f"scores-{run.name}", figure, alt, f"`{run.name}`: scores over the training.")]


def between_latents(context: Context, run: Run) -> list[Block]:
    """Faces on the way from one latent to another, along the sphere that normal latents lie close to."""
    network = context.network_of(run, Generator)
    pairs = [(2 * row, 2 * row + 1) for row in range(PAIRS)]
    faces = [sample_between(network, image_seeds(context.seed, pair), STEPS, context.execution) for pair in pairs]
    return interpolation(context, run, np.stack(faces), np.linspace(0, 1, STEPS), "two latents")


def interpolation(context: Context, run: Run, faces: np.ndarray, columns: Iterable, ends: str) -> list[Block]:
    """Faces uint8 (R, C, 64, 64, 3), a row for each pair of `ends`, under shares of the second or other words."""
    names = [share if isinstance(share, str) else f"{share:.3g}" for share in columns]
    figure = sheet_figure(faces, columns=names, column_title="share of the second latent", scale=2)
    alt = f"Rows of faces of {run.name} that change from one into another."
    caption = f"{about(run)}: on the way between {ends}, a row each."
    return [context.gallery.add(f"interpolation-{run.name}", figure, alt, caption, chart=False)]


def vae_section(context: Context) -> Section:
    """What the VAE restores, invents, and how its latents lie."""
    blocks: list[Block] = []
    for run in (group[0] for group in repetitions(of_kind(context.runs, VAES))):
        for title, make in (
            ("Reconstructions", reconstructions),
            ("Reconstructions over the training", last_reconstructions),
            ("Samples", samples),
            ("Interpolation", between_faces),
            ("t-SNE of latents", latents_by_attribute),
        ):
            blocks += [Heading(f"{title}: `{run.name}`"), *attempt(context, run, title.lower(), make)]
    return Section("Variational autoencoder", blocks + not_run(context.runs, VAES))


def reconstructions(context: Context, run: Run) -> list[Block]:
    """Ten validation faces over what the VAE makes of them, with each one's error."""
    faces = np.array(load_faces(context.data_of(run), "val")[:RECONSTRUCTED])
    pictures, errors = reconstruct(context.network_of(run, VAE), faces, context.execution)
    figure = sheet_figure(
        np.stack([faces, pictures]),
        ["original", "restored"],
        [f"{error:.4f}" for error in errors],
        column_title="MSE of values in [0, 1]",
        scale=2,
    )
    alt = f"{len(faces)} validation faces, and below each its reconstruction by {run.name}."
    caption = f"{about(run)}: the first {len(faces)} validation faces, mean MSE {errors.mean():.4f}."
    return [context.gallery.add(f"reconstructions-{run.name}", figure, alt, caption, chart=False)]


def last_reconstructions(context: Context, run: Run) -> list[Block]:
    """The same faces restored in the course of the training, from the run's sheets."""
    sheets = read_sheets(run, "reconstructions")
    if not sheets:
        return []
    columns = min(RECONSTRUCTED, (sheets[-1][1].shape[1] - 2) // 66)
    first, *_, last = [cut_sheet(page, columns) for _, page in (sheets[0], *sheets)]
    rows = np.stack([first[0], first[1], last[1]])
    names = ["original", *(f"step {step}" for step in (sheets[0][0], sheets[-1][0]))]
    alt = f"Validation faces, and their reconstructions early and late in the training of {run.name}."
    figure = sheet_figure(rows, names, scale=2)
    caption = f"`{run.name}`: the same faces restored early and late in the training."
    return [context.gallery.add(f"reconstructions-over-{run.name}", figure, alt, caption, chart=False)]


def samples(context: Context, run: Run) -> list[Block]:
    """New faces."""
    network = context.network_of(run, VAE)
    faces = sample_images(network, image_seeds(context.seed, range(FIRST)), context.execution)
    alt = f"Four rows of eight faces drawn from the prior of {run.name}."
    figure = sheet_figure(faces.reshape(4, 8, 64, 64, 3), scale=2)
    caption = (
        f"{about(run)}: {FIRST} samples of the prior that was fitted to the latents of training faces "
        f"(seed {context.seed}); none was chosen."
    )
    return [context.gallery.add(f"prior-{run.name}", figure, alt, caption, chart=False)]


def between_faces(context: Context, run: Run) -> list[Block]:
    """Faces on straight lines between the posterior means of validation faces; the faces stand at both ends."""
    network = context.network_of(run, VAE)
    faces = np.array(load_faces(context.data_of(run), "val")[: 2 * PAIRS])
    if len(faces) < 2:
        raise UserError("it needs two validation faces")
    pairs = len(faces) // 2
    means, _ = encode(network, faces[: 2 * pairs], context.execution)
    starts, ends = means.reshape(pairs, 2, 1, -1).unbind(1)
    shares = torch.linspace(0, 1, STEPS)[:, None]
    latents = torch.lerp(starts, ends, shares).flatten(0, 1)
    made = decode(network, latents, context.execution).reshape(pairs, STEPS, 64, 64, 3)
    originals = faces[: 2 * pairs].reshape(pairs, 2, 64, 64, 3)
    rows = np.concatenate([originals[:, :1], made, originals[:, 1:]], axis=1)
    columns = ["first", *shares[:, 0].tolist(), "second"]
    return interpolation(context, run, rows, columns, "the posterior means of two validation faces (at the ends)")


def latents_by_attribute(context: Context, run: Run) -> list[Block]:
    """t-SNE of posterior means, a panel for each attribute."""
    points = points_of(run)
    names = points["names"].tolist()
    chosen = [name for name in context.attributes if name in names] or names[:2]
    if not chosen:
        raise UserError("the data has no attributes (face/attributes.csv)")
    figure, grid = panels(len(chosen), columns=2, height=3.6, width=3.6)
    for axes, name in zip(grid, chosen, strict=True):
        value = points["attributes"][:, names.index(name)]
        known = value != 0
        axes.set_title(name, fontsize=9, loc="right")
        scatter(axes, points["plane"][known], (value[known] > 0).astype(int), ["no", "yes"])
    alt = f"Two-dimensional map of the latents of faces by {run.name}, marked by {' and by '.join(chosen)}."
    caption = (
        f"{about(run)}: t-SNE of the posterior means of {len(points['plane'])} validation faces, in deviations of the "
        f"posteriors, by {', '.join(chosen)}."
    )
    return [context.gallery.add(f"latents-{run.name}", figure, alt, caption)]
