import errno
import subprocess
import sys

import pytest
import torch

from runtime.errors import UserError, run_command


def failing(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("no such thing: make one"), "error: no such thing: make one"),
        (UserError("a message\nof two lines"), "error: a message of two lines"),
        (OSError(errno.ENOSPC, "No space left on device", "a/file"), "error: No space left on device: a/file"),
        (OSError("no number, no name"), "error: no number, no name"),
        (torch.OutOfMemoryError("CUDA …"), "error: out of memory: use a smaller --batch-size, or"),
        (RuntimeError("CUDA error: out of memory"), "error: out of memory: use a smaller --batch-size, or"),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when"), "error: out of memory: use a smaller --batch-size, or"),
        (MemoryError(), "error: out of memory: use a smaller --batch-size, or"),
    ],
)
def test_errors_of_the_user_end_in_one_line(error_of, error, line):
    assert error_of(failing(error)).startswith(line)


def test_more_memory_than_there_is_ends_in_one_line(error_of):
    assert error_of(lambda: torch.empty(2**60)).startswith("error: out of memory: use a smaller --batch-size, or")


@pytest.mark.parametrize("fault", [ZeroDivisionError, RuntimeError])
def test_faults_of_ours_keep_their_traceback(fault):
    with pytest.raises(fault):
        run_command(failing(fault("shapes do not fit")))


def test_ctrl_c_ends_in_one_word(capsys):
    with pytest.raises(SystemExit) as end:
        run_command(failing(KeyboardInterrupt()))
    assert end.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_command_without_errors_just_ends(capsys):
    run_command(lambda: None)
    assert capsys.readouterr() == ("", "")


def test_output_that_nobody_reads_any_more(root):
    code = "from runtime.errors import run_command; run_command(lambda: [print('line') for _ in range({lines})])"
    for lines in 1, 100_000:  # found at the end, or on the way
        command = [sys.executable, "-c", "import sys; sys.stdin.read(); " + code.format(lines=lines)]
        pipe = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with subprocess.Popen(command, cwd=root, **pipe) as process:
            process.stdout.close()
            process.stdin.close()
            assert process.stderr.read() == b""
        assert process.returncode == 141


def test_a_closed_output_is_none(root):
    code = "from runtime.errors import run_command; run_command(lambda: print('line'))"
    done = subprocess.run(f'{sys.executable} -c "{code}" >&-', shell=True, cwd=root, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")
