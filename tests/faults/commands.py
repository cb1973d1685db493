"""Every command in this process, as from the command line: its status and what it says on standard error."""

import importlib
import io
import re
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

from runtime.command_line import from_command_line
from runtime.errors import run_command
from training.config import parse_command_line

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in [*ROOT.glob("train_*.py"), *ROOT.glob("*/*.py")]
    if re.search(r"^class Config\(.*\):$", path.read_text(), re.MULTILINE)
)
"""The modules of all commands that have settings."""


def main_of(module):
    """What a command does with its settings."""
    return getattr(module, "main", None) or module.prepare


def call(command, *words):
    """The exit status and standard error of `command`, a module, with `words` on its command line."""
    module = importlib.import_module(command)
    words = [str(word) for word in words]

    def main():
        if command.startswith("train_"):
            module.main(parse_command_line(module.RECIPES, words))
        else:
            main_of(module)(from_command_line(module.Config, words))

    out, err = io.StringIO(), io.StringIO()
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        mock.patch.object(sys, "argv", [command, *words]),
        mock.patch.object(sys, "warnoptions", []),
        warnings.catch_warnings(),
    ):
        # pytest keeps warnings for itself; a user would see them.
        warnings.showwarning = lambda *what, **_: err.write(warnings.formatwarning(*what[:4]))
        warnings.resetwarnings()
        try:
            run_command(main)
        except SystemExit as end:
            return end.code or 0, err.getvalue()
        return 0, err.getvalue()
