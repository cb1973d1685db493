from dataclasses import dataclass, field
from typing import Annotated

import pytest
import tyro

from runtime.command_line import from_command_line
from runtime.settings import Settings


@dataclass(frozen=True)
class Inner:
    scale: float = 1.0
    """A scale whose text
    goes on in a second line."""


@dataclass(kw_only=True)
class Shared(Settings):
    device: str = "auto"
    """Where networks run."""


@dataclass
class Config(Shared):
    """Do something with files
    of one kind.

    A second paragraph.
    """

    files: tyro.conf.Positional[tuple[str, ...]]
    """What to read,
    all of it."""
    count: int = 3
    """How many."""
    names: list[str] = field(default_factory=lambda: ["a"])
    """Names."""
    inner: Annotated[Inner, tyro.conf.arg(name="")] = field(default_factory=lambda: Inner(0.5))
    """Something within."""


def test_words_become_settings():
    assert from_command_line(Config, ["x", "y"]) == Config(("x", "y"))
    words = ["x", "--count", "4", "--device", "cpu", "--scale", "2", "--names", "b", "c"]
    assert from_command_line(Config, words) == Config(("x",), 4, ["b", "c"], Inner(2.0), device="cpu")


def test_help_has_paragraphs_and_a_commands_own_settings_first(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        from_command_line(Config, ["--help"])
    said = capsys.readouterr().out
    assert "Do something with files of one kind.\n\nA second paragraph.\n" in said
    assert "What to read, all of it." in said
    assert "A scale whose text goes on in a second line. (default: 0.5)" in said
    assert said.index("--count") < said.index("--names") < said.index("--device")
