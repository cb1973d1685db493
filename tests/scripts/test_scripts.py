"""The bash scripts, from another folder, in a repository whose path has spaces."""

import json
import os
import shutil
import sys

import pytest

from models.dcgan import DCGANGenerator
from models.weights import save_weights


@pytest.fixture
def scripts(root, tmp_path):
    """The scripts' folder, reached by a path with spaces."""
    (tmp_path / "a repository").symlink_to(root)
    return tmp_path / "a repository" / "scripts"


@pytest.fixture
def elsewhere(tmp_path):
    """A folder with modules that bear our packages' names."""
    folder = tmp_path / "some where else"
    folder.mkdir()
    for name in ("data", "models", "runtime"):
        (folder / f"{name}.py").write_text("raise AssertionError('found in the working folder')")
    return folder


def test_python_has_the_packages_from_anywhere(run, scripts, elsewhere):
    program = "import data.faces, models, runtime, pathlib; print(pathlib.Path('.').resolve(), models.__file__)"
    done = run("-c", program, command=("bash", scripts / "python.sh"), cwd=elsewhere)
    assert done.stderr == ""
    assert done.stdout.strip() == f"{elsewhere} {scripts.parent}/models/__init__.py"


def test_without_the_packages_a_line_says_how_to_install_them(run, root, elsewhere):
    """In a copy without .venv, with a Python that sees the standard library alone."""
    (elsewhere / "scripts").mkdir()
    shutil.copy(root / "scripts" / "python.sh", elsewhere / "scripts")
    bare = elsewhere / "bin" / "python3"
    bare.parent.mkdir()
    bare.write_text(f'#!/usr/bin/env bash\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    path = {"env": os.environ | {"PATH": f"{bare.parent}{os.pathsep}{os.environ['PATH']}"}}
    done = run("-c", "print(1)", command=("bash", elsewhere / "scripts" / "python.sh"), **path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: the packages are not installed: run bash {elsewhere}/scripts/install.sh\n"


def test_graders_get_a_thousand_faces(run, scripts, elsewhere, root):
    """With other weights than the shipped ones, as these are quick."""
    arguments = {"latent_size": 4, "width": 1}
    save_weights(elsewhere / "my weights", DCGANGenerator(**arguments), "dcgan-generator", arguments, {})
    done = run("new/the faces", "--weights", "my weights", command=("bash", scripts / "hw2_1.sh"), cwd=elsewhere)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(os.listdir(elsewhere / "new" / "the faces")) == [f"{number:04d}.png" for number in range(1000)]


def test_without_a_folder_the_usage_is_shown(run, scripts, elsewhere):
    done = run(command=("bash", scripts / "generate_faces.sh"), cwd=elsewhere)
    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: {scripts}/generate_faces.sh OUT_DIR")


def test_several_processes_train_together(run, scripts, elsewhere, dcgan_command):
    """DCGAN, on relative paths; one process writes and speaks."""
    command = dcgan_command("my runs", "dcgan", "--max-steps", 2, "--log-every", 1)
    environment = os.environ | {"PROCESSES": "2"}
    done = run(*command, command=("bash", scripts / "train_dcgan.sh"), cwd=elsewhere, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done, step 2 of 2") == 1
    folder = elsewhere / "my runs" / "dcgan"
    assert json.loads((folder / "config.json").read_text())["processes"] == 2
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert (folder / "weights.safetensors").exists()
