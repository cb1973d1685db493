"""Run what is missing of an experiment: `python -m experiments NAME [options] [-- OVERRIDES]`.

Rows with scores are skipped, stopped ones resumed. After a failure the other rows go on, and the command ends with
status 1. Every row keeps a log. `python -m experiments tables` writes the tables of README.md and docs/ from the
committed results.
"""

import os
import queue
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, Annotated

import torch
import tyro

from experiments import adaptation, claims, digits, faces, reports, results, tables
from experiments.rows import PYTHON, ROOT, Row, Task, task_of
from runtime.errors import UserError, run_command
from runtime.settings import AT_LEAST_1, Settings
from training.directory import read_run

EXPERIMENTS: dict[str, Callable[[], Iterable[Row]]] = {
    "faces": faces.rows,
    "face-ablation": faces.ablation_rows,
    "vae": faces.vae_rows,
    "digits": digits.rows,
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
        tables.write_tables()
        return
    if config.name not in EXPERIMENTS:
        raise UserError(f"no experiment {config.name}: there are {', '.join(EXPERIMENTS)}, and tables")
    runs = config.runs / config.name
    places = {"runs": runs, "data": config.data, "classifier": config.classifier, "dims": config.dims}
    rows = {row.name(config.full, overrides): row for row in EXPERIMENTS[config.name]()}  # equal ones are made once
    rows = {name: row for name, row in rows.items() if fnmatch(name, config.only)}
    if not rows:
        raise UserError(f"no row fits {config.only}: see --list")
    tasks = {name: task_of(row, config.full, overrides, **places) for name, row in rows.items()}
    if config.list:
        for name, task in tasks.items():
            print(f"{name}: {task.state}, {rows[name].length(config.full)}")
            print(f"    {shlex.join(task.train[len(PYTHON) :]) or 'votes of the rows above'}")
        return
    failed = make_all(list(tasks.values()), config.jobs, runs / "logs")
    made = [(rows[name], read_run(task.folder)) for name, task in tasks.items() if task.made]
    reached = [(row, results.record_of(run)) for row, run in made]
    records = [one | {"system": row.system or row.recipe, "recipe": row.recipe} for row, one in reached if one]
    if records:
        results.save(runs / "results.json", records)
        print(tables.markdown(config.name, records))
    if config.record:
        results.record(config.name, records)
        for table in ("guidance", "samplers"):
            results.record(table, [one for _, run in made for one in results.sampling_records(run, table)])
    if failed:
        raise UserError(f"{len(failed)} of {len(tasks)} rows failed, their logs are in {runs / 'logs'}")


class Commands:
    """The commands that run now, all of which can be asked to end; none begins after that."""

    def __init__(self):
        self.running: set[subprocess.Popen] = set()
        self.ending = False

    def call(self, command: Sequence[str], output: IO[str], environment: dict[str, str]) -> int:
        """The exit status of a command."""
        if self.ending:
            return 1
        with subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment) as process:
            self.running.add(process)
            if self.ending:  # meanwhile
                process.terminate()
            status = process.wait()
            self.running.remove(process)
        return status

    def end(self) -> None:
        """Ask all to end: a training saves first."""
        self.ending = True
        for process in tuple(self.running):
            process.terminate()


def make(task: Task, log: Path, environment: dict[str, str], commands: Commands) -> bool:
    """Train and score a row, all output into its log; whether it succeeded."""
    resume = ("--resume",) if task.state == "stopped" else ()
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a") as file:
        for command in ((*task.train, *resume) if task.train else (), *task.score):
            if command:
                print(f"$ {shlex.join(command)}", file=file, flush=True)
                if commands.call(command, file, os.environ | environment):
                    return False
    return True


def make_all(tasks: list[Task], jobs: int, logs: Path) -> list[Task]:
    """Make what has no scores, `jobs` at a time, those that vote after their voters; the tasks that failed."""
    environments: queue.Queue[dict[str, str]] = queue.Queue()
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(torch.cuda.device_count())))).split(",")
    for number in range(jobs):
        environment = {"PYTHONPATH": str(ROOT)}
        if jobs > 1 and torch.cuda.is_available():
            environment["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
        elif jobs > 1 and "OMP_NUM_THREADS" not in os.environ:
            environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // jobs))
        environments.put(environment)

    commands = Commands()

    def attempt(task: Task) -> bool:
        log, environment = logs / f"{task.folder.name}.log", environments.get()
        print(f"{task.folder.name}: {task.state}, begun", flush=True)
        done = make(task, log, environment, commands)
        environments.put(environment)
        last = log.read_text(errors="replace").splitlines()[-1]
        print(f"{task.folder.name}: {'scored' if done else f'failed, {last}'}", flush=True)
        return done

    failed = []
    for voting in (False, True):
        missing = [task for task in tasks if task.voting == voting and task.state != "scored"]
        pool = ThreadPoolExecutor(jobs)
        try:
            failed += [task for task, done in zip(missing, pool.map(attempt, missing), strict=True) if not done]
        except BaseException:  # Ctrl-C or SIGTERM, which no other process need have got
            commands.end()
            raise
        finally:  # what has not begun does not begin
            pool.shutdown(cancel_futures=True)
    return failed


if __name__ == "__main__":
    words = sys.argv[1:]
    place = words.index("--") if "--" in words else len(words)
    run_command(lambda: main(tyro.cli(Config, args=words[:place]), tuple(words[place + 1 :])))
