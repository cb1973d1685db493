"""Several processes share what is generated and scored; files and scores are those of one."""

import json
import os

import pytest

from models import NETWORKS
from models.weights import save_weights
from runtime import processes
from runtime.processes import alone, own_share

COUNT = 120  # three chunks, which two processes cannot share equally
PROGRAM = """
import json, sys
from contextlib import suppress
from inference import generate_digits, generate_faces
from metrics import digits, faces
from runtime.command_line import from_command_line
from runtime.errors import run_command

def main():
    for name, words in json.loads(sys.argv[1]):
        sys.argv[1:] = words
        module = globals()[name]
        with suppress(SystemExit):  # the second process leaves scores to the first
            module.main(from_command_line(module.Config))

run_command(main)
"""


@pytest.fixture
def generators(tmp_path):
    """Weights files of untrained generators of faces and of digits."""
    paths = []
    arguments = {"latent_size": 8, "width": 8}
    for name in ("dcgan-generator", "acgan28-generator"):
        paths.append(tmp_path / f"{name}.safetensors")
        save_weights(paths[-1], NETWORKS[name](**arguments), name, arguments, {})
    return paths


def commands(out, generators, classifier, reference, inception):
    """Generate and score, into `out`: the name of each command's module, and its words."""
    always = ("--device", "cpu")
    scored = ("--reference", reference, "--inception-weights", inception, "--dims", 64, *always)
    return [
        ("generate_faces", ("--weights", generators[0], "--out", out / "faces", "--count", COUNT, *always)),
        ("generate_digits", ("--weights", generators[1], "--out", out / "digits", "--per-class", 12, *always)),
        ("faces", (out / "faces", *scored, "--json", out / "faces.json")),
        ("digits", (out / "digits", "--classifier", classifier, *scored, "--json", out / "digits.json")),
    ]


def test_two_processes_leave_the_files_and_scores_of_one(
    run,
    root,
    tmp_path,
    generators,
    unet_and_classifier,
    folders,
    weights_to_64,
):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    results = []
    for launcher in ((), ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2)):
        out = tmp_path / f"{len(results)}"
        words = [
            (name, list(map(str, words)))
            for name, words in commands(out, generators, unet_and_classifier[1], folders[1], weights_to_64)
        ]
        environment = {"PYTHONPATH": str(root), "XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
        done = run(*launcher, program, json.dumps(words), env=os.environ | environment)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("HOG face rate") == done.stdout.count("as requested") == 1
        results.append({path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()})
    assert len(results[0]) == 2 * COUNT + 2
    assert results[1] == results[0]


@pytest.mark.parametrize("count", [0, 1, 3, 8])
def test_shares_make_up_the_whole(monkeypatch, count):
    monkeypatch.setattr(processes, "world_size", lambda: 3)
    shares = []
    for number in range(3):
        monkeypatch.setattr(processes, "process_number", lambda number=number: number)
        shares.append(list(own_share(range(count))))
    assert [number for share in shares for number in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_alone_a_process_does_all(monkeypatch):
    monkeypatch.setattr(processes.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(processes.dist, "get_world_size", lambda: 3)
    monkeypatch.setattr(processes.dist, "get_rank", lambda: 1)
    assert list(own_share(range(9))) == [3, 4, 5]
    with alone():
        assert list(own_share(range(9))) == list(range(9))
    assert list(own_share(range(9))) == [3, 4, 5]
