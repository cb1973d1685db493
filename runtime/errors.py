"""Errors a user can put right end in one line and exit status 1, never in a traceback."""

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable

import torch
from torch.distributed import DistError


class UserError(Exception):
    """Something the user can put right; the message names the thing and the remedy in one line."""


def run_command(main: Callable[[], None]) -> None:
    """Run `main`; on an error a user can cause, print one line to standard error and exit with status 1.

    Everything else keeps its traceback: that is a fault of ours. Libraries' warnings are for who asks with `python -W`,
    and names that are no UTF-8 are printed escaped. Asked to terminate (SIGTERM), it unwinds as after Ctrl-C, so that
    nothing unfinished is left behind, and exits with status 143. Of several processes, the first alone prints.
    """
    if os.environ.get("RANK", "0") != "0":
        sys.stdout = None  # where print writes nothing
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        main()
        if sys.stdout is not None:  # as it is where it was closed
            sys.stdout.flush()
    except UserError as error:
        _end(str(error))
    except BrokenPipeError:  # who read the output, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains as it ends
        sys.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except (MemoryError, RuntimeError) as error:
        if _is_lost_process(error):
            _end("another process, which says why, has failed: go on with --resume", first=False)
        if not _is_lack_of_memory(error):
            raise
        _end("out of memory: use a smaller --batch-size, or another --device")
    except OSError as error:  # disk full, no permission, not a folder …: the system's own words name the file
        _end(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")


def _is_lack_of_memory(error: Exception) -> bool:
    """Whether Python, PyTorch or a library of CUDA, most of which have no exception of their own, found no memory."""
    words = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(word in str(error) for word in words)


def _is_lost_process(error: Exception) -> bool:
    """Whether another of several processes has ended, as gloo or NCCL find when they wait for it."""
    return isinstance(error, DistError) or "by peer" in str(error)


def _end(message: str, first: bool = True) -> None:
    if not first or os.environ.get("RANK", "0") != "0":
        # What ends all processes is said by the first: the others are stopped by torchrun before they come to speak.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(2)
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(1)
