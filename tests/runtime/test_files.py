import errno
import os

import pytest

from runtime.files import write_atomically


def test_parents_are_made_and_a_former_file_is_replaced(tmp_path):
    path = tmp_path / "a" / "b c" / "file.bin"
    for content in (b"first", b"second", b""):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert os.listdir(path.parent) == ["file.bin"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_write_leaves_the_former_file_and_nothing_else(tmp_path, monkeypatch, call):
    path = tmp_path / "file.bin"
    path.write_bytes(b"former")

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync" if call == "fsync" else "pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="No space left on device") as error:
        write_atomically(path, b"new")
    assert error.value.filename == str(path)
    assert path.read_bytes() == b"former"
    assert os.listdir(tmp_path) == ["file.bin"]
