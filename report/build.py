"""The report on whatever was run: `python -m report.build --runs runs --out OUT`.

OUT/report.html holds everything and opens from disk, OUT/report.md says the same, OUT/figures has every figure as PNG
and PDF. What has no run is not shown; a line names the command that would make it.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from report.context import Context
from report.gallery import Gallery
from report.page import Section, render
from report.runs import find_runs
from report.sections.adaptation import adaptation_section
from report.sections.digits import digits_section
from report.sections.faces import faces_section, vae_section
from report.sections.overview import runs_section, scores_section
from report.sections.training import curves_section, networks_section, settings_section
from runtime.device import choose_execution
from runtime.errors import run_command
from runtime.files import write_atomically

TITLE = "Faces and digits: what was run"


@dataclass
class Config:
    """Turn run directories into one page with figures."""

    runs: Path = Path("runs")
    """Folder of run directories, or of folders of them."""
    out: Path = Path("outputs/report")
    """Folder for report.html, report.md and figures/; what an earlier report wrote there is replaced."""
    data: Path | None = None
    """The data tree for t-SNE, confusions and reconstructions; each run's own if not given."""
    attributes: tuple[str, ...] = ("Male", "Smiling")
    """Attributes that colour the latents of faces, columns of face/attributes.csv."""
    seed: int = 999
    """Seed of the faces and digits that are made for the report."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""


def main(config: Config) -> None:
    """Read the runs, draw, and write both pages; raises UserError for what the user can put right."""
    found = find_runs(config.runs)
    for line in found.skipped:
        print(f"skipped: {line}", file=sys.stderr)
    gallery = Gallery(config.out / "figures")
    execution = choose_execution(config.device, "float32")
    context = Context(found.runs, found.accuracies, gallery, execution, config.data, config.seed, config.attributes)
    sections = [make(context) for make in SECTIONS]
    sections.insert(0, runs_section(context, found.skipped))
    for run in found.runs:
        for problem in run.problems:
            print(f"{run.name} {problem}", file=sys.stderr)
    write_page(config.out, sections, lead_of(config, len(found.runs)))
    print(f"{config.out / 'report.html'}: {len(found.runs)} runs, {gallery.count} figures")


SECTIONS = (
    scores_section,
    faces_section,
    vae_section,
    digits_section,
    adaptation_section,
    curves_section,
    settings_section,
    networks_section,
)


def lead_of(config: Config, count: int) -> list[str]:
    """What stands under the title."""
    return [
        f"{count} run{'s' * (count > 1)} found in `{config.runs}`. What has no run is not shown; a line says how to "
        "make it. Every figure lies in `figures/` as PNG and PDF, animations as GIF."
    ]


def write_page(out: Path, sections: list[Section], lead: list[str]) -> None:
    """Write report.html and report.md, each whole or not at all."""
    for name in ("report.html", "report.md"):
        write_atomically(out / name, render(f"{name}.j2", TITLE, lead, sections).encode())


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Config, description=Config.__doc__)))
