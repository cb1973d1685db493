"""A disk that is full, or read-only, when something is written: one line, and what was there before stays whole."""

import json
import os
import shutil
import subprocess
from contextlib import contextmanager

import pytest
import torch

from experiments.__main__ import EXPERIMENTS
from models import NETWORKS
from models.weights import save_weights
from tests.faults.commands import call
from tests.faults.conftest import files_under
from tests.faults.recipes import small, state, write_data, write_pictures, write_usps
from tests.report.made_runs import FACES, write_run

KIND = "full disk"
PAGE = 4096
STATE = ("checkpoint.pt", "weights.safetensors")
TRAINED = ("train_acgan", "acgan28")  # it leaves sample grids, too


class Disk:
    """A file system of sixteen megabytes."""

    def __init__(self, folder):
        self.folder, self.filler = folder, folder / "filler"

    @property
    def free(self):
        status = os.statvfs(self.folder)
        return status.f_bavail * status.f_frsize

    @contextmanager
    def full(self, left=0):
        """Within, no more than `left` bytes can be written."""
        self.filler.write_bytes(bytes(max(0, self.free - left)))
        yield
        self.filler.unlink()

    @contextmanager
    def read_only(self):
        """Within, nothing can be written; permission bits would not stop root."""
        subprocess.run(["mount", "-o", "remount,ro", self.folder], check=True)
        yield
        subprocess.run(["mount", "-o", "remount,rw", self.folder], check=True)


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", folder], check=True)  # lazily: locks are let go of with the last run


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Data, a run of four steps, and the same run stopped after two."""
    root = tmp_path_factory.mktemp("full disk")
    write_data(root / "data")
    write_pictures(root / "pictures")
    write_usps(root / "raw")
    for name, steps in (("whole", 4), ("half", 2)):
        assert call(TRAINED[0], *training(root, root / name, steps))[0] == 0
    return root


def training(root, runs, steps=4):
    words = small(*TRAINED, root / "data", runs, "run")
    return [*words, "--max-steps", steps, "--sample-every", 1, "--checkpoint-every", 1, "--keep-every", 2]


def one_line(err):
    """The only line of standard error, beside progress bars."""
    (line,) = (line for line in err.splitlines() if line and "img/s" not in line)
    return line


def test_a_run_is_resumed_once_there_is_room(root, disk, fault, campaign):
    """However much room is left: what cannot be written is named, and the run goes on from its last checkpoint."""
    run, expected = disk.folder / "run", state(root / "whole" / "run")
    assert expected["/step"] == 4
    room = sum(path.stat().st_size for path in (root / "whole").rglob("*") if path.is_file())
    lefts = [*range(0, 6 * PAGE, PAGE), *range(6 * PAGE, room, room // 12)] if campaign else [2 * PAGE, room // 2]
    named = set()
    for begun in (False, True):
        for left in lefts:
            with fault(KIND, f"training {'from the middle' if begun else 'from the start'}, {left} bytes"):
                if begun:
                    shutil.copytree(root / "half" / "run", run)
                before = files_under(run)
                with disk.full(left):
                    status, err = call(TRAINED[0], *training(root, disk.folder), *["--resume"] * begun)
                    assert status in (0, 1), err
                    if status:
                        assert one_line(err).startswith("error: No space left on device: "), err
                        named.add(os.path.basename(one_line(err)).lstrip("0123456789"))
                    whole = json.loads((run / "config.json").read_text()) if (run / "config.json").exists() else {}
                    assert begun <= bool(whole)
                    if begun and status:
                        state(run)  # the former checkpoint, or a later one
                    kept = run / "kept" / "0000002.safetensors"
                    assert not begun or kept.read_bytes() == before[kept]
                assert not list(run.rglob(".*"))
                status, err = call(TRAINED[0], *training(root, disk.folder), *["--resume"] * bool(whole))
                assert status == 0 and state(run) == expected, err
            shutil.rmtree(run, ignore_errors=True)
    assert not campaign or named >= {"config.json", "networks.txt", "metrics.jsonl", ".png", *STATE}


VAES = [("vae", {"latent_size": size, "width": 8}) for size in (4, 8)]
LENETS = [("dann-lenet-classifier", {"width": width}) for width in (4, 8)]
GANS = [("dcgan-generator", {"latent_size": size, "width": 1}) for size in (4, 8)]


@pytest.fixture(scope="module")
def networks(root):
    """Pairs of weights files by the name of their network."""
    torch.manual_seed(0)
    for name, arguments in (*VAES, *LENETS, *GANS):
        path = root / "weights" / f"{name} {len(list(root.glob(f'weights/{name} *')))}.safetensors"
        save_weights(path, NETWORKS[name](**arguments), name, arguments, {})
    return lambda name, number: root / "weights" / f"{name} {number}.safetensors"


def commands(root, networks):
    """Commands that write, and their words by the folder they write into and the number, 0 or 1, of what they write."""
    digits, cpu = root / "whole" / "run" / "weights.safetensors", ("--device", "cpu")

    def generate_digits(out, number):
        words = ("--weights", digits, "--out", out / "digits", "--grid", out / "grid.png")
        return (*words, "--per-class", 2, "--seed", number, *cpu)

    def generate_faces(out, number):
        words = ("--weights", networks("dcgan-generator", number), "--out", out / "faces", "--count", 8)
        return (*words, "--grid", out / "grid.png", *cpu)

    def reconstruct_faces(out, number):
        words = ("--weights", networks("vae", number), "--images", root / "data/face/val", "--out", out / "faces")
        return (*words, "--json", out / "scores.json", "--csv", out / "errors.csv", *cpu)

    def classify_digits(out, number):
        words = ("--weights", networks("dann-lenet-classifier", number), "--images", root / "pictures")
        return (*words, "--csv", out / "labels.csv", *cpu)

    def score_digits(out, number):
        words = (root / "pictures", "--classifier", networks("dann-lenet-classifier", number))
        return (*words, "--json", out / "scores.json", *cpu)

    def prepare(out, number):
        return ("--raw", root / "raw", "--out", out / f"tree {number}", "--parts", "usps")

    def experiment(out, number):
        row = next(iter(EXPERIMENTS["vae"]()))
        folder = root / "experiment" / str(number) / "vae" / row.name(False)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "scores.json").write_text(json.dumps({"recipe": row.recipe, "seed": 1, "mse": number}))
        shutil.copytree(root / "experiment" / str(number), out, dirs_exist_ok=True)
        return ("vae", "--only", row.name(False), "--runs", out)

    def report(out, number):
        runs = root / f"reported {number}"
        if not runs.exists():
            write_run(runs / "dcgan", "dcgan", {"width": 1}, lines=[(1, {"loss": 1.0 + number})], **FACES)
        return ("--runs", runs, "--out", out, *cpu)

    return {
        "inference.generate_digits": generate_digits,
        "inference.generate_faces": generate_faces,
        "inference.reconstruct_faces": reconstruct_faces,
        "inference.classify_digits": classify_digits,
        "metrics.digits": score_digits,
        "data.prepare": prepare,
        "experiments.__main__": experiment,
        "report.build": report,
    }


def relative(folder):
    return {path.relative_to(folder): content for path, content in files_under(folder).items()}


def test_what_commands_wrote_before_stays_whole(root, networks, disk, fault, campaign):
    """Every file is the former or the new one, and pictures of a folder are all of one kind."""
    made = commands(root, networks)
    for name in made if campaign else ("inference.generate_digits", "inference.classify_digits"):
        out, words = disk.folder / "out", made[name]
        for number, folder in ((0, out), (1, root / "new" / name)):
            folder.mkdir(parents=True)
            status, err = call(name, *words(folder, number))
            assert status == 0, err
        former, new = relative(out), relative(root / "new" / name)
        size = sum(map(len, new.values()))
        for left in (0, PAGE, size // 2):
            with fault(KIND, f"{name}, {left} bytes"):
                arguments = words(out, 1)
                with disk.full(left):
                    status, err = call(name, *arguments)
                after = relative(out)
                assert status == 1 or left, err
                assert not status or one_line(err).startswith("error: No space left on device: "), err
                assert former.keys() <= after.keys()
                assert all(content in (former.get(path), new.get(path)) for path, content in after.items())
                for pictures in {path.parent for path in after if len(path.parts) == 2 and path.suffix == ".png"}:
                    members = {path: content for path, content in after.items() if path.parent == pictures}
                    assert members.items() <= former.items() or members.items() <= new.items() or name == "report.build"
                assert call(name, *words(out, 1))[0] == 0
                assert new.items() <= relative(out).items()
            shutil.rmtree(out)
            for path, content in former.items():
                (out / path).parent.mkdir(parents=True, exist_ok=True)
                (out / path).write_bytes(content)
        shutil.rmtree(out)


def test_the_cache_is_done_without(root, disk, fault, monkeypatch):
    for left in (0, 2 * PAGE):
        monkeypatch.setenv("XDG_CACHE_HOME", str(disk.folder))
        with fault(KIND, f"cache, {left} bytes"):
            with disk.full(left):
                status, err = call(TRAINED[0], *training(root, root / f"no cache {left}"))
            assert status == 0, err
            assert state(root / f"no cache {left}" / "run") == state(root / "whole" / "run")
            assert not files_under(disk.folder)


def test_read_only_folders(root, networks, disk, fault, campaign, monkeypatch):
    """What cannot be written is one line; data and cache need not be written."""
    made = commands(root, networks)
    for name in made if campaign else ("inference.classify_digits",):
        out = disk.folder / "out"
        assert call(name, *made[name](out, 0))[0] == 0
        words, former = made[name](out, 1), relative(out)
        with fault("read-only folders", name):
            with disk.read_only():
                status, err = call(name, *words)
            assert status == 1 and one_line(err).startswith("error: ") and "Read-only file system" in one_line(err), err
            assert relative(out) == former
        shutil.rmtree(out)
    with fault("read-only folders", "runs"):
        with disk.read_only():
            status, err = call(TRAINED[0], *training(root, disk.folder))
        assert status == 1 and one_line(err).startswith("error: Read-only file system: "), err
    shutil.copytree(root / "data", disk.folder / "data")
    monkeypatch.setenv("XDG_CACHE_HOME", str(disk.folder))
    with fault("read-only folders", "data and cache"), disk.read_only():
        words = [str(word).replace(str(root / "data"), str(disk.folder / "data")) for word in training(root, root)]
        status, err = call(TRAINED[0], *words)
        assert status == 0 and state(root / "run") == state(root / "whole" / "run"), err
