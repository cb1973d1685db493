"""Arrays computed once and kept in the user's cache folder; deleting that folder costs only time."""

import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from runtime.errors import UserError
from runtime.files import lock_folder, replacing
from runtime.processes import alone


def cache_folder() -> Path:
    """The folder for what is computed once: `$XDG_CACHE_HOME` or `~/.cache`, `/faces-and-digits`.

    Of users without a home, as in a container, it is one that cannot be made: nothing is kept.
    """
    try:
        home = Path.home()
    except RuntimeError:
        home = Path(os.devnull)
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "faces-and-digits"


def cached_array(subject: str, files: Iterable[Path], make: Callable[[], np.ndarray]) -> np.ndarray:
    """The array that `make` computes from `files`, memory-mapped from the cache, read-only.

    It is computed anew once a path, size or modification time among `files` has changed, and the former array of the
    same `subject` is then dropped. Of several processes that need it, one computes it and the others wait. Where the
    cache folder cannot be written, the array is returned from memory.
    Raises UserError for a missing file.
    """
    place = cache_folder() / _digest(subject)
    cached = place / f"{_digest(_fingerprint(files))}.npy"
    lock = None
    for _ in range(2):
        try:
            return np.load(cached, mmap_mode="r")
        except (OSError, ValueError, EOFError):  # not there yet, or damaged
            with suppress(OSError):
                place.mkdir(parents=True, exist_ok=True)
                lock = lock or lock_folder(place, wait=True)
    with alone():  # the others wait for the lock, or have another machine's cache
        array = make()
    try:
        with replacing(cached) as temporary:
            with open(temporary, "wb") as file:
                np.save(file, array)
            for former in set(place.iterdir()) - {temporary}:
                former.unlink()
        return np.load(cached, mmap_mode="r")
    except OSError:  # a read-only or full home: the array is here all the same
        return array


def _fingerprint(files: Iterable[Path]) -> str:
    """Paths, sizes and modification times, one file a line."""
    lines = []
    for file in files:
        try:
            status = file.stat()
        except OSError as error:
            raise UserError(f"missing file: {file}") from error
        lines.append(f"{file}\t{status.st_size}\t{status.st_mtime_ns}")
    return "\n".join(lines)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]
