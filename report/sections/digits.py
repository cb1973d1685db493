"""Generated digits: a grid of each generator, how diffusion makes a digit, what guidance and samplers do."""

import numpy as np
from matplotlib.figure import Figure

from experiments import cells, digits, tables
from experiments.results import Record, sampling_records
from experiments.rows import SAMPLING
from experiments.runs import DIGITS, commands_of, of_kind, repetitions
from inference.sampling import FRAMES, grid_requests, nearest, reverse_process, sample_images
from models.generator import Generator, Sampling
from models.samplers import DiffusionModel
from report.context import Context, attempt, not_run
from report.figures import LETTERING, grid_figure, label_axes, panels
from report.gallery import film
from report.page import Block, Heading, Note, Section
from report.sections.overview import table_of
from report.sections.samples import over_training
from runtime.figures import COLOURS
from training.directory import Run


def digits_section(context: Context) -> Section:
    """All that there is of each generator of digits."""
    runs = [group[0] for group in repetitions(of_kind(context.runs, DIGITS))]
    blocks: list[Block] = []
    for run in runs:
        blocks.append(Heading(f"Digits of `{run.name}`"))
        blocks += attempt(context, run, "digits", digits_of)
        blocks += over_training(context, run, 10, 10, f"digits{digits.of_sample_grids(run.settings)}")
    return Section("Generated digits", blocks + not_run(context, DIGITS))


def digits_of(context: Context, run: Run) -> list[Block]:
    """The grid and, of a diffusion network, how a digit comes about and what the sampler's settings do.

    Grid and process are sampled as the digits that the row of the recipe scores.
    """
    network, sampling = context.network_of(run, Generator), digits.sampling_of(run.recipe)
    seeds, labels = grid_requests(context.config.seed, network.classes)
    how = f"; {digits.in_words(network.diffusion, sampling)}" if network.diffusion else ""
    pictures = sample_images(network, seeds, context.execution, labels, sampling)
    pictures = pictures.reshape(-1, 10, *pictures.shape[1:])
    rows, columns = ([str(number) for number in range(count)] for count in pictures.shape[:2])
    figure = grid_figure(pictures, rows, columns, scale=2, row_title="class requested", column_title="noise vector")
    caption = f"{len(labels)} digits, rows classes, columns noise vectors (seed {context.config.seed}{how})."
    blocks: list[Block] = [context.draw(run, "grid", figure, caption, chart=False)]
    if network.diffusion:
        blocks += making_of_a_zero(context, run, network, seeds[0].item(), sampling)
        blocks += settings_of_sampling(context, run)
    return blocks


def making_of_a_zero(context: Context, run: Run, network: DiffusionModel, seed: int, sampling: Sampling) -> list[Block]:
    """How the first 0 of the grid was made from this seed: its snapshots as a picture, all of it as a film."""
    times, pictures = reverse_process(network, seed, 0, context.execution, sampling)
    names = [f"t = {round(time, 3):g}" for time in times]
    at = sorted(set(nearest(times, network.diffusion.snapshot_times)))  # of few steps one may be nearest to two times
    figure = grid_figure(pictures[at][None], columns=[names[index] for index in at], scale=4)
    how = digits.in_words(network.diffusion, sampling)
    caption = f"the reverse process of the first 0 of the grid, t from {times[0]:g} (noise) to 0 ({how})."
    frames = np.linspace(0, len(times) - 1, min(len(times), FRAMES)).round().astype(int)
    still, titles = context.draw(run, "reverse", figure, caption, chart=False), [names[index] for index in frames]
    return [still, film(still, "The same reverse process as a film.", pictures[frames], titles, scale=8)]


def settings_of_sampling(context: Context, run: Run) -> list[Block]:
    """A figure of guidance scales and a table of samplers, of those that metrics.sampling was run over."""
    guidance, samplers = sampling_records(run, "guidance"), sampling_records(run, "samplers")
    blocks: list[Block] = []
    if guidance:
        figure = guidance_figure(guidance, run.json("sampling.json", lambda content: content.get("real_spread")))
        caption = (
            "scores against the guidance scale. Spread: standard deviation of values in [0, 1] over the images of one "
            "class; less is less varied."
        )
        blocks.append(context.draw(run, "guidance", figure, caption))
    if samplers:
        blocks += table_of(lambda: tables.systems(samplers), f"`{run.name}`: mean ± standard deviation over seeds.")
    if not ((guidance and samplers) or context.config.report):
        text = f"`{run.name}` was not scored at several guidance scales, or with several samplers; to do so:"
        blocks.append(Note(text, commands_of(run, SAMPLING)))
    return blocks


def guidance_figure(records: list[Record], real_spread: float | None) -> Figure:
    """Scores against the guidance scale, a panel each; dashed the spread of real digits."""
    scales = [record["settings"]["guidance"] for record in records]
    names = [name for name in records[0]["scores"] if not name.startswith(("precision", "s per"))]
    figure, grid = panels(len(names))
    for number, (axes, name) in enumerate(zip(grid, names, strict=True)):
        factor = cells.metric_of(name).factor
        means, stds = ([factor * record[of].get(name, 0) for record in records] for of in ("scores", "spread"))
        axes.errorbar(scales, means, stds, marker="o", markersize=3, color=COLOURS[number])
        axes.set_ylim(0, 100 if name == "accuracy" else 1.2 * max(means) or 1)
        label_axes(axes, "guidance scale", f"{name} / %" if factor == 100 else name)
        if name == "spread" and real_spread:
            axes.axhline(real_spread, linestyle="--", color="black", linewidth=1, label="real digits")
            axes.legend(fontsize=LETTERING - 1, frameon=False, loc="lower left")
    return figure
