"""The quickstart with a Python that only notes what it is asked for: commands are accepted, and none runs twice."""

import importlib
import json
import os
import re
import shutil
import sys
from itertools import permutations

import pytest

from runtime.command_line import from_command_line
from tests.digit_tree import write_digit_domain
from training.config import parse_command_line

# Notes its arguments; fails where one of them is $FAIL_AT; makes the config.json of a training; reads given programs.
PYTHON = f"""#!{sys.executable} -S
import json, os, sys
open("calls.jsonl", "a").write(json.dumps(sys.argv[1:]) + "\\n")
if "--name" in sys.argv:
    folder = f"outputs/quickstart/runs/{{sys.argv[sys.argv.index('--name') + 1]}}"
    os.makedirs(folder, exist_ok=True)
    open(f"{{folder}}/config.json", "w").close()
if sys.argv[1] == "-":
    compile(sys.stdin.read(), "standard input", "exec")
sys.exit(os.environ.get("FAIL_AT") in sys.argv)
"""


@pytest.fixture
def quickstart(root, tmp_path, run):
    """Run the script in a repository without anything else; gives the process and the commands that it ran."""
    (tmp_path / "a clone" / "scripts").mkdir(parents=True)
    folder = tmp_path / "a clone"
    shutil.copy(root / "scripts" / "quickstart.sh", folder / "scripts")
    (folder / "scripts" / "install.sh").write_text("mkdir -p outputs\n")
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)

    def quickstart(fail_at=""):
        calls = folder / "calls.jsonl"
        calls.write_text("")
        environment = {"env": os.environ | {"FAIL_AT": fail_at}}
        done = run(command=("bash", folder / "scripts" / "quickstart.sh"), cwd=tmp_path, **environment)
        return done, [json.loads(line) for line in calls.read_text().splitlines()]

    return quickstart


def test_every_command_is_accepted(quickstart):
    done, calls = quickstart()
    assert (done.returncode, done.stderr) == (0, "")
    minutes, seconds = re.search(r"== 1 of 13, about (\d+):(\d+) left: ", done.stdout).groups()
    assert 60 * int(minutes) + int(seconds) <= 300
    assert done.stdout.count(" left: ") == 13 and "outputs/quickstart/report/report.html" in done.stdout
    *calls, summary = calls
    assert summary == ["-", "outputs/quickstart"]
    assert len(calls) > 13
    for call in calls:
        if call[0] == "-c":
            compile(call[1], "", "exec")
        elif call[0] == "-":
            assert call == ["-", "datasets/embedded", "outputs/quickstart"]
        elif call[0] == "-m":
            from_command_line(importlib.import_module(call[1]).Config, call[2:])
        else:
            parse_command_line(importlib.import_module(call[0].removesuffix(".py")).RECIPES, call[1:])


def test_stopped_and_started_again_it_goes_on(quickstart):
    done, first = quickstart(fail_at="adapted")
    assert done.returncode == 1
    assert done.stderr == "Stopped: bash scripts/quickstart.sh goes on from here.\n"
    assert "adapted" in first[-1] and "--resume" not in first[-1]
    done, second = quickstart()
    assert done.returncode == 0
    assert second[0] == [*first[-1], "--resume"]
    assert not [call for call in second if call in first]
    done, third = quickstart()
    assert (done.returncode, third) == (0, [["-", "outputs/quickstart"]])


def test_shipped_classifiers_of_all_pairs_read_digits(root, tmp_path, run):
    write_digit_domain(tmp_path)
    (tmp_path / "digits" / "mnistm").rename(tmp_path / "digits" / "handwritten")
    script = (root / "scripts" / "quickstart.sh").read_text()
    program = re.search(r"^classify\(\) .*?<<'PYTHON'\n(.*?)^PYTHON$", script, re.MULTILINE | re.DOTALL)[1]
    done = run(command=(sys.executable, "-c", program, tmp_path, tmp_path), cwd=root)
    assert (done.returncode, done.stderr) == (0, "")
    accuracies = json.loads((tmp_path / "adaptation.json").read_text())
    pairs = {name.split(",")[0] for name in accuracies}
    assert pairs == {f"{source} → {target}" for source, target in permutations(("mnistm", "svhn", "usps"), 2)}
    assert all(set(found) == {"before", "after"} for found in accuracies.values())
