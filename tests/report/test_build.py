"""The report on small runs that were made by hand: all there is, and what is damaged."""

import json
import os
import re
import shutil
import subprocess
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from data.decoded import read_image
from experiments.reports import REPORTS
from experiments.results import record_of
from experiments.rows import DIGITS, scripts
from experiments.runs import commands_of, find_runs, kind_of_recipe, points_of, repetitions
from inference import generate_digits
from models import NETWORKS
from report.build import Config, main
from report.figures import cut_grid, grid_figure, panels
from report.page import Note, Section, Table, render
from report.sections import adaptation, samples, training
from report.sections import digits as digits_section
from report.sections.training import panels_of, shares
from runtime.command_line import from_command_line
from runtime.errors import UserError
from runtime.images import image_grid
from tests.report.made_runs import DSN, write_run
from training.directory import Run
from training.provenance import printout


def build(runs, out, **options):
    main(Config(runs, out, device="cpu", **options))
    return (out / "report.html").read_text(), (out / "report.md").read_text()


@pytest.fixture
def one(runs, tmp_path):
    """A folder with a copy of one run."""
    shutil.copytree(runs / "dcgan", tmp_path / "runs" / "dcgan")
    return tmp_path / "runs"


def test_every_figure_is_png_and_pdf_and_on_both_pages(report):
    html, markdown = (report / "report.html").read_text(), (report / "report.md").read_text()
    names = {path.name for path in (report / "figures").iterdir()}
    charts = [
        *("faces-dcgan", "samples-dcgan", "scores-dcgan", "interpolation-dcgan", "interpolation-vae"),
        *("reconstructions-vae", "latents-vae", "grid-acgan28", "samples-acgan28"),
        *("grid-context-unet", "reverse-context-unet", "guidance-context-unet", "adaptation"),
        *("tsne-sweep-dann1", "confusion-sweep-dann1", "confusion-sweep-supervised1", "reconstructions-sweep-dsn"),
        *(f"curves-{name}" for name in ("dcgan", "vae", "acgan28", "context-unet", "sweep-dsn", "sweep-dann1")),
    ]
    assert {f"{chart}.{ending}" for chart in charts for ending in ("png", "pdf")} <= names
    shown = [name for name in names if not name.endswith(".pdf")]
    assert sorted(re.findall(r"\]\(figures/([^)]+)\)", markdown)) == sorted(shown)
    films = html.count('<figure class="film"')  # each beside its still
    assert films == sum(name.startswith(("samples", "reverse")) for name in shown) == 4
    assert html.count("<img ") == len(shown) + films == html.count('src="data:image/')
    assert all(alt.strip() for alt in re.findall(r'<img [^>]*alt="([^"]*)"', html))
    assert len(re.findall(r'<img [^>]*alt="[^"]+"', html)) == len(shown) + films
    for outside in ("http://", "https://", 'src="f', "@import", "<script "):
        assert outside not in html


def test_pictures_of_the_page_are_webp_at_the_size_they_are_shown(report):
    html = (report / "report.html").read_text()
    pictures = re.findall(r'src="data:image/webp;base64,([^"]+)" alt="([^"]+)" width="(\d+)" height="(\d+)"', html)
    assert len(pictures) == html.count("<img ")
    for encoded, alt, width, height in pictures:
        with Image.open(BytesIO(b64decode(encoded))) as image:
            assert image.format == "WEBP" and image.width <= 1.31 * int(width), alt
            frames = image.height * int(width) / (image.width * int(height))
            expected = 1 if "as a film" not in alt else 11 if "reverse process" in alt else 2
            assert frames == pytest.approx(expected, rel=0.01), alt


def test_the_page_of_small_runs_is_small(report):
    """Eight runs, whose samples are random pixels, which compress the least."""
    assert (report / "report.html").stat().st_size < 1_800_000


def test_scores_stand_beside_the_reported(report):
    markdown = (report / "report.md").read_text()
    assert "| `dcgan` | 2 | 0.500 | 25.0 | 1 | FID-2048 27 (000), IS 2.06 (000) | 10 s |" in markdown
    assert "| `acgan28` | 2 | 62.5 | 1 | accuracy 90 (000) | 10 s |" in markdown
    assert "| a → b | 25.0 (25.0) | 50.0 (50.0) | 1 |" in markdown
    assert "| DPM-Solver++, 5 steps | 1.000 ± 0.000 | 0.200 ± 0.000 | 55.0 ± 7.1 |" in markdown
    assert "No run of `dcgan-ema`, `dcgan-2g`, `dcgan-long`, `dcgan-short`, `pixelshuffle`, `sagan`" in markdown
    assert "> bash scripts/train_dcgan.sh sagan" in markdown
    assert "`vae` has no scores; to score it:" in markdown and "--json" in markdown
    assert "`sweep/dann2` has no scores; to score it:" in markdown
    assert "metrics.sampling" not in markdown


def test_a_report_stands_beside_what_was_measured(one, tmp_path):
    _, markdown = build(one, tmp_path / "out", report="000")
    assert markdown.startswith("# Report 000, reproduced")
    assert "## Report 000: reported and measured" in markdown
    assert "| dcgan |  | FID-2048 | 27 | 139 epochs | FID-768 0.500 | 2 |" in markdown
    assert "| dann-acgan | MNIST-M → USPS | accuracy | 73 |  | not measured |  |" in markdown
    assert "none was chosen. FID-2048: reported 27 (139 epochs), measured FID-768 0.500." in markdown
    # It misses its own systems alone, and a section of which it has none is left out.
    assert "No run of `acgan28`; to make it:" in markdown and "> bash scripts/reproduce.sh report-000" in markdown
    assert "No run of `supervised-dann-acgan`, `dann-acgan`; to make them:" in markdown
    assert "sagan" not in markdown and "## Variational autoencoder" not in markdown


def test_a_voter_stands_under_its_own_name(one, runs, tmp_path):
    voter = next(row for row in REPORTS["001"]() if row.recipe == "dann28-wide")
    folder = shutil.copytree(runs / "sweep" / "dann1", one / voter.name(full=False))
    for file in ("config.json", "scores.json"):
        text = (folder / file).read_text()
        assert '"recipe": "dann"' in text
        (folder / file).write_text(text.replace('"recipe": "dann"', f'"recipe": "{voter.recipe}"'))
    _, markdown = build(one, tmp_path / "out", report="001")
    assert "| scenario | `dann28-wide` | runs |" in markdown


@pytest.fixture
def pictures_of(monkeypatch):
    """The pictures of each figure of digits, in the order in which they are drawn."""
    drawn = []

    def draw(pictures, *names, **options):
        drawn.append((pictures, options))
        return grid_figure(pictures, *names, **options)

    monkeypatch.setattr(digits_section, "grid_figure", draw)
    return drawn


def test_the_process_that_is_shown_made_the_first_digit_of_the_grid(runs, tmp_path, pictures_of):
    shutil.copytree(runs / "context-unet", tmp_path / "runs" / "context-unet")
    build(tmp_path / "runs", tmp_path / "out")
    (grid, _), (process, options) = pictures_of
    assert process.shape == (1, 5, 28, 28, 3)  # t = 1 is the nearest to two of the six
    assert options["columns"] == [f"t = {time}" for time in (10, 6, 2, 1, 0)]
    np.testing.assert_allclose(process[0, -1].astype(int), grid[0, 0].astype(int), atol=1)
    assert np.abs(process[0, 0].astype(int) - process[0, -1]).mean() > 2


def test_grid_and_process_are_sampled_as_the_digits_that_are_scored(tmp_path, pictures_of):
    settings = {"domain": "a", "sample_steps": 20, "guidance": 2.0}
    arguments = {"width": 8, "steps": 600}
    about = {"network": "context-unet", "arguments": arguments, "grids": (10, 28), "lines": [(1, {"loss": 1.0})]}
    run = write_run(tmp_path / "runs" / "run", "context-unet-64", settings, **about)
    _, markdown = build(tmp_path / "runs", tmp_path / "out")
    command = next(line for line in markdown.splitlines() if "inference.generate_digits" in line)
    assert command.endswith("--sampler dpm++ --steps 20 --guidance 8")
    options = [*command.split("generate_digits ")[1].split(), "--per-class", "1", "--device", "cpu"]
    generate_digits.main(from_command_line(generate_digits.Config, [*options, "--precision", "float32"]))
    first = read_image(run / "generated" / "0_001.png")
    (grid, _), (process, options) = pictures_of
    for shown in (grid[0, 0], process[0, -1]):
        np.testing.assert_allclose(shown.astype(int), first, atol=1)
    assert options["columns"] == [f"t = {time}" for time in (600, 360, 120, 60, 0)]
    setting = "DPM-Solver++, 20 steps, guidance"
    assert f"columns noise vectors (seed 999; {setting} 8)." in markdown
    assert f"t from 600 (noise) to 0 ({setting} 8)." in markdown
    assert f"digits ({setting} 2) from the same noise vectors over the training." in markdown


@pytest.fixture
def axes_of(monkeypatch):
    """The axes of each figure with panels in sections of this name, in the order in which they are drawn."""

    def watch(section):
        drawn = []

        def draw(*sizes, **options):
            figure, axes = panels(*sizes, **options)
            drawn.append(list(axes))
            return figure, axes

        monkeypatch.setattr(section, "panels", draw)
        return drawn

    return watch


def test_bars_begin_where_their_axes_do(runs, tmp_path, axes_of):
    drawn = axes_of(adaptation)
    shutil.copytree(runs / "sweep", tmp_path / "runs")
    build(tmp_path / "runs", tmp_path / "out")
    bars = [bar for bar in drawn[0][0].patches if bar.get_height()]
    assert 0 < min(bar.get_x() for bar in bars) - drawn[0][0].get_xlim()[0] < 0.5 * bars[0].get_width()


def test_every_curve_is_named_and_panels_share_their_steps(runs, tmp_path, axes_of):
    drawn = axes_of(training)
    supervised = [(step, {"class_loss": 1 / step}) for step in range(1, 10)] + [(10, {"source_accuracy": 0.5})]
    about = {"lines": supervised, **DSN}
    write_run(tmp_path / "runs" / "run", "supervised-dann-lenet", {"method": "supervised", "source": "a"}, **about)
    build(tmp_path / "runs", tmp_path / "out")
    loss, accuracy = drawn[0]
    assert [one.get_legend().get_texts()[0].get_text() for one in (loss, accuracy)] == ["class", "source"]
    assert loss.get_xlim() == accuracy.get_xlim() == (0, pytest.approx(10.3))
    shutil.copytree(runs / "vae", tmp_path / "faces" / "vae")
    build(tmp_path / "faces", tmp_path / "out")
    mse, kl = drawn[-1]
    assert mse.get_legend() and not kl.get_legend()  # the axis says that it is the KL divergence


def test_a_copied_run_keeps_its_features(one, runs, tmp_path):
    run = shutil.copytree(runs / "sweep" / "dann1", one / "dann1")
    for name in ("tsne.npz", "weights.safetensors"):
        os.utime(run / name, (0, 1 if name == "weights.safetensors" else 0))  # as copied in this order
    build(one, tmp_path / "out")
    assert (tmp_path / "out" / "figures" / "tsne-dann1.png").exists()


def test_samples_after_each_of_the_first_epochs_come_first(one, runs, tmp_path, monkeypatch):
    names = []
    monkeypatch.setattr(samples, "grid_figure", lambda rows, labels, **o: names.append(labels) or grid_figure(rows))
    config = json.loads((one / "dcgan" / "config.json").read_text())
    config["settings"]["sample_epochs"] = 2
    (one / "dcgan" / "config.json").write_text(json.dumps(config))
    folder = one / "dcgan" / "samples"
    for step in (7, 12, 15, *range(20, 60, 5)):
        shutil.copy(folder / "0000005.png", folder / f"{step:07d}.png")
    build(one, tmp_path / "out")
    assert names[0] == [f"epoch {epoch}" for epoch in (1, 2, 2.4, 4, 6, 7, 9, 11)]
    for path in folder.iterdir():  # a run that was stopped within its first epoch
        path.unlink() if path.stem > "0000002" else None
    for step in (1, 2):
        shutil.copy(runs / "dcgan" / "samples" / "0000005.png", folder / f"{step:07d}.png")
    build(one, tmp_path / "out")
    assert names[-1] == ["epoch 0.2", "epoch 0.4"]


def test_networks_are_printed_with_their_parameters(one, tmp_path, report):
    html = (report / "report.html").read_text()
    generator = NETWORKS["dcgan-generator"](latent_size=4, width=1)
    count = sum(parameter.numel() for parameter in generator.parameters())
    assert f"{count:,} parameters" in html
    assert "ConvTranspose2d(4, 8, kernel_size=(4, 4), stride=(1, 1), bias=False)" in html
    shutil.copytree(one / "dcgan", one / "again")
    (shutil.copytree(one / "dcgan", one / "old") / "networks.txt").unlink()
    normed = NETWORKS["dcgan-discriminator"](width=1, spectral_norm=True)
    (shutil.copytree(one / "dcgan", one / "normed") / "networks.txt").write_text(printout({"discriminator": normed}))
    html, _ = build(one, tmp_path / "out")
    assert html.count("ConvTranspose2d(4, 8,") == 1  # equal networks are printed once
    assert html.count("_SpectralNorm") == 5  # of which nothing but the layers' text tells
    assert "<code>again</code>, <code>dcgan</code></summary>" in html
    assert "<code>old</code>: networks left out, it has no <code>networks.txt</code>." in html


def test_the_same_runs_give_the_same_bytes(report, runs, tmp_path):
    """Figures of some of the runs."""
    for name in ("context-unet", "sweep/dann1"):
        shutil.copytree(runs / name, tmp_path / "runs" / name)
    build(tmp_path / "runs", tmp_path / "out")
    figures = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert {"grid-context-unet.pdf", "reverse-context-unet.png", "tsne-sweep-dann1.png"} <= figures
    for name in figures - {"adaptation.png", "adaptation.pdf"}:
        assert (tmp_path / "out" / "figures" / name).read_bytes() == (report / "figures" / name).read_bytes(), name


def test_features_of_older_weights_are_not_shown(one, runs, tmp_path):
    run = shutil.copytree(runs / "sweep" / "dann1", one / "dann1")
    shutil.copy(runs / "sweep" / "dann2" / "weights.safetensors", run)
    _, markdown = build(one, tmp_path / "out")
    assert "`dann1`: t-SNE left out, the weights are newer than the measured features: run " in markdown


def test_damaged_runs_are_named_and_the_rest_is_shown(one, tmp_path, capsys):
    (one / "broken").mkdir()
    (one / "broken" / "metrics.jsonl").write_text('{"step": 1}\n')
    (one / "half").mkdir()
    (one / "half" / "config.json").write_text('{"recipe": "dcgan", "sett')
    log = one / "dcgan" / "metrics.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:6]) + '{"step": 7, "d_lo')
    (one / "dcgan" / "curve.json").write_text("[{]")
    (one / "dcgan" / "samples" / "0000010.png").write_bytes(b"no picture")
    html, markdown = build(one, tmp_path / "out")
    errors = capsys.readouterr().err
    for text in (html, markdown, errors):
        assert "broken has no config.json" in text
        assert "half has a config.json that cannot be read" in text
        assert "1 of 7 lines cannot be read, the others are used" in text
        assert "curve.json" in text and "0000010.png" in text
    assert "still going or interrupted at step 6 of 10" in markdown
    assert (tmp_path / "out" / "figures" / "curves-dcgan.png").exists()


def test_a_run_that_has_just_begun(one, tmp_path):
    run = one / "dcgan"
    for name in ("weights.safetensors", "metrics.jsonl", "curve.json"):
        (run / name).unlink()
    shutil.rmtree(run / "samples")
    _, markdown = build(one, tmp_path / "out")
    assert "still going or interrupted at step 0 of 10" in markdown
    assert "`dcgan`: faces left out, no weights were written yet" in markdown
    assert "has no `metrics.jsonl` yet" in markdown and "curves left out" in markdown


def test_damaged_weights_and_missing_data(one, tmp_path, runs):
    (one / "dcgan" / "weights.safetensors").write_bytes(b"no weights")
    shutil.copytree(runs / "sweep" / "dann1", one / "dann1")
    (one / "dann1" / "tsne.npz").unlink()
    _, markdown = build(one, tmp_path / "out", data=tmp_path / "nowhere")
    assert "`dcgan`: faces left out," in markdown and "is no weights file" in markdown
    assert "`dann1`: t-SNE left out, features were not measured: run .venv/bin/python -m metrics.tsne" in markdown
    assert (tmp_path / "out" / "figures" / "curves-dann1.png").exists()


def test_commands_that_are_shown_name_the_run_to_a_shell(tmp_path):
    run = Run(tmp_path / "a b $(touch sprung) 'c' \\", "name", {"settings": {"data": "$HOME/d e", "domain": ";x"}})
    with pytest.raises(UserError, match="features were not measured") as error:
        points_of(run)
    shown = "\n".join([str(error.value).split(": run ")[1], commands_of(run, DIGITS)])
    program = "run() { shift; printf '%s\n' \"$@\"; }\n" + shown.replace(".venv/bin/python", "run")
    done = subprocess.run(["bash", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    words = done.stdout.splitlines()
    assert {str(run.folder), f"{run.folder}/generated", f"{run.weights}", "$HOME/d e/digits/;x"} < set(words)
    assert not (tmp_path / "sprung").exists()


def test_what_cannot_work_ends_in_one_line(one, tmp_path, error_of):
    def error(runs, out):
        return error_of(lambda: main(Config(runs, out, device="cpu")))

    (tmp_path / "file").write_text("")
    assert "file/out/figures" in error(one, tmp_path / "file" / "out")
    assert "give another folder with --out" in error(one, tmp_path / "file")
    assert "no such folder of runs" in error(tmp_path / "none", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    assert "train one with scripts/train_dcgan.sh" in error(tmp_path / "empty", tmp_path / "out")
    (tmp_path / "empty" / "thing").mkdir()
    assert "thing has no config.json" in error(tmp_path / "empty", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_names_are_text_not_markup(one, tmp_path):
    (one / "dcgan").rename(one / "<b>_x_ & 'y'")
    html, _ = build(one, tmp_path / "out")
    assert "<b>_x_" not in html and "&lt;b&gt;_x_ &amp;" in html
    table = Section("T", [Table(["a|b"], [["<i>*_"]]), Note("`a_b` <c>")])
    text = render("report.md.j2", "T", "", [table])
    assert "| a\\|b |" in text and "| \\<i>\\*\\_ |" in text and "`a_b` \\<c>" in text


def test_values_share_a_panel_with_their_kind():
    panels = panels_of({"step", "seconds", "d_loss", "g_loss", "mse", "val_mse", "mask_rate", "speed", "lr"})
    assert {name: keys for name, (keys, _) in panels.items()} == {
        "loss of D and G": ["d_loss", "g_loss"],
        "MSE (images in [0, 1])": ["mse", "val_mse"],
        "share / %": ["mask_rate"],
        "learning rate": ["lr"],
        "speed": ["speed"],
    }
    assert list(panels_of({"pseudo_weight", "lambda", "pseudo_0", "source_9"})) == ["weight of the adaptation"]
    assert list(panels)[-1] == "speed"


def test_the_histogram_is_of_accepted_labels():
    lines = [{f"pseudo_{digit}": 0.0 for digit in range(10)} for _ in range(2)]
    assert shares(lines, "pseudo") == [0] * 10  # none accepted yet
    lines[0]["pseudo_3"], lines[1]["pseudo_3"], lines[1]["pseudo_4"] = 0.1, 0.2, 0.1
    assert shares(lines, "pseudo") == pytest.approx([0, 0, 0, 0.75, 0.25, 0, 0, 0, 0, 0])


def test_repetitions_differ_in_their_seed_alone(runs):
    found = find_runs(runs)
    groups = [[run.name for run in group] for group in repetitions(found.runs)]
    assert ["sweep/dann1", "sweep/dann2"] in groups and ["sweep/dsn"] in groups
    assert [run.name for run in found.runs if record_of(run)] and found.skipped == []


def test_runs_in_a_folder_of_a_folder_of_runs_are_named(runs, one):
    shutil.copytree(runs / "sweep" / "dann1", one / "sweep" / "ablation" / "no-ramp")
    shutil.copytree(runs / "sweep" / "dann2", one / "sweep" / "dann2")
    found = find_runs(one)
    assert [run.name for run in found.runs] == ["dcgan", "sweep/dann2"]
    assert found.skipped == ["sweep/ablation holds runs deeper than is looked for: give it as --runs"]
    deeper = find_runs(one / "sweep" / "ablation")
    assert [run.name for run in deeper.runs] == ["no-ramp"] and deeper.skipped == []


def test_a_grid_is_cut_where_it_was_joined():
    pictures = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
    assert (cut_grid(image_grid(pictures, 10), 10) == pictures.reshape(2, 10, 8, 8, 3)).all()


def test_every_training_script_is_about_something():
    for recipe, script in scripts().items():
        assert kind_of_recipe(recipe) in ("faces", "vae", "digits", "adaptation"), script


def test_equal_runs_of_one_seed_are_in_the_table_once(one, tmp_path):
    shutil.copytree(one / "dcgan", one / "dcgan-again")
    _, markdown = build(one, tmp_path / "out")
    assert "`dcgan-again` has the settings and seed of another run: it is left out of the tables." in markdown
    assert markdown.count("| `dcgan` | 2 |") == 1


def test_runs_that_voted_have_no_directory_of_a_run(runs, tmp_path):
    for name in ("dann1", "supervised1"):
        shutil.copytree(runs / "sweep" / name, tmp_path / "runs" / name)
    vote = tmp_path / "runs" / "vote"
    vote.mkdir()
    settings = {"recipe": "dann", "method": "dann", "network": "all", "source": "a", "target": "b", "seed": 1}
    (vote / "scores.json").write_text(json.dumps(settings | {"steps": 2, "scores": {"b": {"val": 0.75}}}))
    (tmp_path / "runs" / "logs").mkdir()
    found = find_runs(tmp_path / "runs")
    assert found.skipped == [] and [record["scores"] for record in found.votes] == [{"b val": 0.75}]
    _, markdown = build(tmp_path / "runs", tmp_path / "out")
    assert "– (75.0)" in markdown
    (vote / "scores.json").write_text("{")
    assert "vote has a `scores.json` that cannot be read" in find_runs(tmp_path / "runs").skipped[0]
