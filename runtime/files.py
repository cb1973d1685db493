"""Files that are either written whole or not at all, in folders that one process at a time writes into."""

import fcntl
import io
import json
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from runtime.errors import UserError
from runtime.processes import is_first


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` to be written, which takes the place of `path` at the end, or is gone if anything fails.

    Parents are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path`, replacing a former file only once the new one is safely on disk.

    Parents are made. Only the first of several processes writes. Raises OSError (a full disk, no permission) that names
    `path`, the former file untouched.
    """
    if not is_first():
        return
    with naming(path), replacing(path) as temporary:
        write_synced(temporary, content)


def write_json(path: Path, content: Any, indent: int | None = 2) -> None:
    """`write_atomically` of `content` as JSON."""
    write_atomically(path, (json.dumps(content, indent=indent) + "\n").encode())


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """`write_atomically` of arrays by name as a compressed npz."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def read_arrays(path: Path, remedy: str, *names: str) -> dict[str, np.ndarray]:
    """The arrays of these names, or all, of an npz; raises UserError with the remedy for a damaged file.

    Raises FileNotFoundError where there is none.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names or file.files}
    except FileNotFoundError:
        raise
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged: {remedy}") from error


def write_synced(path: Path, content: bytes) -> None:
    """Write `content` to `path`, safely on disk when this returns."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def unfinished(folder: Path) -> list[Path]:
    """The files beside their place in `folder` that `replacing` left when its process was killed, or is writing now."""
    return [path for path in folder.glob(".*.tmp") if re.fullmatch(r"\..+\.\d+\.tmp", path.name)]


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Any OSError within names `path`: of a full disk the system does not say which file it was."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


class FolderLock:
    """A folder that no other process writes into while this object lives; a process that dies lets go of it, too."""

    def __init__(self, descriptor: int):
        self.descriptor = descriptor

    def __del__(self):
        os.close(self.descriptor)


_locks: WeakValueDictionary[tuple[int, int], FolderLock] = WeakValueDictionary()  # of this process, by device and inode


def lock_folder(folder: Path, wait: bool = False) -> FolderLock:
    """Keep other processes from writing into `folder`, which must exist, for as long as what is returned is kept.

    The lock is advisory and leaves no file; a process may take the same one again. While another process has it, this
    one waits or raises UserError.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    status = os.fstat(descriptor)
    key = (status.st_dev, status.st_ino)
    lock = _locks.get(key)
    if lock is not None:
        os.close(descriptor)
        return lock
    _locks[key] = lock = FolderLock(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as error:
        del _locks[key]
        raise UserError(f"another process is writing into {folder}: wait for it, or give another folder") from error
    except OSError:  # a file system without locks
        pass
    return lock
