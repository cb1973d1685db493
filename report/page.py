"""What a page is made of, whether it becomes HTML or Markdown.

Texts are plain, but for `words between backticks`, which are shown as code.
"""

import base64
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

TEMPLATES = Path(__file__).parent / "templates"


class Heading(NamedTuple):
    """A heading within a section."""

    title: str


class Note(NamedTuple):
    """What is not shown, and the commands, a line each, that would make it; or what is to be said of a run."""

    text: str
    command: str = ""


class Table(NamedTuple):
    """A table, its first column naming the rows."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


class Picture(NamedTuple):
    """A picture file; the caption says what it shows, also to those who cannot see it."""

    path: Path
    caption: str
    chart: bool
    """A diagram with lettering, which must not be shrunk as a picture may."""
    size: tuple[int, int]
    """Width and height on the page in pixels, of a film those of a frame."""
    webp: bytes
    """What the page shows; of a film all frames, one below another."""
    titles: Sequence[str] = ()
    """A line of text for each frame of a film."""

    @property
    def alt(self) -> str:
        """The caption as plain text."""
        return self.caption.replace("`", "")

    @property
    def data(self) -> str:
        """What the page shows, as a data URI."""
        return f"data:image/webp;base64,{base64.b64encode(self.webp).decode()}"


class Printout(NamedTuple):
    """Preformatted text that is opened on demand."""

    title: str
    text: str


Block = Heading | Note | Table | Picture | Printout


class Section(NamedTuple):
    """A section of the page, with an entry in its table of contents."""

    title: str
    blocks: list[Block]


def render(template: str, title: str, lead: str, sections: Sequence[Section]) -> str:
    """The page by one of the templates, `report.html.j2` or `report.md.j2`."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=template.endswith(".html.j2"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "kind": _kind,
        "code": _code,
        "slug": _slug,
        "cell": _cell,
        "plain": _plain,
        "fence": _fence,
    }
    return environment.get_template(template).render(title=title, lead=lead, sections=sections)


def _kind(block: Block) -> str:
    return type(block).__name__.lower()


def _slug(title: str) -> str:
    """The name of a heading in links."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _code(text: str) -> Markup:
    """Text as HTML, `words` in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _plain(text: str) -> str:
    """Text for a line of Markdown; but for `code`, what would be taken for a tag, emphasis or code is escaped."""
    parts = re.split(r"((?<!`)`[^`]+`(?!`))", text.replace("\n", " "))  # every second part is code
    parts[::2] = [re.sub(r"([`<*_\[\]\\])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def _fence(text: str) -> str:
    """What stands around preformatted text in Markdown: more backticks than there are in it."""
    return "`" * max(3, *(1 + len(run) for run in re.findall("`+", text)), 0)


def _cell(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return _plain(text).replace("|", "\\|")
