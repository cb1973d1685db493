"""Run a script or a module in several processes: `python -m runtime.launch train_dcgan.py RECIPE …`, or `… -m NAME …`.

The environment says how many: GPUS=N or PROCESSES=N of this machine; NODES=N machines, each with its NODE_RANK from 0,
which meet at MASTER=HOST:PORT, an address of machine 0. After a process fails, all end: go on with --resume.
"""

import os
import sys

from torch.distributed import DistError
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

from runtime.errors import UserError, run_command

PATIENCE = 45  # seconds that machines wait for each other; who cannot reach the first is told within 60


def options() -> list[str]:
    """The environment as options of torchrun; raises UserError for what is missing or no number."""
    nodes = number("NODES", 1)
    words = ["--nproc-per-node", str(number("GPUS", number("PROCESSES", 1))), "--max-restarts", "0"]
    if nodes == 1:
        return [*words, "--standalone"]
    rank, (host, _, port) = number("NODE_RANK", nodes), os.environ.get("MASTER", "").rpartition(":")
    if rank >= nodes or not host or not port.isdecimal():
        raise UserError(f"NODES={nodes} needs NODE_RANK from 0 to {nodes - 1} and MASTER=HOST:PORT of machine 0")
    words += ["--nnodes", str(nodes), "--node-rank", str(rank), "--master-addr", host, "--master-port", port]
    return [*words, "--rdzv-conf", f"timeout={PATIENCE}"]


def number(name: str, default: int) -> int:
    """A whole number from the environment."""
    text = os.environ.get(name) or str(default)
    if not text.isdecimal():
        raise UserError(f"{name}={text}: give a whole number")
    return int(text)


def main() -> None:
    """Start the processes and wait; they say themselves what a user can put right."""
    arguments = parse_args([*options(), *sys.argv[1:]])
    try:
        run(arguments)
    except ChildFailedError as error:
        process, failure = error.get_first_failure()
        if failure.exitcode < 0:
            raise UserError(f"process {process} was killed by {failure.signal_name()}: go on with --resume") from error
        sys.exit(failure.exitcode)
    except SignalException:
        sys.exit(130)
    except DistError as error:
        where = f"at {os.environ.get('MASTER')}: start them within {PATIENCE} s, and let its port through"
        raise UserError(f"the machines did not meet, or lost each other, {where}") from error


if __name__ == "__main__":
    run_command(main)
