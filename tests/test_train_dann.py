"""`train_dann.py` on toy domains, and what holds for all scripts that adapt."""

import json
import os
import re
import shutil
import signal

import pytest
import torch
from safetensors import safe_open

import train_adamatch
import train_dann
import train_dsn
from data.tables import read_table, write_table
from models import NETWORKS
from runtime.seeds import derived_seed
from tests.made_by_runs import last, log, same_bits
from training.run import TrainingRun

SCRIPTS = (train_dann, train_dsn, train_adamatch)
RECIPES = [name for script in SCRIPTS for name in script.RECIPES if name not in script.VARIANTS]
SHORT = ("--max-steps", 6, "--log-every", 2, "--checkpoint-every", 3)


def test_dann_solves_what_source_only_fails(adapt):
    alone = adapt("supervised", "--max-steps", 100)
    assert last(alone, "source_accuracy") > 0.95
    assert last(alone, "target_accuracy") < 0.7
    options = ("--max-steps", 250, "--lr", 2e-3, "--lr-schedule", "cosine")
    assert last(adapt("dann", *options), "target_accuracy") > 0.9
    # It is the reversed gradient that does it, not batch norm over both domains.
    assert last(adapt("dann", *options, "--domain-weight", 0, "--name", "unreversed"), "target_accuracy") < 0.7


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_leaves_its_run(adapt, recipe):
    folder = adapt(recipe, *SHORT)
    supervised = recipe.startswith("supervised")
    system = recipe if recipe.endswith("dann-cnn") else f"{recipe}-dann-cnn"
    assert folder.name == f"{system}-plain" + ("" if supervised else "-framed")
    losses = [line for line in log(folder) if "class_loss" in line]
    assert [line["step"] for line in losses] == [2, 4, 6]
    names = {"step", "epoch", "seconds", "class_loss"}
    names |= {"domain_loss", "domain_accuracy", "lambda"} if recipe.startswith("d") else set()
    names |= {"confusion"} if recipe == "dann-mcc" else set()
    names |= {"reconstruction_loss", "difference_loss"} if recipe.startswith("dsn") else set()
    if recipe.startswith("adamatch"):
        names |= {"pseudo_loss", "pseudo_weight", "threshold", "mask_rate"}
        names |= {f"{kind}_{digit}" for kind in ("source", "pseudo") for digit in range(10)}
    assert losses[0].keys() == names
    curve = [line for line in log(folder) if "source_accuracy" in line]
    assert [line["step"] for line in curve] == [3, 6] and all(0 <= line["target_accuracy"] <= 1 for line in curve)
    with safe_open(folder / "weights.safetensors", "pt") as file:
        name = "dsn" if recipe.startswith("dsn") else "dann-cnn"
        assert file.metadata()["network"] == f"{name}-classifier"
        assert not any("domain" in key or "private" in key or "decoder" in key for key in file.keys())  # noqa: SIM118
    assert (folder / "samples").exists() == recipe.startswith("dsn")


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ((), [0, 0.7616, 0.9640, 0.9951, 0.9993]),  # tanh(5 p)
        (("--adversarial-start", 0.3), [0, 0, 0.9640, 0.9951, 0.9993]),
        (("--no-ramp", "--adversarial-start", 0.3), [0, 0, 1, 1, 1]),
    ],
)
def test_lambda_over_the_run(adapt, options, values):
    folder = adapt("dann", "--max-steps", 5, "--log-every", 1, "--domain-weight", 0.5, *options)
    found = [line["lambda"] for line in log(folder) if "lambda" in line]
    assert found == pytest.approx([0.5 * value for value in values], abs=1e-4)


def test_alternating_moves_each_part_once_a_step(adapt):
    """Adam's first step moves a weight by the learning rate, whatever the gradient."""
    folder = adapt("dann32", "--max-steps", 1)
    trained = torch.load(folder / "checkpoint.pt")["parts"]["network"]
    torch.manual_seed(derived_seed(999, "weights"))
    initial = NETWORKS["dann-cnn"](width=8)
    for part in ("classifier.feature_extractor", "classifier.label_classifier", "domain_classifier"):
        before = {key: value for key, value in initial.named_parameters() if key.startswith(part)}
        moved = [(trained[key] - value).abs().max() for key, value in before.items()]
        assert max(moved).item() == pytest.approx(1e-3, rel=1e-3), part


@pytest.mark.parametrize(("script", "recipe"), [("train_dann", "dann32"), ("train_adamatch", "adamatch")])
def test_several_processes_train_together(run, root, bar_tree, tmp_path, script, recipe):
    """Two parallel networks share a part in the one; in the other a network is called twice before its gradients."""
    words = (recipe, "--data", bar_tree, "--runs", tmp_path, "--network", "dann-cnn", "--width", 8, "--batch-size", 16)
    words += ("--source", "plain", "--target", "framed", "--device", "cpu", "--max-steps", 2, "--name", "two")
    script = root / "scripts" / f"{script}.sh"
    done = run(script, *words, command=("bash",), cwd=tmp_path, env=os.environ | {"PROCESSES": "2"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done, step 2 of 2") == 1
    assert json.loads((tmp_path / "two" / "config.json").read_text())["processes"] == 2


@pytest.mark.parametrize("recipe", ["dann", "dsn-report", "adamatch-teacher"])
def test_going_on_after_a_stop_changes_nothing(adapt, recipe, monkeypatch):
    options = (*SHORT, "--augment", "strong", "--ema-decay", 0.9)
    whole = adapt(recipe, *options, "--name", "whole")

    def log_and_stop(self, log=TrainingRun.log, **values):
        if self.step == 5:  # between two lines of the log
            os.kill(os.getpid(), signal.SIGINT)
        log(self, **values)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(TrainingRun, "log", log_and_stop)
        adapt(recipe, *options, "--name", "stopped")
    stopped = adapt(recipe, *options, "--name", "stopped", "--resume")
    assert same_bits(whole, stopped)
    untimed = [[{**line, "seconds": 0} for line in log(folder) if line["step"] != 5] for folder in (whole, stopped)]
    assert untimed[0] == untimed[1] and any("class_loss" in line for line in untimed[0] if line["step"] == 6)


@pytest.mark.parametrize(("recipe", "settings"), [("dann", {"threshold": 0.9}), ("dsn", {"ramp": False})])
def test_a_run_of_an_earlier_version_goes_on(adapt, error_of, recipe, settings):
    """With settings of other methods, and with ones that are gone where they changed nothing."""
    folder, other = (adapt(recipe, *SHORT, "--max-steps", 3, "--name", name) for name in ("old", "today's"))
    content = json.loads((folder / "config.json").read_text())
    content["settings"] |= {"rotation": None, **settings}
    (folder / "config.json").write_text(json.dumps(content))
    for run in (folder, other):
        adapt(recipe, *SHORT, "--name", run.name, "--resume")
    assert last(folder, "step") == 6 and same_bits(folder, other)
    content["settings"]["rotation"] = 30.0
    (folder / "config.json").write_text(json.dumps(content))
    line = error_of(lambda: adapt(recipe, "--name", "old", "--resume"))
    assert "was made with --rotation 30.0, which is gone: start anew under another --name" in line


@pytest.mark.parametrize(("script", "method"), [(train_dann, "dann"), (train_dsn, "dsn"), (train_adamatch, "adamatch")])
def test_losses_are_of_float32_where_networks_are_not(adapt, monkeypatch, script, method):
    holder = script.adamatch if method == "adamatch" else script
    loss, seen = getattr(holder, f"{method}_loss"), []

    def record(*arguments):
        seen.append(torch.is_autocast_enabled("cpu"))
        return loss(*arguments)

    monkeypatch.setattr(holder, f"{method}_loss", record)
    adapt(method, "--max-steps", 2, "--precision", "bf16")
    assert seen == [False, False]


def test_settings_of_the_optimizer_may_change_when_going_on(adapt):
    first = adapt("dann", *SHORT, "--max-steps", 3, "--name", "kept")
    shutil.copytree(first, first.with_name("decayed"))
    for name, decay in (("kept", 0), ("decayed", 100)):
        folder = adapt("dann", *SHORT, "--name", name, "--weight-decay", decay, "--resume")
        assert torch.load(folder / "checkpoint.pt")["parts"]["optimizer"]["param_groups"][0]["weight_decay"] == decay
    assert not same_bits(first, first.with_name("decayed"))


@pytest.mark.parametrize("recipe", ["dann", "dsn", "adamatch"])
def test_target_labels_are_never_read(adapt, bar_tree, tmp_path, recipe):
    expected = adapt(recipe, *SHORT, "--name", "expected")
    for change in ("shuffled", "nonsense", "absent"):
        other = tmp_path / change
        shutil.copytree(bar_tree, other)
        for split in ("train", "val"):
            path = other / "digits" / "framed" / f"{split}.csv"
            header, rows = read_table(path)
            names, labels = [row[0] for _, row in rows], [row[1] for _, row in rows]
            if change == "absent":
                write_table(path, ["image_name"], [[name] for name in names])
            elif change == "shuffled" or split == "val":
                write_table(path, header, zip(names, labels[::-1], strict=True))
            else:
                write_table(path, header, [(name, "none") for name in names])
        folder = adapt(recipe, *SHORT, "--name", change, data=other)
        assert same_bits(expected, folder)
        assert any("target_accuracy" in line for line in log(folder)) == (change != "absent")


def test_augmentation_and_seed_change_the_run(adapt):
    plain = adapt("dann", *SHORT, "--name", "plain")
    assert not same_bits(plain, adapt("dann", *SHORT, "--name", "augmented", "--augment", "weak"))
    assert not same_bits(plain, adapt("dann", *SHORT, "--name", "seed", "--seed", 1))


IGNORED = {
    "supervised": ["--domain-weight", "--ramp", "--alternating", "--confusion-weight", "--sample-every"],
    "dann": ["--threshold", "--target-ratio", "--reconstruction-weight", "--rotation", "--sample-every"],
    "dsn": ["--threshold", "--ramp", "--confusion-weight"],
    "adamatch": ["--domain-weight", "--alternating", "--ramp", "--reported-losses", "--sample-every"],
}


@pytest.mark.parametrize(("recipe", "option"), [(recipe, option) for recipe in IGNORED for option in IGNORED[recipe]])
def test_options_of_other_methods_are_refused(adapt, capsys, recipe, option):
    with pytest.raises(SystemExit) as end:
        adapt(recipe, option)
    assert end.value.code == 2 and option in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"target": "plain"}, "--source and --target are both plain: name two domains, or use supervised"),
        ({"target": "none"}, "no domain none in .* \\(it has framed, plain\\)"),
        ({"source": "none"}, "no domain none in .* \\(it has framed, plain\\)"),
        ({"source": ""}, "name the domains, folders under ROOT/digits: --source mnistm --target svhn, say"),
        ({"target": ""}, "name the domains"),
        ({"data": "/no/where"}, "/no/where/digits does not exist"),
    ],
)
def test_wrong_domains_end_in_one_line(adapt, error_of, words, message, tmp_path):
    for recipe in ("dann", "dsn", "adamatch"):
        line = error_of(lambda recipe=recipe: adapt(recipe, *SHORT, **words))
        assert re.search(message, line), line
    assert not (tmp_path / "runs").exists()


def test_wrong_settings_end_in_one_line(adapt, error_of):
    assert "name the domain to learn" in error_of(lambda: adapt("supervised", source="", target=""))
    line = error_of(lambda: adapt("dann", "--batch-size", 1000))
    assert "384 images of plain do not fill a batch of 1000: use a smaller --batch-size" in line
    assert "--batch-size must be at least 8" in error_of(lambda: adapt("dann", "--batch-size", 4))
    for start in (-0.1, 1):
        line = error_of(lambda start=start: adapt("dann", "--adversarial-start", start))
        assert line == "error: --adversarial-start must be at least 0 and below 1"
    for option in ("--weight-decay", "--domain-weight", "--confusion-weight"):
        line = error_of(lambda option=option: adapt("dann", option, -1))
        assert line == f"error: {option} must be at least 0"
    for lr in (-1, 0):
        assert "--lr must be above 0" in error_of(lambda lr=lr: adapt("dann", "--lr", lr))
    assert "--width at least 4" in error_of(lambda: adapt("dann", "--width", 2))


def test_wrong_tables_end_in_one_line(adapt, error_of, bar_tree, tmp_path):
    shutil.copytree(bar_tree, tmp_path / "tree")
    path = tmp_path / "tree" / "digits" / "plain" / "train.csv"
    header, rows = read_table(path)
    write_table(path, ["image_name", "digit"], [row for _, row in rows])
    assert "has no column label" in error_of(lambda: adapt("dann", data=tmp_path / "tree"))
    write_table(path, header, [(rows[0][1][0], 10)])
    assert "line 2: the label is '10', expected an integer from 0 to 9" in error_of(
        lambda: adapt("dann", data=tmp_path / "tree")
    )
