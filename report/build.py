"""The report on whatever was run: `python -m report.build --runs runs --out OUT`.

OUT/report.html holds everything and opens from disk, OUT/report.md says the same, OUT/figures has every figure as PNG
and PDF. What has no run is not shown; a line names the command that would make it.
"""

import sys

from tqdm import tqdm

from experiments.runs import find_runs
from report.context import Config, Context
from report.gallery import Gallery
from report.page import render
from report.sections.adaptation import adaptation_section
from report.sections.digits import digits_section
from report.sections.faces import faces_section, vae_section
from report.sections.overview import reported_section, runs_section, scores_section
from report.sections.training import curves_section, networks_section, settings_section
from runtime.command_line import run_main
from runtime.device import choose_execution
from runtime.files import write_atomically


def main(config: Config) -> None:
    """Read the runs, draw, and write both pages; raises UserError for what the user can put right."""
    found = find_runs(config.runs)
    for line in found.skipped:
        print(f"skipped: {line}", file=sys.stderr)
    gallery = Gallery(config.out / "figures")
    context = Context(config, found.runs, found.votes, gallery, choose_execution(config.device, "float32"))
    shown = [reported_section] * bool(config.report) + [scores_section, faces_section, vae_section, digits_section]
    shown += [adaptation_section, curves_section, settings_section, networks_section]
    sections = [make(context) for make in tqdm(shown, "sections", leave=False, disable=None)]
    sections = [section for section in sections if section.blocks]
    sections.insert(0, runs_section(context, found.skipped))  # made last, when all that is damaged was found
    for run in found.runs:
        for problem in run.problems:
            print(f"{run.name} {problem}", file=sys.stderr)
    count = len(found.runs)
    lead = (
        f"{count} run{'s' * (count > 1)} found in `{config.runs}`. What has no run is not shown; a line says how to "
        "make it. Every figure lies in `figures/` as PNG and PDF."
    )
    title = f"Report {config.report}, reproduced" if config.report else "Faces and digits: what was run"
    for name in ("report.html", "report.md"):
        write_atomically(config.out / name, render(f"{name}.j2", title, lead, sections).encode())
    print(f"{config.out / 'report.html'}: {count} runs, {len(gallery.names)} figures")


if __name__ == "__main__":
    run_main(main, Config)
