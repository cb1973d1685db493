"""README and docs: links lead somewhere, and every command is one that the programs' own parsers accept."""

import importlib
import re
import shlex

import pytest

from experiments.__main__ import EXPERIMENTS
from experiments.documents import MARKS
from experiments.rows import ROOT
from runtime.command_line import from_command_line
from training.config import parse_command_line

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "weights" / "README.md",
    *(ROOT / "docs").glob("*.md"),
]
COMMAND = r"(?:\w+=\S+ )*(?:bash scripts/|(?:\.venv/bin/)?python -m )"
PLACEHOLDER = re.compile(r"RECIPE|NAME|\[|…")
MODULES = {"prepare": "data.prepare", "report": "report.build"}  # of scripts that hand on all their words
MODULES |= {name: f"inference.{name}" for name in ("generate_faces", "generate_digits", "reconstruct_faces")}
FOLDERS = {"generate_faces": ["--out"], "generate_digits": ["--out"], "reconstruct_faces": ["--images", "--out"]}


def commands_of(text):
    """The commands in blocks of code and between backticks, as words."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    inline = re.findall(rf"`({COMMAND}[^`]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for line in (*lines, *inline):
        if re.match(COMMAND, line) and not PLACEHOLDER.search(line):
            yield [word for word in shlex.split(line, comments=True) if not re.fullmatch(r"[A-Z_]+=\S+", word)]


def check(words):
    """Raise, or exit as the command would, for words that it does not accept."""
    if words[0] == "bash":
        script = ROOT / words[1]
        assert script.exists(), words
        name, words = script.stem, words[2:]
        if name == "reproduce":
            assert words[0] in EXPERIMENTS
            return
        if name.startswith("train_"):
            parse_command_line(importlib.import_module(name).RECIPES, words)
            return
        if name not in MODULES or not words:  # a script alone is only spoken of
            return
        places = FOLDERS.get(name, [])
        words = [word for pair in zip(places, words, strict=False) for word in pair] + words[len(places) :]
        module = MODULES[name]
        if places and "--weights" not in words:
            words += ["--weights", "w"]
    else:
        module, words = words[2], words[3:]
    if module == "experiments":
        assert words[0] in (*EXPERIMENTS, "tables")
        return
    file = ROOT / module.replace(".", "/")  # a package is run by its __main__
    from_command_line(importlib.import_module(f"{module}.__main__" if file.is_dir() else module).Config, words)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_are_accepted(path):
    for words in commands_of(re.sub(MARKS, "", path.read_text())):  # written tables name recipes as they are
        try:
            check(words)
        except SystemExit as end:
            pytest.fail(f"{path.name}: {shlex.join(words)} ends with {end}")


def test_commands_are_found_and_wrong_ones_noticed():
    text = (
        "`bash scripts/train_dcgan.sh dcgan`\n```bash\nA=1 python -m metrics.faces OUT \\\n  --reference x  # why\n```"
    )
    assert list(commands_of(text)) == [
        ["python", "-m", "metrics.faces", "OUT", "--reference", "x"],
        ["bash", "scripts/train_dcgan.sh", "dcgan"],
    ]
    with pytest.raises(SystemExit):
        check(["bash", "scripts/train_dcgan.sh", "dcgan", "--no-such-option"])
    with pytest.raises(SystemExit):
        check(["python", "-m", "metrics.faces", "OUT"])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_that_are_named_are_there(path):
    for name in re.findall(r"`(\w+(?:/\w+)*\.py)`", path.read_text()):
        assert (ROOT / name).is_file(), f"{path.name} names {name}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?://)([^)#]+)[^)]*\)", path.read_text()):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"
