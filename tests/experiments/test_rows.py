"""The rows of all experiments are runs that the training scripts know, and numbers that a report states."""

import re

import pytest

from experiments import digits, results
from experiments.__main__ import EXPERIMENTS
from experiments.documents import TABLES
from experiments.reported import BOUNDS, best, of_system, reported
from experiments.rows import module_of, script_of, scripts
from models.diffusion import Diffusion
from models.edm import EDM
from runtime.errors import UserError
from training.config import parse_command_line

ROWS = {name: list(rows()) for name, rows in EXPERIMENTS.items()}


def test_every_table_has_an_experiment():
    assert set(EXPERIMENTS) <= set(TABLES)
    for table in TABLES.values():
        assert table.experiment in (*EXPERIMENTS, "") and set(table.sources) <= set(TABLES)


@pytest.mark.parametrize("name", ROWS)
def test_the_training_scripts_know_every_option(name):
    """Of rows that differ in domains, seeds and numbers alone, one."""
    kinds = {}
    for row in ROWS[name]:
        for full in (False, True):
            words = row.training(full)
            kinds[tuple(word for word in words if word.startswith("--")), row.recipe] = words
    for (_, recipe), words in kinds.items():
        module = module_of(recipe)
        config = parse_command_line(module.RECIPES, list(words))
        assert config.recipe == recipe


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_one_name_are_one_run(name):
    for full in (False, True):
        runs = {row.name(full): (row.training(full), row.scores, row.voters) for row in ROWS[name]}
        for row in ROWS[name]:
            assert runs[row.name(full)] == (row.training(full), row.scores, row.voters)
            assert len(row.name(full)) < 200


@pytest.mark.parametrize("name", ["adamatch", "report-001"])
def test_what_votes_is_made_by_rows_of_the_same_scenario(name):
    made = {row.name(True) for row in ROWS[name] if not row.voters}
    votes = [row for row in ROWS[name] if row.voters]
    assert votes and all(voter.name(True) in made for row in votes for voter in row.voters)
    for row in votes:
        assert {voter.options for voter in row.voters} == {row.options} and len(row.voters) == len(set(row.voters)) > 2


def test_every_script_is_found_and_no_other():
    assert {"train_dcgan.py", "train_vae.py", "train_acgan.py", "train_ddpm.py", "train_dann.py"} <= {
        *scripts().values()
    }
    with pytest.raises(UserError, match="no training script has the recipe gan: there are"):
        script_of("gan")


@pytest.mark.parametrize("report", ["000", "001", "002", "003", "004"])
def test_each_report_trains_every_system_that_it_states_a_number_of(report):
    """Adaptations in each of its scenarios, with their bounds."""
    rows = ROWS[f"report-{report}"]
    trained = {(row.system or row.recipe) for row in rows}
    for line in reported():
        if line.report == report:
            if line.system in BOUNDS:
                domain = line.scenario.split("-")[line.system == "on target"]
                bounds = [row.options for row in rows if row.recipe.startswith("supervised-")]
                assert f"--source {domain}" in bounds
            else:
                assert line.system in trained
                options = [row.options for row in rows if (row.system or row.recipe) == line.system]
                domains = "--source {} --target {}".format(*line.scenario.split("-")) if line.scenario else ""
                assert any(domains in each for each in options)


LENGTH = re.compile(r"(\d+) (epochs|steps)")


@pytest.mark.parametrize("line", [line for line in reported() if LENGTH.search(line.conditions)], ids=str)
def test_the_full_length_is_the_reported_one(line):
    source, _, target = line.scenario.partition("-")
    system, domains = line.system, f"--source {source} --target {target}" if target else ""
    if system in BOUNDS:
        domains = f"--source {source if system == 'source only' else target}"
        system = f"supervised-{line.conditions.partition(';')[0]}"
    rows = [row for row in ROWS[f"report-{line.report}"] if (row.system or row.recipe) == system]
    words = next(row for row in rows if row.options.startswith(domains)).training(full=True)
    settings = parse_command_line(module_of(words[0]).RECIPES, list(words))
    length, unit = LENGTH.search(line.conditions).groups()
    assert (settings.epochs if unit == "epochs" else settings.max_steps) == int(length)


def test_reported_numbers():
    assert len(reported()) == len(set(reported())) > 55
    assert best("mnistm", "svhn", "source only") == 39 and best("mnistm", "svhn") == 56.16
    assert best("usps", "mnistm") == 68 and best("usps", "mnistm", "dann-cnn") == 61
    assert best("a", "b") is None
    assert [line.value for line in of_system("pixelshuffle")] == ["35.30", "94.6"]
    for line in reported():
        float(line.value)
        assert line.report in ("", "000", "001", "002", "003", "004")


@pytest.mark.parametrize("name", sorted(path.stem for path in results.RESULTS.glob("*.json")))
def test_every_result_is_of_a_recipe(name):
    """And of its length, unless a note, the steps or the command say otherwise."""
    for record in results.load(name):
        recipe = record.get("recipe", record["system"])
        script = module_of(recipe)
        config = script.RECIPES[recipe][1]
        if record["epochs"] and not record.get("note") and "--epochs" not in record.get("command", ""):
            told = re.search(r"--max-steps (\d+)", record["command"]) if "command" in record else None
            most = int(told[1]) if told else config.max_steps
            length = (record["settings"]["steps"], most) if most else (record["epochs"], config.epochs)
            assert length[0] == length[1], record


def test_the_ablation_guides_discrete_times_at_the_noise_levels_of_edm():
    """Both take 17 evaluations of the network."""
    interval, discrete = digits.AS_EDM.guidance_interval, Diffusion(600, "cosine")
    levels = [(1 / discrete.alpha_bar_at(round(600 * share)) - 1) ** 0.5 for share in interval]
    assert levels == pytest.approx(EDM.default_interval, rel=0.1)
    times = discrete.times(digits.AS_EDM)[:-1]
    assert len(times) + sum(interval[0] <= time / 600 <= interval[1] for time in times) == 17
    low, high = EDM.default_interval
    times = EDM(sigma_min=0.02).times(digits.OF_EDM)[:-1]
    assert len(times) + sum(low <= time <= high for time in times) == 17
