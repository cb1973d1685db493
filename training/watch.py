"""Watch runs in TensorBoard: `python -m training.watch --runs runs`, or `bash scripts/watch.sh`.

Beside the metrics.jsonl of every run an event file repeats its scalars and the sample grids, and goes on as they do.
metrics.jsonl stays the truth: event files are made anew each time, so that those of a resumed run fit it.
"""

import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from data.decoded import read_image
from runtime.command_line import run_main
from runtime.errors import UserError
from runtime.settings import Range, Settings
from training.directory import read_log

EVERY = 3.0  # seconds


@dataclass
class Config(Settings):
    """Open TensorBoard on a folder of runs, at 127.0.0.1 alone."""

    runs: Path = Path("runs")
    """Folder of run directories, or of folders of them."""
    port: Annotated[int, Range(1, 65535)] = 6006
    """Where the page is: http://127.0.0.1:PORT."""


class EventFile:
    """The event file of a run directory; `update` passes on what the run has written since."""

    def __init__(self, run: Path):
        self.run, self.log = run, run / "metrics.jsonl"
        self._begin()

    def update(self) -> None:
        """Write the log's new lines and the new sample grids; all of them again where a resumed run cut its log."""
        size = self.log.stat().st_size
        if size < self.size:
            self.writer.close()
            self._begin()
        self.size = size
        lines = read_log(self.log)
        for line in lines[self.lines :]:
            for name in line.keys() - {"step", "seconds"}:
                self.writer.add_scalar(name, line[name], int(line["step"]), walltime=line["seconds"])
        self.lines = len(lines)
        for path in sorted(set(self.run.glob("*/[0-9]*.png")) - self.grids):
            self.grids.add(path)
            picture, written = read_image(path), path.stat().st_mtime
            self.writer.add_image(path.parent.name, picture, int(path.stem), written, dataformats="HWC")
        self.writer.flush()

    def _begin(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        for earlier in self.run.glob("events.out.tfevents.*"):
            earlier.unlink()
        self.writer = SummaryWriter(str(self.run))
        self.size = self.lines = 0
        self.grids: set[Path] = set()


def main(config: Config) -> None:
    """Start TensorBoard and keep the event files up to date until it ends; raises UserError where it cannot start."""
    if not find_spec("tensorboard"):
        raise UserError("TensorBoard is not installed: run bash scripts/watch.sh, which installs it")
    if not config.runs.is_dir():
        raise UserError(f"no such folder of runs: {config.runs}: train something, or give --runs")
    files: dict[Path, EventFile] = {}
    update(config.runs, files)
    where = ("--logdir", config.runs, "--host", "127.0.0.1", "--port", config.port, "--reload_interval", EVERY)
    page = subprocess.Popen([sys.executable, "-m", "tensorboard.main", *map(str, where)])
    print(f"{len(files)} runs at http://127.0.0.1:{config.port}; Ctrl-C ends it", flush=True)
    try:
        while page.poll() is None:
            time.sleep(EVERY)
            update(config.runs, files)
    except KeyboardInterrupt:
        return
    finally:
        page.terminate()
    raise UserError(f"TensorBoard ended with status {page.returncode}: if the port is in use, give another --port")


def update(runs: Path, files: dict[Path, EventFile]) -> None:
    """Bring the event files of all runs below `runs` up to date; new ones are added to `files`."""
    for log in sorted(runs.rglob("metrics.jsonl")):
        if log.parent not in files:
            files[log.parent] = EventFile(log.parent)
        files[log.parent].update()


if __name__ == "__main__":
    run_main(main, Config)
