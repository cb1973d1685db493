import json
import os
import shutil
from pathlib import Path

import pytest

import train_dcgan
from data.tree import write_domain
from runtime import processes
from runtime.errors import UserError
from tests.digit_tree import write_digit_domain
from tests.toy_domains import bars
from training.config import parse_command_line

FACES, DIGITS = ("--width", 8, "--latent-size", 8), ("--width", 8)
DOMAINS = ("--source", "plain", "--target", "framed", "--network", "dann32", "--width", 4)
RATE, RATES = ("--lr", 0.01), ("--d-lr", 0.01, "--g-lr", 0.01)
RUNS = {
    "sagan": (*FACES, *RATES, "--loss", "wgan-gp", "--flip", "--checkpoint-every", 2, "--checkpoint-seconds", 1),
    # Groups of eight images share a deviation: each process has one of the two.
    "r3gan": (*FACES, *RATES, "--batch-size", 16, "--penalty-every", 2, "--r1", 0.5),
    "pixelshuffle": (*FACES, *RATES, "--label-flips", 0.3, "--g-steps", 2),
    "vae": (*FACES, *RATE, "--flip", "--kl-weight", 0.1, "--no-linear-start"),
    "acgan28": (*DIGITS, *RATES, "--latent-size", 8, "--fake-class-weight", 0.5),
    "context-unet": (*DIGITS, *RATE, "--label-dropout", 0.5, "--max-gradient-norm", 0.5, "--sample-steps", 4),
    "edm": (*DIGITS, *RATE, "--sample-steps", 2),
    "consistency": (*RATE, "--substeps", 2, "--warmup-steps", 0),
    "dann": (*DOMAINS, *RATE, "--augment", "strong", "--no-ramp"),
    "dann32": (*DOMAINS, *RATE, "--balanced"),
    # Losses that compare the features or the predictions of a batch.
    "dann-mcc": (*DOMAINS, *RATE, "--adversarial-start", 0, "--no-ramp"),
    "dsn": (*DOMAINS, *RATE, "--difference-weight", 0.5, "--adversarial-start", 0),
    "dsn-report": (*DOMAINS, *RATE),
    "adamatch-teacher": (*DOMAINS, *RATE, "--threshold", 0.9, "--pseudo-ramp", 0),
}
STEPS = 3


@pytest.fixture(scope="module")
def one_and_two(run, machine, root, faces, tmp_path_factory):
    """Where one process and where two, on two machines, have done all these runs."""
    data = tmp_path_factory.mktemp("data")
    shutil.copytree(faces, data / "face" / "train")
    shutil.copytree(faces, data / "face" / "val")
    write_digit_domain(data)
    write_domain(data / "digits" / "plain", *bars(0, 0, count=60))
    write_domain(data / "digits" / "framed", *bars(3, 1, count=60))
    always = ("--data", data, "--batch-size", 8, "--max-steps", STEPS, "--log-every", 1, "--device", "cpu")
    script, environment = (
        Path(__file__).parents[1] / "training" / "without_dropout.py",
        os.environ | {"PYTHONPATH": str(root)},
    )
    folders = []
    for name in ("one", "two"):
        folders.append(tmp_path_factory.mktemp(name))
        here = (*always, "--precision", "float32", "--runs", folders[-1])
        runs = [[str(word) for word in (recipe, *here, "--name", recipe, *RUNS[recipe])] for recipe in RUNS]
        runs[list(RUNS).index("consistency")] += ["--teacher", str(folders[0] / "edm" / "weights.safetensors")]
        if name == "one":
            done = run(script, json.dumps(runs), env=environment)
            status, errors, said = done.returncode, done.stderr, done.stdout
        else:
            machines = [machine(rank, script, json.dumps(runs)) for rank in range(2)]
            (said, errors), silent = (process.communicate(timeout=600) for process in machines)
            status = machines[0].returncode or machines[1].returncode
            assert silent[0] == ""
        assert status == 0, errors
        assert said.count(f"done, step {STEPS} of {STEPS}") == len(RUNS)
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
        for name in line:
            assert other[name] == pytest.approx(line[name], rel=1e-4, abs=1e-5), name


def assert_close(actual, expected):
    """Weights agree to a hundredth of the rate at which they move."""
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert (actual[name] - value).abs().max() < 1e-4, name


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


def test_processes_that_differ_are_refused(monkeypatch):
    monkeypatch.setattr(processes.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(processes, "of_all", lambda value: [value, value])
    processes.check_agreement("settings", lambda: {"lr": 1e-3})
    monkeypatch.setattr(processes, "of_all", lambda value: [value, {"lr": 2e-3}])
    with pytest.raises(UserError, match="process 1 has other settings than the first: start all processes alike"):
        processes.check_agreement("settings", lambda: {"lr": 1e-3})


def test_processes_that_srun_started_apart_are_refused(monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    with pytest.raises(UserError, match=r"would work apart: use sbatch scripts/train.slurm"):
        processes.join_processes("cpu")


@pytest.mark.parametrize("name", ["TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"])
def test_what_is_started_again_resumes_by_itself(monkeypatch, dcgan_command, tmp_path, name):
    (tmp_path / "dcgan").mkdir()
    command = dcgan_command(tmp_path, "dcgan", "--seed", 5)
    settings = parse_command_line(train_dcgan.RECIPES, command)
    (tmp_path / "dcgan" / "config.json").write_text(json.dumps({"settings": settings.to_json()}))
    monkeypatch.setenv(name, "1")
    assert parse_command_line(train_dcgan.RECIPES, command).resume
    assert not parse_command_line(train_dcgan.RECIPES, [*command, "--name", "another"]).resume
