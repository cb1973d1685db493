"""Distillation of digits through its script, at a tiny size."""

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import train_distill
from inference.generate_digits import Config
from inference.generate_digits import main as generate_digits
from models import NETWORKS
from models.consistency import Consistency
from models.generator import Sampling
from models.samplers import DiffusionModel
from models.weights import load_weights, save_weights
from tests.digit_tree import write_digit_domain
from training.config import parse_command_line
from training.run import TrainingRun


def make_weights(path, name="residual-unet", **arguments):
    """Weights of a network that minds all its inputs, which a new one does not."""
    torch.manual_seed(0)
    arguments = {"width": 8} | arguments
    network = NETWORKS[name](**arguments)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.1)
    save_weights(path, network, name, arguments, {})
    return path


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_digit_domain(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return make_weights(tmp_path_factory.mktemp("teacher") / "w.safetensors", prediction="edm", sigma_data=0.6)


@pytest.fixture
def train(digits, teacher, tmp_path):
    """Train in this process; gives the run directory."""

    def train(*options):
        always = ("--batch-size", 8, "--substeps", 2, "--log-every", 1, "--device", "cpu", "--precision", "float32")
        words = ("consistency", "--data", digits, "--runs", tmp_path / "runs", "--teacher", teacher, *always, *options)
        config = parse_command_line(train_distill.RECIPES, [str(word) for word in words])
        train_distill.main(config)
        return config.folder

    return train


def test_a_student_is_sampled_like_any_network(train, tmp_path):
    folder = train("--max-steps", 2, "--edges", 80, 2, 0, "--keep-every", 1)
    network, about = load_weights(folder / "weights.safetensors", DiffusionModel)
    assert about["recipe"] == "consistency"
    assert network.diffusion == Consistency(0.6, edges=(80, 2, 0))
    assert [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()] == [1, 2]
    assert Image.open(folder / "samples" / "0000002.png").size == (302, 302)

    images, out = tmp_path / "snapshots.png", tmp_path / "digits"
    generate_digits(Config(folder / "weights.safetensors", out, 1, snapshots=images, device="cpu"))
    assert len(os.listdir(out)) == 10
    page = np.asarray(Image.open(images))
    assert page.shape == (8 * 28 + 16, 3 * (8 * 28 + 8) + 8, 3)  # 80, 2 and 0
    np.testing.assert_allclose(
        page[8:-8, -8 - 224 : -8][::8, ::8].astype(int), np.asarray(Image.open(out / "0_001.png")).astype(int), atol=1
    )


def test_it_begins_with_the_teacher_s_weights_or_a_student_s(train, teacher):
    """With a learning rate of next to nothing, a run ends where it began."""
    still = ("--max-steps", 1, "--lr", 1e-12, "--ema-decay", 0)
    first = load_file(train("--name", "first", *still) / "weights.safetensors")
    assert first.keys() == load_file(teacher).keys()
    for name, value in load_file(teacher).items():
        torch.testing.assert_close(first[name], value, rtol=0, atol=1e-7)
    moved = train("--name", "moved", "--max-steps", 2, "--lr", 0.01, "--warmup-steps", 0) / "weights.safetensors"
    second = load_file(train("--name", "second", "--student", moved, *still) / "weights.safetensors")
    assert any((second[name] - value).abs().max() > 1e-3 for name, value in first.items())
    for name, value in load_file(moved).items():
        torch.testing.assert_close(second[name], value, rtol=0, atol=1e-7)


def test_a_student_has_its_teacher_s_layers_and_last_noise_level(train, tmp_path):
    about = {"prediction": "edm", "sigma_data": 0.6, "direct": True, "sigma_min": 0.1}
    teacher = make_weights(tmp_path / "teacher.safetensors", **about)
    folder = train("--teacher", teacher, "--max-steps", 1, "--lr", 1e-12, "--ema-decay", 0)
    student, _ = load_weights(folder / "weights.safetensors", DiffusionModel)
    assert student.diffusion == Consistency(0.6, 0.1)
    expected = load_file(teacher)
    assert "direct.weight" in expected
    for name, value in student.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-7)


def test_going_on_is_exact(train, monkeypatch):
    options = ("--max-steps", 5, "--checkpoint-every", 2, "--warmup-steps", 2)
    whole = train("--name", "whole", *options)
    log = TrainingRun.log

    def fail(self, **values):
        log(self, **values)
        if self.step == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TrainingRun, "log", fail)
        train("--name", "parts", *options)
    parts = train("--name", "parts", "--resume")
    expected = load_file(whole / "weights.safetensors")
    for name, value in load_file(parts / "weights.safetensors").items():
        assert torch.equal(value, expected[name]), name
    logs = [
        [json.loads(line) | {"seconds": 0} for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (whole, parts)
    ]
    assert logs[0] == logs[1]


def test_guidance_and_its_interval_change_what_is_learnt(train):
    options = ("--max-steps", 1, "--checkpoint-every", 1)
    losses = [
        json.loads((train("--name", name, *options, *more) / "metrics.jsonl").read_text())["loss"]
        for name, more in (
            ("plain", ("--guidance", 1)),
            ("nowhere", ("--guidance", 4, "--guidance-interval", 90, 99)),
            ("guided", ("--guidance", 4)),
        )
    ]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--edges", 80, 1, 6, 0), "edges 80 1 6 0: give noise levels that fall from 80 to 0"),
        (("--edges", 6, 1, 0), "edges 6 1 0: give noise levels that fall from 80 to 0"),
        (("--substeps", 0), "--substeps must be at least 1"),
        (("--guidance", -1), "--guidance must be at least 0"),
        (("--guidance-interval", 5, 0.3), "guidance interval 5.0 0.3: give two noise levels sigma"),
        (("--teacher", "none.safetensors"), "no such weights file: none.safetensors"),
        (("--domain", "svhn"), "no domain svhn in "),
    ],
)
def test_mistakes_end_in_one_line_and_leave_nothing(train, tmp_path, error_of, options, message):
    assert message in error_of(lambda: train(*options))
    assert not (tmp_path / "runs").exists()


def test_teachers_and_students_of_another_kind(train, tmp_path, error_of):
    def message(option, name="residual-unet", **arguments):
        path = make_weights(tmp_path / "other.safetensors", name, **arguments)
        line = error_of(lambda: train(option, path))
        assert not (tmp_path / "runs").exists()
        return line

    assert "'context-unet', but a residual unet is needed" in message("--teacher", "context-unet")
    assert "'acgan64-generator', but a residual unet is needed" in message("--teacher", "acgan64-generator")
    assert "of another process: give a network of train_ddpm.py edm" in message("--teacher", prediction="epsilon")
    assert "of another process: give a network of train_ddpm.py edm" in message("--teacher", prediction="consistency")
    assert "of another process: give a student of train_distill.py" in message("--student", prediction="edm")
    assert "has other layers than the teacher" in message("--student", prediction="consistency", width=4)


def test_steps_and_guidance_that_the_student_was_not_made_for(tmp_path, error_of):
    weights = make_weights(tmp_path / "w.safetensors", prediction="consistency")
    for sampling, message in (
        (Sampling(steps=3), "steps 3: these weights were distilled for 4 steps"),
        (Sampling(guidance=2.0), "guidance is built into these weights"),
    ):
        options = {"sampling": sampling, "device": "cpu", "per_class": 1}
        assert message in error_of(lambda options=options: generate_digits(Config(weights, tmp_path / "o", **options)))
    assert not (tmp_path / "o").exists()
