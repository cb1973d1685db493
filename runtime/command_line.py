"""How the words of a command become its settings, and what its `--help` says of them."""

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from itertools import pairwise
from typing import TypeVar, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from runtime.errors import run_command

Kind = TypeVar("Kind")
SHOWN = ConstructorRegistry()


def run_main(main: Callable[[Kind], None], kind: type[Kind]) -> None:
    """Run a command by the settings that its words give: `main` of an instance of `kind`, as `run_command` does."""
    run_command(lambda: main(from_command_line(kind)))


def from_command_line(kind: type[Kind], arguments: Sequence[str] | None = None) -> Kind:
    """The settings, a dataclass, that the words of a command give, by default this program's.

    Its docstring is what `--help` begins with.
    """
    module = sys.modules["__main__"].__spec__  # None where a script is run
    program = module and f"python -m {module.name.removesuffix('.__main__')}"
    paragraphs = inspect.cleandoc(kind.__doc__).split("\n\n")
    with SHOWN:
        return tyro.cli(kind, prog=program, args=arguments, description="\n\n".join(map(in_a_line, paragraphs)))


@SHOWN.struct_rule
def _shown(info: StructTypeInfo) -> StructConstructorSpec | None:
    """How tyro shows a dataclass: as `own_first` orders it, each text without the source's line breaks.

    By itself tyro keeps these: an indented line is one of a list to it.
    """
    if not is_dataclass(info.type):
        return None
    hints, texts = get_type_hints(info.type, include_extras=True), documentation(info.type)

    def shown(field: Field) -> StructFieldSpec:
        if is_dataclass(info.default):
            default = getattr(info.default, field.name)
        elif field.default_factory is not MISSING:
            default = field.default_factory()
        else:
            default = tyro.MISSING if field.default is MISSING else field.default
        return StructFieldSpec(field.name, hints[field.name], default, helptext=texts[field.name])

    return StructConstructorSpec(info.type, tuple(map(shown, own_first(info.type))))


def own_first(kind: type) -> list[Field]:
    """The fields of a dataclass, those that it declares before those of its bases, the nearest base first."""
    declared = {name: place for place, base in enumerate(kind.__mro__) for name in inspect.get_annotations(base)}
    return sorted(fields(kind), key=lambda field: declared[field.name])


@cache
def documentation(kind: type) -> dict[str, str]:
    """The text under each setting of a class and those that it inherits from, in one line."""
    lines = {}
    for base in reversed(kind.__mro__[:-1]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        for field, text in pairwise(definition.body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                lines[field.target.id] = in_a_line(text.value.value)
    return lines


def in_a_line(text: str) -> str:
    """A text without line breaks."""
    return " ".join(text.split())
