"""How the page of `inference.demo` is laid out: a tab for each of what the networks do."""

from collections.abc import Callable
from typing import Any

import gradio as gr
import numpy as np

from data.decoded import fitted
from data.digits import DIGITS
from inference.demo_networks import Networks
from inference.uploads import MOST_BYTES, drawn_digit, read_upload
from models.generator import DEFAULT, Generator, Sampling
from runtime.errors import UserError
from runtime.images import as_picture, image_grid, rgb

WALK = 8  # pictures from one face to another
THEME = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"])  # the reader's fonts: none is fetched
CSS = ".image-container {padding-top: 32px}"  # below its label


def open_page(networks: Networks, port: int) -> gr.Blocks:
    """The page, served at 127.0.0.1 alone; raises OSError for a port in use."""
    with gr.Blocks(title="Faces and digits", analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        gr.Markdown("# Faces and digits\nEvery picture follows from its seed: the same settings make it again.")
        for title, tab in (("Digits", digits), ("Faces", faces), ("VAE", autoencoder), ("Adaptation", adaptation)):
            with gr.Tab(title):
                tab(networks)
    where = {"server_name": "127.0.0.1", "server_port": port, "prevent_thread_lock": True, "quiet": True}
    page.launch(**where, max_file_size=MOST_BYTES, theme=THEME, css=CSS, footer_links=[])
    return page


def digits(networks: Networks) -> None:
    """Digits on request, and the making of one as a slider."""
    network, process = networks.digits.network, networks.digits.network.diffusion
    guided, stepped = takes(network, guidance=1.5), takes(network, steps=12)
    with gr.Row():
        with gr.Column(scale=1):
            names = networks.digits.classes
            which = gr.CheckboxGroup(names, value=list("314" if names == DIGITS else names[:3]), label="Which digits")
            count = gr.Slider(1, 10, 5, step=1, label="How many of each")
            seed = gr.Number(999, label="Seed", precision=0, minimum=0)
            scale = process.default_guidance if process else 1
            guidance = gr.Slider(0, 10, scale, step=0.5, label="Guidance", visible=guided)
            default = len(process.times(DEFAULT)) - 1 if process else 1
            steps = gr.Slider(1, 50, default, step=1, label="Steps", visible=stepped)
            draw = gr.Button("Draw digits", variant="primary")
        with gr.Column(scale=2):
            drawn = picture("Digits, a row each", "digits")
    with gr.Row(visible=process is not None):
        with gr.Column(scale=1):
            digit = gr.Dropdown(names, value="3" if names == DIGITS else names[0], label="The making of a")
            begin = gr.Button("Show how it is made")
            at = gr.Slider(0, 1, 0, step=1, label="From noise to the digit: step", elem_id="at")
        with gr.Column(scale=2):
            frame = picture("After this step", "frame")
    frames, settings = gr.State(), dict([("guidance", guidance)] * guided + [("steps", steps)] * stepped)

    def make(which: list[str], count: int, seed: int, *values: Any) -> np.ndarray:
        if not which:
            raise UserError("no digit is chosen: choose at least one")
        asked = [digit for digit in sorted(which) for _ in range(count)]
        return enlarged(networks.digits.sample(asked, seed, **dict(zip(settings, values, strict=True))), count, 3)

    def show(digit: str, seed: int, *values: Any) -> tuple[Any, ...]:
        _, pictures = networks.digits.process(digit, seed, **dict(zip(settings, values, strict=True)))
        return pictures, gr.Slider(maximum=len(pictures) - 1, value=0), enlarged(pictures[:1], 1, 10)

    on(draw.click, make, [which, count, seed, *settings.values()], drawn)
    on(begin.click, show, [digit, seed, *settings.values()], [frames, at, frame])
    on(at.input, lambda frames, at: None if frames is None else enlarged(frames[[at]], 1, 10), [frames, at], frame)


def faces(networks: Networks) -> None:
    """Faces of a seed, and a walk between those of two seeds."""
    with gr.Row():
        with gr.Column(scale=1):
            seed = gr.Number(7, label="Seed", precision=0, minimum=0)
            truncation = gr.Slider(0.1, 1.5, 1.0, step=0.1, label="Truncation")
            draw = gr.Button("Draw 16 faces", variant="primary")
            last = gr.Number(11, label="Walk to the first face of seed", precision=0, minimum=0)
            walk = gr.Button("Walk")
        with gr.Column(scale=2):
            drawn, walked = picture("Faces", "faces"), picture("The walk", "walk")

    def make(seed: int, truncation: float) -> np.ndarray:
        return enlarged(networks.faces.sample(16, seed, truncation=truncation), 8, 2)

    def between(seed: int, last: int, truncation: float) -> np.ndarray:
        return enlarged(networks.faces.between(0, 0, WALK, (seed, last), truncation=truncation), WALK, 2)

    on(draw.click, make, [seed, truncation], drawn)
    on(walk.click, between, [seed, last, truncation], walked)


def autoencoder(networks: Networks) -> None:
    """A face through the VAE, along an attribute, and on the way to another face."""
    names = list(networks.directions)
    with gr.Row():
        with gr.Column(scale=1):
            upload = gr.File(label="A face: PNG, JPEG … up to 20 MB", elem_id="face-file", height=160)
            seed = gr.Number(7, label="Or a generated one, of seed", precision=0, minimum=0)
            last = gr.Number(11, label="On the way to that of seed", precision=0, minimum=0)
            attribute = gr.Dropdown(names, value=[*names, None][0], label="Attribute", visible=bool(names))
            weight = gr.Slider(0.5, 4, 2, step=0.5, label="Largest weight of its direction", visible=bool(names))
            gr.Markdown("For directions run `python -m inference.attributes RUN`.", visible=not names)
            show = gr.Button("Encode and decode", variant="primary")
        with gr.Column(scale=2):
            pair = picture("Given, and reconstructed", "pair")
            along = picture("Less and more of the attribute", "along")
            between = picture("On the way to the other", "between")

    def make(path: str | None, seed: int, last: int, attribute: str | None, weight: float) -> list[Any]:
        vae = networks.autoencoder
        size, channels = vae.shape
        face, other = (fitted(as_picture(networks.faces.sample(1, of)[0]), size, channels) for of in (seed, last))
        if path:
            face = read_upload(path, size, gr.Info, channels)
        start, end = vae.encode(np.stack([face, other]))
        way = vae.decode([start + share * (end - start) for share in np.linspace(0, 1, WALK)])
        pictures = [enlarged(np.stack([face, vae.reconstruct(face[None])[0][0]]), 2, 4), None, enlarged(way, WALK, 2)]
        if attribute:
            weights = weight * np.linspace(-1, 1, WALK - 1)
            changed = vae.decode([start + weight * networks.directions[attribute] for weight in weights])
            pictures[1] = enlarged(changed, WALK - 1, 2)
        return pictures

    on(show.click, make, [upload, seed, last, attribute, weight], [pair, along, between])


def adaptation(networks: Networks) -> None:
    """What classifiers say of a digit before and after their adaptation."""
    classifiers = [one for row in networks.classifiers.values() for one in row.values()]
    with gr.Row():
        with gr.Column(scale=1):
            brush = gr.Brush(default_size=24, colors=["#000000"], color_mode="fixed")
            plain = {"canvas_size": (280, 280), "sources": [], "transforms": [], "layers": False}
            drawing = gr.Sketchpad(label="Draw a digit", elem_id="drawing", brush=brush, **plain)
            upload = gr.File(label="Or a picture: PNG, JPEG … up to 20 MB", elem_id="digit-file", height=160)
            ask = gr.Button("Ask the classifiers", variant="primary")
            seen = picture("What they see", "seen")
        with gr.Column(scale=2):
            labels = []
            for title, row in networks.classifiers.items():
                gr.Markdown(f"### {title}")
                with gr.Row():
                    labels += [gr.Label(label=name, num_top_classes=3, elem_classes="said") for name in row]

    def say(drawing: dict[str, Any] | None, path: str | None) -> list[Any]:
        digit = read_upload(path, 28, gr.Info) if path else drawn_digit((drawing or {}).get("layers", []))
        said = [one.probabilities(digit[None])[0, 0].tolist() for one in classifiers]
        return [enlarged(digit[None], 1, 5), *(dict(zip(DIGITS, shares, strict=True)) for shares in said)]

    on(ask.click, say, [drawing, upload], [seen, *labels])


def on(event: Callable[..., Any], make: Callable[..., Any], inputs: list[Any], outputs: Any) -> None:
    """Fill `outputs` with what `make` makes of `inputs`; a UserError becomes a message in the page."""

    def told(*values: Any) -> Any:
        try:
            return make(*values)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    event(told, inputs, outputs)


def takes(network: Generator, **sampling: float) -> bool:
    """Whether a network can be sampled with these settings."""
    try:
        network.check(Sampling(**sampling))
    except UserError:
        return False
    return True


def enlarged(images: np.ndarray, columns: int, scale: int) -> np.ndarray:
    """Pictures uint8 (N, H, W, C) side by side in RGB, each pixel `scale` wide."""
    return rgb(image_grid(images.repeat(scale, axis=1).repeat(scale, axis=2), columns, gap=4))


def picture(label: str, name: str) -> gr.Image:
    """A place for a picture."""
    return gr.Image(label=label, elem_id=name, format="png", interactive=False, buttons=["download"])
