"""Files that are either written whole or not at all."""

import os
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path`, replacing a former file only once the new one is safely on disk.

    Parents are made. Raises OSError (a full disk, no permission) that names `path`, the former file untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename = str(path)  # of a full disk the system does not say which file it was
        raise
    finally:
        temporary.unlink(missing_ok=True)
