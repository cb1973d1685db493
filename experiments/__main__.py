"""Run what is missing of an experiment: `python -m experiments NAME [options] [-- OVERRIDES]`.

Rows with scores are skipped, stopped ones resumed, each with a log. After a failure others go on; the status is 1.
"""

import asyncio
import os
import shlex
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated

import torch
import tyro
from tqdm.asyncio import tqdm

from experiments import adaptation, claims, digits, documents, faces, reports, results
from experiments.rows import PYTHON, ROOT, Row, Task, task_of
from runtime.command_line import from_command_line
from runtime.errors import UserError, run_command
from runtime.settings import AT_LEAST_1, Settings
from training.directory import read_run

EXPERIMENTS: dict[str, Callable[[], Iterable[Row]]] = {
    "faces": faces.rows,
    "face-ablation": faces.ablation_rows,
    "vae": faces.vae_rows,
    "digits": digits.rows,
    "digits-ablation": digits.ablation_rows,
    "adaptation": adaptation.rows,
    "adamatch": adaptation.adamatch_rows,
    "ablation": adaptation.ablation_rows,
    "claims": claims.rows,
    **{f"report-{report}": rows for report, rows in reports.REPORTS.items()},
}


@dataclass
class Config(Settings):
    """Run the rows of an experiment that have no scores yet; options of the training scripts may follow after --."""

    name: tyro.conf.Positional[str]
    """The experiment; `tables` writes the tables of README.md and docs/ from the committed results."""
    only: str = "*"
    """Run only rows whose name matches this glob, e.g. "dann-*-seed-1"."""
    jobs: Annotated[int, AT_LEAST_1] = 1
    """Rows run at a time, each on a GPU of its own if there are any."""
    full: bool = False
    """Train every row at its full length instead of the shorter one for CPUs."""
    list: bool = False
    """Print the rows with their state and command, and run nothing."""
    record: bool = False
    """Also write the results into experiments/results, from which the tables are made."""
    data: Path = Path("datasets/real")
    """The data tree."""
    runs: Path = Path("runs")
    """Folder of the experiments' folders of run directories."""
    classifier: Path = Path("Classifier.pth")
    """Classifier of generated digits: the course's, or a weights.safetensors."""
    dims: int = 768
    """Width of the Inception features of FID, KID, precision and recall; only 2048 compares with published values."""


def main(config: Config, overrides: tuple[str, ...] = ()) -> None:
    """Do as `config` says; raises UserError for an unknown experiment or row, and when a row failed."""
    if config.name == "tables":
        return documents.write_tables()
    if config.name not in EXPERIMENTS:
        raise UserError(f"no experiment {config.name}: there are {', '.join(EXPERIMENTS)}, and tables")
    rows = {row.name(config.full, overrides): row for row in EXPERIMENTS[config.name]()}  # equal ones are made once
    rows = {name: row for name, row in rows.items() if fnmatch(name, config.only)}
    if not rows:
        raise UserError(f"no row fits {config.only}: see --list")
    runs = config.runs / config.name
    places = {"runs": runs, "data": config.data, "classifier": config.classifier, "dims": config.dims}
    tasks = {name: task_of(row, config.full, overrides, **places) for name, row in rows.items()}
    if config.list:
        for name, task in tasks.items():
            print(f"{name}: {task.state}, {rows[name].length(config.full)}")
            print(f"    {shlex.join(task.train[len(PYTHON) :]) or 'votes of the rows above'}")
        return
    failed = asyncio.run(make_all(list(tasks.values()), config.jobs, runs / "logs"))
    made = [(rows[name], read_run(task.folder)) for name, task in tasks.items() if task.made]
    reached = [(row, results.record_of(run)) for row, run in made]
    records = [one | {"system": row.system or row.recipe, "recipe": row.recipe} for row, one in reached if one]
    if records:
        results.save(runs / "results.json", records)
        if config.record:
            results.record(config.name, records)
            for table in ("guidance", "samplers"):
                results.record(table, [one for _, run in made for one in results.sampling_records(run, table)])
        print(documents.markdown(config.name, records))  # last, since a reader like `head` may end this process
    if failed:
        raise UserError(f"{len(failed)} of {len(tasks)} rows failed, their logs are in {runs / 'logs'}")


async def make_all(tasks: list[Task], jobs: int, logs: Path) -> list[Task]:
    """Make what has no scores, in order, `jobs` at a time, what votes after its voters; the tasks that failed.

    What ends this process, Ctrl-C or SIGTERM, also asks the commands that run to end: a training saves first.
    """
    environments: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(torch.cuda.device_count())))).split(",")
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    for number in range(jobs):
        gpu = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]}
        own = gpu if torch.cuda.is_available() else {"OMP_NUM_THREADS": threads}
        environments.put_nowait({"PYTHONPATH": str(ROOT)} | (own if jobs > 1 else {}))
    failed = []

    async def attempt(task: Task) -> None:
        log, environment = logs / f"{task.folder.name}.log", await environments.get()
        print(f"{task.folder.name}: {task.state}, begun", flush=True)
        done = await make(task, log, environment)
        environments.put_nowait(environment)
        failed.extend([] if done else [task])
        last = log.read_text(errors="replace").splitlines()[-1]
        print(f"{task.folder.name}: {'scored' if done else f'failed, {last}'}", flush=True)

    for voting in (False, True):
        missing = (attempt(task) for task in tasks if task.voting == voting and task.state != "scored")
        await tqdm.gather(*map(asyncio.create_task, missing), desc="rows", unit="row", disable=None)  # begun in order
    return failed


async def make(task: Task, log: Path, environment: dict[str, str]) -> bool:
    """Train and score a row, all output into its log; whether it succeeded."""
    resume = ("--resume",) if task.state == "stopped" else ()
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a") as file:
        for command in filter(None, ((*task.train, *resume) if task.train else (), *task.score)):
            print(f"$ {shlex.join(command)}", file=file, flush=True)
            options = {"stdout": file, "stderr": asyncio.subprocess.STDOUT, "env": os.environ | environment}
            process = await asyncio.create_subprocess_exec(*command, **options)
            try:
                if await process.wait():
                    return False
            finally:
                if process.returncode is None:
                    process.terminate()
                    await process.wait()
    return True


if __name__ == "__main__":
    place = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    run_command(lambda: main(from_command_line(Config, sys.argv[1:place]), tuple(sys.argv[place + 1 :])))
