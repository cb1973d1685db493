"""Every recipe of generating digits through its script, at a tiny size: ACGAN and diffusion."""

import json
import os
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import train_acgan
import train_ddpm
from data.digits import write_labels
from models.diffusion import Diffusion
from models.generator import Generator
from models.weights import load_weights
from tests.digit_tree import write_digit_domain
from training.config import parse_command_line
from training.run import TrainingRun

SCRIPTS = dict.fromkeys(train_acgan.RECIPES, train_acgan) | dict.fromkeys(train_ddpm.RECIPES, train_ddpm)
AVERAGED = {"ema_decay": 0.999, "estimate_batch_norm": True}
# What our recipes change in those of the reports.
OURS = {
    "acgan28-r1": AVERAGED | {"lr_schedule": "cosine", "epochs": 10, "uniform_weight": 0.3, "r1": 0.3},
    "acgan64-r1": AVERAGED
    | {"lr_schedule": "cosine", "epochs": 3, "uniform_weight": 0.6, "uniform_from": 477, "r1": 0.3, "batch_size": 64}
    | {"d_lr": 2e-4, "g_lr": 4e-4, "real_label": 0.9, "class_weight": 4},
    "context-unet-64": AVERAGED
    | {"width": 64, "diffusion_steps": 600, "lr": 5e-4, "lr_schedule": "cosine", "warmup_steps": 300, "epochs": 14},
    "attention-unet-24": {"width": 24, "diffusion_steps": 600, "batch_size": 64, "lr": 2e-3, "epochs": 9}
    | {"max_gradient_norm": 1.0, "ema_decay": 0.998},
}
TINY = {
    train_acgan: ("--width", 4, "--latent-size", 8),
    train_ddpm: ("--width", 8, "--sample-steps", 1, "--guidance", 1),
}
ALWAYS = ("--batch-size", 8, "--log-every", 1, "--device", "cpu", "--precision", "float32")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_digit_domain(tmp_path_factory.mktemp("tree"))


@pytest.fixture
def train(digits, tmp_path):
    """Train in this process; gives the run directory."""

    def train(recipe, *options):
        script = SCRIPTS[recipe]
        steps = ("--diffusion-steps", 4) if recipe.startswith(("context-unet", "attention-unet")) else ()
        words = (recipe, "--data", digits, "--runs", tmp_path / "runs", *TINY[script], *steps, *ALWAYS, *options)
        config = parse_command_line(script.RECIPES, [str(word) for word in words])
        script.main(config)
        return config.folder

    return train


@pytest.mark.parametrize("recipe", OURS)
def test_our_recipes_change_this_and_no_more(recipe):
    recipes = SCRIPTS[recipe].RECIPES
    reported = asdict(recipes[recipe.rpartition("-")[0]][1])
    assert asdict(recipes[recipe][1]) == reported | OURS[recipe]


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("acgan28", ("--lr-schedule", "cosine", "--warmup-steps", 1)),
        ("acgan64", ("--real-label", 0.9, "--class-weight", 2, "--fake-class-weight", 1)),
        ("acgan28", ("--scalar-label", "--class-activation", "softmax")),
        ("acgan64", ("--scalar-label", "--class-activation", "sigmoid", "--g-steps", 2)),
        ("acgan64-r1", ("--uniform-from", 1)),
        ("context-unet", ("--prediction", "v", "--noise-schedule", "cosine", "--max-gradient-norm", 1)),
        ("context-unet-64", ()),
        ("attention-unet", ("--width", 4)),
        ("edm", ()),
        ("edm", ("--prediction", "epsilon", "--fold", 1, "--diffusion-steps", 4)),
    ],
)
def test_recipes_train_and_leave_weights(train, recipe, options):
    folder = train(recipe, "--max-steps", 2, *options)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    network, about = load_weights(folder / "weights.safetensors", Generator)
    assert about["recipe"] == recipe
    assert not isinstance(network.diffusion, Diffusion) or network.diffusion.steps == 4
    if "v" in options:
        assert (network.diffusion.prediction, network.diffusion.schedule) == ("v", "cosine")
    sheet = Image.open(folder / "samples" / "0000002.png")
    assert sheet.size == (10 * 30 + 2, 10 * 30 + 2)


@pytest.mark.parametrize("recipe", ["acgan28-r1", "context-unet-64", "edm"])
def test_going_on_is_exact(train, monkeypatch, recipe):
    """Stopped in its fourth step, a run goes on from its second as if nothing had been; one-cycle needs the total."""
    options = ("--max-steps", 6, "--checkpoint-every", 2, "--lr-schedule", "one-cycle")
    whole = train(recipe, "--name", "whole", *options)

    log = TrainingRun.log

    def fail(self, **values):
        log(self, **values)
        if self.step == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TrainingRun, "log", fail)
        train(recipe, "--name", "parts", *options)
    parts = train(recipe, "--name", "parts", "--resume")

    expected = load_file(whole / "weights.safetensors")
    for key, value in load_file(parts / "weights.safetensors").items():
        assert torch.equal(value, expected[key]), key
    logs = [
        [json.loads(line) | {"seconds": 0} for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (whole, parts)
    ]
    assert logs[0] == logs[1]
    assert (whole / "samples/0000006.png").read_bytes() == (parts / "samples/0000006.png").read_bytes()


def test_a_run_can_begin_with_earlier_weights(train, error_of):
    """With a learning rate of next to nothing, it ends where the earlier one did."""
    earlier = train("edm", "--name", "earlier", "--max-steps", 2, "--lr", 0.01, "--warmup-steps", 0)
    start = ("--start", earlier / "weights.safetensors")
    later = train("edm", "--name", "later", "--max-steps", 1, "--lr", 1e-12, "--ema-decay", 0, *start)
    expected = load_file(earlier / "weights.safetensors")
    for key, value in load_file(later / "weights.safetensors").items():
        torch.testing.assert_close(value, expected[key], rtol=0, atol=1e-7)
    assert "has other layers: start from a network of the same settings" in error_of(
        lambda: train("edm", "--name", "wider", "--width", 10, *start)
    )
    (earlier / "weights.safetensors").unlink()  # a run that goes on has weights of its own
    assert train("edm", "--name", "later", "--resume", "--max-steps", 2) == later


def test_the_uniform_label_loss_sets_in_at_its_step(train):
    """Until then the run is that without it, and then another."""
    options = ("--max-steps", 3, "--checkpoint-every", 2, "--keep-every", 2)
    plain = train("acgan28-r1", "--name", "plain", "--uniform-weight", 0, *options)
    later = train("acgan28-r1", "--name", "later", "--uniform-weight", 1, "--uniform-from", 2, *options)
    before, after = (
        [load_file(folder / name) for folder in (plain, later)]
        for name in ("kept/0000002.safetensors", "weights.safetensors")
    )
    assert all(torch.equal(value, before[1][key]) for key, value in before[0].items())
    assert any(not torch.equal(value, after[1][key]) for key, value in after[0].items())


def test_bf16_is_close_to_float32(train):
    losses = []
    for precision in ("float32", "bf16"):
        folder = train("context-unet", "--max-steps", 1, "--name", precision, "--precision", precision)
        losses.append(json.loads((folder / "metrics.jsonl").read_text())["loss"])
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.03)


@pytest.mark.parametrize(
    ("recipe", "options", "message"),
    [
        ("context-unet", ("--sample-steps", 3), "steps 3 does not divide the 4 steps"),
        ("context-unet", ("--width", 12), "width 12 does not fit this network: give a multiple of 8"),
        ("attention-unet", ("--width", 6), "width 6 does not fit this network: give a multiple of 4"),
        ("context-unet", ("--guidance", -1), "--guidance must be at least 0"),
        ("context-unet", ("--label-dropout", 1.1), "--label-dropout must be from 0 to 1"),
        ("context-unet", ("--diffusion-steps", 0), "--diffusion-steps must be at least 1"),
        (
            "context-unet",
            ("--prediction", "edm"),
            "--prediction edm needs --network residual-unet: context-unet is built",
        ),
        ("context-unet", ("--betas", 0.9, 1), "--betas must be at least 0 and below 1"),
        ("edm", ("--diffusion-steps", 4), "--diffusion-steps acts only with --prediction epsilon or v: leave it out"),
        ("edm", ("--fold", 3), "images of 28 pixels cannot be folded by 3: twice as much must divide them"),
        ("edm", ("--fold", 0), "--fold must be at least 1"),
        ("edm", ("--width", 7), "width 7 does not fit this network: give a multiple of 2"),
        ("edm", ("--width", 2**62), "residual-unet cannot be built so large: give smaller sizes"),
        ("edm-faces", ("--fold", 3), "images of 64 pixels cannot be folded by 3"),
        ("edm-faces", ("--domain", "mnistm"), "--domain acts only with --images digits: leave it out"),
        ("edm", ("--estimate-batch-norm",), "--estimate-batch-norm acts only with --network context-unet"),
        ("edm-faces", (), "--guidance acts only with --images digits: leave it out"),
        ("context-unet", ("--domain", "svhn"), "no domain svhn in "),
        ("context-unet", ("--data", "none"), "no digits in none: "),
        ("acgan28", ("--batch-size", 41), "40 pictures do not fill a batch of 41"),
        ("acgan28", ("--real-label", 0), "--real-label must be above 0 and at most 1"),
        ("acgan28", ("--r1-every", 0), "--r1-every must be at least 1"),
        ("acgan28", ("--g-lr", 0), "--g-lr must be above 0"),
        ("acgan64", ("--width", 0), "--width must be at least 1"),
    ],
)
def test_mistakes_end_in_one_line_and_leave_nothing(train, tmp_path, error_of, recipe, options, message):
    assert message in error_of(lambda: train(recipe, *options))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("damage", ["no nine", "label", "size", "gray"])
def test_bad_data_are_named(train, tmp_path, error_of, damage):
    root = write_digit_domain(tmp_path / "tree")
    folder = root / "digits" / "mnistm"
    picture = folder / "data" / "00003.png"
    match damage:
        case "no nine":
            numbers = [number for number in range(40) if number % 10 != 9]
            names = [f"{number:05d}.png" for number in numbers]
            write_labels(folder / "train.csv", names, [number % 10 for number in numbers])
            expected = f"{folder}/train.csv has no image of 9: every class needs examples"
        case "label":
            (folder / "train.csv").write_text("image_name,label\n00000.png,10\n")
            expected = f"{folder}/train.csv, line 2: the label is '10'"
        case "size":
            Image.new("RGB", (32, 32)).save(picture)
            expected = f"{picture} is 32x32, expected 28x28"
        case "gray":  # taken as it is: USPS is gray throughout
            Image.fromarray(np.full((28, 28), 99, np.uint8)).save(picture)
            train("acgan28", "--data", root, "--max-steps", 1)
            return
    assert expected in error_of(lambda: train("acgan28", "--data", root, "--max-steps", 1))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("recipe", ["acgan28", "context-unet"])
def test_several_processes_train_together(run, root, digits, tmp_path, recipe):
    script = root / "scripts" / f"train_{'acgan' if recipe == 'acgan28' else 'ddpm'}.sh"
    words = (recipe, "--data", digits, "--runs", tmp_path, "--max-steps", 2, *TINY[SCRIPTS[recipe]], *ALWAYS)
    done = run(*words, command=("bash", script), cwd=tmp_path, env=os.environ | {"PROCESSES": "2"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done, step 2 of 2") == 1
    assert json.loads((tmp_path / recipe / "config.json").read_text())["processes"] == 2
