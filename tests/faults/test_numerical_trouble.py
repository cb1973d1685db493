"""Numerical trouble in the middle of a run of every recipe: it ends in one line, or skips the step and counts it."""

import json
from contextlib import contextmanager
from unittest import mock

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.faults.commands import call
from tests.faults.recipes import FIRST, RECIPES, TEACHER, small, write_data
from training.run import TrainingRun

AT = 2  # the step, counted from 0, that the trouble comes in: the first after a checkpoint


def bad_gradient(run):
    """The gradient of every network's first parameter is not a number."""
    networks = [part for part in run.parts.values() if isinstance(part, nn.Module)]
    first = [next((p for p in network.parameters() if p.requires_grad), None) for network in networks]
    return [
        parameter.register_hook(lambda gradient: gradient * torch.nan) for parameter in first if parameter is not None
    ]


def overflow(run):
    """What every network's first layer gives out is more than bfloat16 and float32 can hold."""
    handles = []
    for network in [part for part in run.parts.values() if isinstance(part, nn.Module)]:
        layers = (layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear | nn.ConvTranspose2d))
        handles += [layer.register_forward_hook(lambda _, __, output: output * 1e38 * 1e38) for layer in [*layers][:1]]
    return handles


@contextmanager
def trouble(inject):
    """`inject(run)`, which gives handles that undo it, comes in step AT of any training."""

    def steps(run, steps=TrainingRun.steps):
        for step in steps(run):
            handles = inject(run) if step == AT else []
            yield step
            for handle in handles:
                handle.remove()

    with mock.patch.object(TrainingRun, "steps", steps):
        yield


@contextmanager
def explosion():
    """From step AT on, the learning rate is 1e30."""

    def learning_rate(run, peak, learning_rate=TrainingRun.learning_rate):
        return 1e30 if run.step > AT else learning_rate(run, peak)

    with mock.patch.object(TrainingRun, "learning_rate", learning_rate):
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data tree, and the teacher of what is distilled."""
    root = tmp_path_factory.mktemp("trouble")
    write_data(root / "data")
    assert call(TEACHER[0], *small(*TEACHER, root / "data", root / "runs", "teacher"))[0] == 0
    return root


def is_finite(folder):
    """Whether a run's weights and the parameters in its checkpoint are finite."""
    parts = torch.load(folder / "checkpoint.pt", weights_only=True)["parts"].values()
    values = [value for part in parts for value in part.values() if isinstance(value, torch.Tensor)]
    return all(value.isfinite().all() for value in [*values, *load_file(folder / "weights.safetensors").values()])


def log(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def pytest_generate_tests(metafunc):
    recipes = RECIPES if metafunc.config.getoption("--faults") else FIRST
    metafunc.parametrize(("script", "recipe"), recipes)


SHORT = ("--max-steps", "4")
KIND = "numerical trouble"


def test_trouble_ends_the_run(script, recipe, root, fault, campaign):
    kinds = {"gradient": trouble(bad_gradient)}
    if campaign:
        kinds |= {"bf16": trouble(overflow), "explosion": explosion()}
    for kind, context in kinds.items():
        words = [*small(script, recipe, root / "data", root / "runs", f"{recipe} {kind}"), *SHORT]
        words += ["--precision", "bf16"] * (kind == "bf16")
        with fault(KIND, f"{recipe}, {kind}"), context:
            ended, err = call(script, *words)
            lines = [line for line in err.splitlines() if line.startswith("error: ")]
            assert ended == 1 or (ended == 0 and kind == "explosion"), err  # spectral norm undoes an explosion
            assert not ended or (len(lines) == 1 and "is not a finite number" in lines[0]), err
            assert "Traceback" not in err
            folder = root / "runs" / f"{recipe} {kind}"
            assert is_finite(folder)
            assert torch.load(folder / "checkpoint.pt", weights_only=True)["step"] == (AT if ended else 4)


def test_trouble_is_skipped_and_counted(script, recipe, root, fault, campaign):
    kinds = {"gradient": trouble(bad_gradient)}
    if campaign:
        kinds |= {"bf16": trouble(overflow)}
    for kind, context in kinds.items():
        words = [*small(script, recipe, root / "data", root / "runs", f"{recipe} {kind} skipped"), *SHORT]
        words += ["--skip-bad-updates", "1"] + ["--precision", "bf16"] * (kind == "bf16")
        with fault(KIND, f"{recipe}, {kind} skipped"), context:
            ended, err = call(script, *words)
            assert ended == 0, err
            folder = root / "runs" / f"{recipe} {kind} skipped"
            assert is_finite(folder)
            lines = [line for line in log(folder) if "skipped_updates" in line]
            counted = [line["skipped_updates"] for line in lines]
            assert counted[:AT] == [0] * AT and counted[AT] == counted[-1] >= 1
            assert set(lines[AT]) == {"step", "epoch", "seconds", "skipped_updates"}
