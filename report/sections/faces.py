"""Generated faces, and the VAE: samples, reconstructions, interpolations, latents in the plane."""

import numpy as np

from data.faces import load_faces
from experiments.runs import FACES, VAES, of_kind, points_of, repetitions
from inference.reconstruction import reconstruct
from inference.sampling import sample_between, sample_images
from models.generator import Generator
from models.vae import VAE
from report.context import Context, attempt, not_run
from report.figures import grid_figure, label_axes, panels, scatter
from report.page import Block, Heading, Section
from report.sections.samples import over_training
from runtime.errors import UserError
from runtime.seeds import image_seeds
from training.directory import Run

FIRST, COLUMNS = 32, 8  # faces of each generator
PAIRS = 4  # rows of an interpolation
STEPS = 7  # its columns
RECONSTRUCTED = 10


def faces_section(context: Context) -> Section:
    """The generators of faces side by side, each over its training, and between two of its faces."""
    runs = [group[0] for group in repetitions(of_kind(context.runs, FACES, VAES))]
    blocks: list[Block] = []
    if runs:
        blocks.append(Heading("First 32 faces of each generator"))
        for run in runs:
            blocks += attempt(context, run, "faces", first_faces)
        blocks.append(Heading("Over the training"))
        for run in runs:
            blocks += score_curve(context, run)
            blocks += over_training(context, run, COLUMNS, 1, "faces")
        blocks.append(Heading("Between two latents"))
        for run in runs:
            blocks += attempt(context, run, "interpolation", between_latents)
    return Section("Generated faces", blocks + not_run(context, FACES))


def first_faces(context: Context, run: Run) -> list[Block]:
    """The first faces of a run; none of them was chosen."""
    network, seeds = context.network_of(run, Generator), image_seeds(context.config.seed, range(FIRST))
    faces = sample_images(network, seeds, context.execution)
    figure = grid_figure(faces.reshape(-1, COLUMNS, *faces.shape[1:]))
    caption = f"the first {FIRST} faces (seed {context.config.seed}); none was chosen."
    return [context.draw(run, "faces", figure, caption, chart=False)]


def score_curve(context: Context, run: Run) -> list[Block]:
    """FID and HOG rate over the training, where metrics.face_curve was run."""
    wanted = ("epochs", "dims", "fid", "hog_face_rate")
    curve = run.json("curve.json", lambda points: [{name: point[name] for name in wanted} for point in points])
    if not curve:
        return []
    figure, (left, right) = panels(2, columns=2, height=2.6, width=3.6)
    epochs = [point["epochs"] for point in curve]
    left.plot(epochs, [float("nan") if point["fid"] is None else point["fid"] for point in curve], marker="o")
    right.plot(epochs, [100 * point["hog_face_rate"] for point in curve], marker="o", color="C1")
    label_axes(left, "epochs", f"FID-{curve[0]['dims']}")
    label_axes(right, "epochs", "HOG face rate / %")
    left.set_ylim(0, None)
    right.set_ylim(0, 102)
    return [context.draw(run, "scores", figure, "FID and HOG face rate over the training.")]


def between_latents(context: Context, run: Run) -> list[Block]:
    """Faces on the way from one latent to another, along the sphere that normal latents lie close to."""
    network = context.network_of(run, Generator)
    pairs = [(2 * row, 2 * row + 1) for row in range(PAIRS)]
    faces = [
        sample_between(network, image_seeds(context.config.seed, pair), STEPS, context.execution) for pair in pairs
    ]
    names = [f"{share:.3g}" for share in np.linspace(0, 1, STEPS)]
    figure = grid_figure(np.stack(faces), columns=names, column_title="share of the second latent")
    return [context.draw(run, "interpolation", figure, "faces between two latents, a row each.", chart=False)]


def vae_section(context: Context) -> Section:
    """What the VAE reconstructs, and how its latents lie."""
    blocks: list[Block] = []
    for run in (group[0] for group in repetitions(of_kind(context.runs, VAES))):
        for title, make in (("VAE reconstructions", reconstructions), ("t-SNE of latents", latents_by_attribute)):
            blocks += [Heading(f"{title}: `{run.name}`"), *attempt(context, run, title, make)]
    return Section("Variational autoencoder", blocks + not_run(context, VAES))


def reconstructions(context: Context, run: Run) -> list[Block]:
    """Ten validation faces over what the VAE makes of them, with each one's error."""
    network = context.network_of(run, VAE)
    faces = np.array(load_faces(context.data_of(run), "val", network.image_size, network.channels)[:RECONSTRUCTED])
    pictures, errors = reconstruct(network, faces, context.execution)
    columns = [f"{error:.4f}" for error in errors]
    rows, names = np.stack([faces, pictures]), ["original", "reconstructed"]
    figure = grid_figure(rows, names, columns, column_title="MSE of values in [0, 1]")
    caption = f"the first {len(faces)} validation faces over their reconstructions, mean MSE {errors.mean():.4f}."
    return [context.draw(run, "reconstructions", figure, caption, chart=False)]


def latents_by_attribute(context: Context, run: Run) -> list[Block]:
    """t-SNE of posterior means, a panel for each attribute."""
    points = points_of(run)
    names = points["names"].tolist()
    chosen = [name for name in context.config.attributes if name in names] or names[:2]
    if not chosen:
        raise UserError("the data has no attributes (face/attributes.csv)")
    figure, grid = panels(len(chosen), columns=2, height=3.6, width=3.6)
    for axes, name in zip(grid, chosen, strict=True):
        value = points["attributes"][:, names.index(name)]
        known = value != 0
        axes.set_title(name, fontsize=9, loc="right")
        scatter(axes, points["plane"][known], (value[known] > 0).astype(int), ["no", "yes"])
    caption = (
        f"t-SNE of the posterior means of {len(points['plane'])} validation faces, in deviations of the posteriors, "
        f"by {', '.join(chosen)}."
    )
    return [context.draw(run, "latents", figure, caption)]
