import json
import os
import shutil
from pathlib import Path

import pytest

from data.tree import write_domain
from runtime import processes
from runtime.errors import UserError
from tests.digit_tree import write_digit_domain
from tests.toy_domains import bars

TWO_PROCESSES = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2)


FACES, DIGITS = ("--width", 8, "--latent-size", 8), ("--width", 8)
DOMAINS = ("--source", "plain", "--target", "framed", "--network", "dann32", "--width", 4)
RATE, RATES = ("--lr", 0.01), ("--d-lr", 0.01, "--g-lr", 0.01)
RUNS = {
    "sagan": (*FACES, *RATES, "--loss", "wgan-gp", "--flip"),
    # Groups of eight images share a deviation: each process has one of the two.
    "r3gan": (*FACES, *RATES, "--batch-size", 16, "--penalty-every", 2, "--r1", 0.5),
    "pixelshuffle": (*FACES, *RATES, "--label-flips", 0.3, "--g-steps", 2, "--d-steps", 2),
    "vae": (*FACES, *RATE, "--flip", "--kl-weight", 0.1, "--no-linear-start"),
    "acgan28": (*DIGITS, *RATES, "--latent-size", 8, "--fake-class-weight", 0.5),
    "context-unet": (*DIGITS, *RATE, "--label-dropout", 0.5, "--max-gradient-norm", 0.5, "--sample-steps", 4),
    "edm": (*DIGITS, *RATE, "--sample-steps", 2),
    "consistency": (*RATE, "--substeps", 2, "--warmup-steps", 0),
    "dann": (*DOMAINS, *RATE, "--augment", "strong", "--no-ramp"),
    "dann32": (*DOMAINS, *RATE, "--balanced"),
    # The difference loss compares the features of a batch; alignment and the relative threshold, its predictions.
    "dsn": (*DOMAINS, *RATE, "--difference-weight", 0, "--adversarial-start", 0),
    "adamatch": (*DOMAINS, *RATE, "--no-alignment", "--no-relative-threshold", "--threshold", 0.11, "--pseudo-ramp", 0),
}
OF_A_BATCH = {"confusion", "difference_loss"}  # what each process measures in its own share
STEPS = 3


@pytest.fixture(scope="module")
def one_and_two(run, root, faces, tmp_path_factory):
    """Where one process and where two processes have done all these runs."""
    data = tmp_path_factory.mktemp("data")
    shutil.copytree(faces, data / "face" / "train")
    shutil.copytree(faces, data / "face" / "val")
    write_digit_domain(data)
    write_domain(data / "digits" / "plain", *bars(0, 0, count=60))
    write_domain(data / "digits" / "framed", *bars(3, 1, count=60))
    always = ("--data", data, "--batch-size", 8, "--max-steps", STEPS, "--log-every", 1, "--device", "cpu")
    script, environment = (
        Path(__file__).parents[1] / "training" / "without_batch_norm.py",
        os.environ | {"PYTHONPATH": str(root)},
    )
    folders = []
    for name, launcher in (("one", ()), ("two", TWO_PROCESSES)):
        folders.append(tmp_path_factory.mktemp(name))
        here = (*always, "--precision", "float32", "--runs", folders[-1])
        runs = [[str(word) for word in (recipe, *here, "--name", recipe, *RUNS[recipe])] for recipe in RUNS]
        runs[list(RUNS).index("consistency")] += ["--teacher", str(folders[0] / "edm" / "weights.safetensors")]
        done = run(*launcher, script, json.dumps(runs), env=environment)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(f"done, step {STEPS} of {STEPS}") == len(RUNS)
    return folders


@pytest.mark.parametrize("recipe", RUNS)
def test_two_processes_do_what_one_does(one_and_two, state, recipe):
    folders = [folder / recipe for folder in one_and_two]
    assert [json.loads((folder / "config.json").read_text())["processes"] for folder in folders] == [1, 2]
    one, two = map(state, folders)
    for name, part in one["checkpoint"]["parts"].items():
        if "optimizer" not in name:
            assert_close(two["checkpoint"]["parts"][name], part)
    assert_close(two["weights"], one["weights"])
    for line, other in zip(one["log"], two["log"], strict=True):
        for name in line.keys() - OF_A_BATCH:
            assert other[name] == pytest.approx(line[name], rel=1e-4, abs=1e-5), name


def assert_close(actual, expected):
    """Weights agree to a five-hundredth of the rate at which they move."""
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert (actual[name] - value).abs().max() < 2e-5, name


def test_alone_the_whole_batch_is_ours():
    assert processes.world_size() == 1
    assert processes.is_first()
    assert processes.share_of(6) == slice(0, 6)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_every_process_takes_its_share_of_a_batch(monkeypatch, rank):
    monkeypatch.setattr(processes, "world_size", lambda: 3)
    monkeypatch.setattr(processes, "process_number", lambda: rank)
    assert list(range(6))[processes.share_of(6)] == [2 * rank, 2 * rank + 1]
    with pytest.raises(UserError, match="--batch-size 8 cannot be shared by 3 processes: use a multiple of 3"):
        processes.share_of(8)
    with pytest.raises(UserError, match="--batch-size 3 is one picture for each process: use 6 or more"):
        processes.share_of(3)
