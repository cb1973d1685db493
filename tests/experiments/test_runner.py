"""The runner, on commands that take no time: what it skips, resumes, survives, and runs at once."""

import asyncio
import json
import os
import sys

import pytest
import torch

from experiments import __main__ as runner
from experiments import results
from experiments.rows import Row, Task, task_of


@pytest.fixture
def task(tmp_path):
    """Make a task of the name that runs a line of Python, with its folder as `folder`, as its only command."""

    def task(name, program, voting=False):
        folder = tmp_path / "runs" / name
        start = f"import os, sys, time; from pathlib import Path; folder = Path({str(folder)!r}); "
        return Task(folder, (sys.executable, "-c", start + program), (), voting)

    return task


@pytest.fixture
def logs(tmp_path):
    """The folder of logs."""
    return tmp_path / "logs"


def make_all(*arguments):
    return asyncio.run(runner.make_all(*arguments))


SCORE = "folder.mkdir(parents=True, exist_ok=True); (folder / 'scores.json').write_text(' '.join(sys.argv[1:])); "


def test_what_has_its_scores_is_left_alone(task, logs):
    done = task("done", "raise SystemExit('run again')")
    done.folder.mkdir(parents=True)
    (done.folder / "scores.json").touch()
    missing = task("missing", SCORE)
    assert make_all([done, missing], 1, logs) == []
    assert os.listdir(logs) == ["missing.log"] and (missing.folder / "scores.json").read_text() == ""


def test_what_was_stopped_goes_on(task, logs):
    stopped = task("stopped", SCORE)
    stopped.folder.mkdir(parents=True)
    (stopped.folder / "config.json").touch()
    assert stopped.state == "stopped"
    assert make_all([stopped], 1, logs) == []
    assert (stopped.folder / "scores.json").read_text() == "--resume" and stopped.state == "scored"


def test_others_go_on_after_a_failure(task, logs, capsys):
    failing, good = task("failing", "print('error: no such data'); sys.exit(1)"), task("good", SCORE)
    assert make_all([failing, good], 1, logs) == [failing]
    assert good.state == "scored"
    assert "failing: failed, error: no such data" in capsys.readouterr().out
    assert "error: no such data" in (logs / "failing.log").read_text()
    assert make_all([failing, good], 1, logs) == [failing]
    assert (logs / "failing.log").read_text().count("\nerror: no such data\n") == 2  # logs are added to


def test_scoring_waits_for_training(task, logs, tmp_path):
    run = task("run", "folder.mkdir(parents=True); (folder / 'weights').touch()")
    score = f"from pathlib import Path; f = Path({str(run.folder)!r}); (f / 'weights').rename(f / 'scores.json')"
    run = Task(run.folder, run.train, ((sys.executable, "-c", score),))
    assert make_all([run], 1, logs) == [] and run.state == "scored"
    failing = Task(tmp_path / "other", (sys.executable, "-c", "raise SystemExit(1)"), run.score)
    assert make_all([failing], 1, logs) == [failing]
    assert (logs / "other.log").read_text().count("$ ") == 1  # what was not trained is not scored


def test_jobs_run_at_once(task, logs):
    """Each of two waits for the other."""
    wait = "folder.mkdir(parents=True); end = time.time() + 20\nwhile not (folder.parent / {!r}).exists():\n"
    wait += "    time.sleep(0.01)\n    if time.time() > end: sys.exit(1)\n(folder / 'scores.json').touch()"
    one, two = task("one", wait.format("two")), task("two", wait.format("one"))
    assert make_all([one, two], 2, logs) == []


def test_every_job_has_a_gpu_of_its_own(task, logs, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    see = "print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); (folder.parent / ('seen-' + folder.name)).touch(); "
    see += "end = time.time() + 20\nwhile len(list(folder.parent.glob('seen-*'))) < 2 and time.time() < end:\n"
    see += "    time.sleep(0.01)\n"
    see = "folder.parent.mkdir(parents=True, exist_ok=True); " + see
    tasks = [task(name, see) for name in ("one", "two")]
    assert make_all(tasks, 2, logs) == []
    assert {(logs / f"{name}.log").read_text().splitlines()[-1] for name in ("one", "two")} == {"3", "5"}


def test_runs_vote_once_they_are_there(task, logs):
    vote = task("vote", "assert (folder.parent / 'voter' / 'scores.json').exists()", voting=True)
    assert make_all([vote, task("voter", SCORE)], 1, logs) == []


def test_the_commands_of_a_row(tmp_path):
    row = Row("dcgan", scores=("metrics.faces {run}/generated --dims {dims}",), full="--epochs 9", short="--epochs 2")
    places = {"runs": tmp_path / "my runs", "data": tmp_path / "my data", "dims": 64, "classifier": "C.pth"}
    task = task_of(row, False, ("--lr", "0.1"), **places)
    assert task.folder == tmp_path / "my runs" / "dcgan-epochs-2-seed-999-lr-0.1"
    words = ["dcgan", "--epochs", "2", "--seed", "999", "--lr", "0.1", "--data", str(tmp_path / "my data")]
    assert list(task.train[3:]) == [*words, "--runs", str(tmp_path / "my runs"), "--name", task.folder.name]
    assert task.train[2].endswith("train_dcgan.py")
    assert task.score[0][2:] == ("-m", "metrics.faces", f"{task.folder}/generated", "--dims", "64")
    assert task_of(row, True, (), **places).folder.name == "dcgan-epochs-9-seed-999"
    vote = Row("dann", "--augment off", scores=("metrics.adaptation {voters} --out {run}/s",), voters=(row, row))
    task = task_of(vote, True, (), **places)
    voter = str(tmp_path / "my runs" / "dcgan-epochs-9-seed-999")
    assert task.voting and task.train == () and list(task.score[0][4:6]) == [voter, voter]


@pytest.fixture
def experiment(monkeypatch, tmp_path):
    """Run an experiment of three rows, two of which are one, with a stand-in for the training script."""
    script = tmp_path / "train.py"
    script.write_text(
        "import json, sys; from pathlib import Path; options = dict(zip(sys.argv[2::2], sys.argv[3::2]))\n"
        "folder = Path(options['--runs'], options['--name']); folder.mkdir(parents=True)\n"
        "seed = int(options['--seed']); print('training', seed)\n"
        "if seed == 3: sys.exit('error: broken')\n"
        "settings = {'recipe': sys.argv[1], 'seed': seed, 'lr': options.get('--lr', 1)}\n"
        "config = {'recipe': sys.argv[1], 'settings': settings, 'total_steps': 10, 'steps_per_epoch': 5}\n"
        "(folder / 'config.json').write_text(json.dumps(config))\n"
        "(folder / 'scores.json').write_text(json.dumps({'dims': 64, 'fid': seed}))\n"
    )
    monkeypatch.setattr("experiments.rows.script_of", lambda recipe: script)
    monkeypatch.setattr(results, "RESULTS", tmp_path / "committed")
    seeds = [1, 2, 1]
    rows = {"faces": lambda: [Row("toy", seed=seed, short="--epochs 1") for seed in seeds]}
    monkeypatch.setattr(runner, "EXPERIMENTS", rows)

    def experiment(*overrides, name="faces", **options):
        runner.main(runner.Config(name, runs=tmp_path / "runs", **options), overrides)

    experiment.seeds = seeds
    return experiment


def test_equal_rows_are_made_once_and_make_a_table(experiment, tmp_path, capsys):
    experiment(record=True)
    runs = tmp_path / "runs" / "faces"
    names = {path.name for path in runs.iterdir()}
    assert names == {"logs", "results.json", "toy-epochs-1-seed-1", "toy-epochs-1-seed-2"}
    assert (runs / "logs" / "toy-epochs-1-seed-1.log").read_text().count("training 1") == 1
    assert "| `toy` | 2 | 1.500 ± 0.707 | 2 |" in capsys.readouterr().out
    committed = json.loads((tmp_path / "committed" / "faces.json").read_text())
    assert [record["scores"] for record in committed] == [{"FID-64": 1}, {"FID-64": 2}]
    experiment()
    assert "begun" not in capsys.readouterr().out
    # Other settings are other runs, and rows of their own.
    experiment("--lr", "0.5", record=True)
    assert len(json.loads((tmp_path / "committed" / "faces.json").read_text())) == 4
    assert (runs / "toy-epochs-1-seed-1-lr-0.5").is_dir()


def test_a_failure_ends_with_status_1_after_the_others(experiment, error_of, tmp_path, capsys):
    experiment.seeds[0] = 3
    line = error_of(experiment)
    assert line == f"error: 1 of 3 rows failed, their logs are in {tmp_path / 'runs' / 'faces' / 'logs'}"
    assert (tmp_path / "runs" / "faces" / "toy-epochs-1-seed-2" / "scores.json").exists()


def test_a_pattern_chooses_rows_and_list_runs_nothing(experiment, tmp_path, capsys):
    experiment(list=True, only="*seed-2")
    assert capsys.readouterr().out.startswith(
        "toy-epochs-1-seed-2: missing, --epochs 1 for CPUs, with --full the recipe's length\n    "
    )
    assert not (tmp_path / "runs").exists()


def test_what_cannot_work_ends_in_one_line(experiment, error_of):
    assert "no experiment other: there are faces, and tables" in error_of(lambda: experiment(name="other"))
    assert "no row fits x*: see --list" in error_of(lambda: experiment(only="x*"))
    assert "--jobs must be at least 1" in error_of(lambda: experiment(jobs=0))


def test_the_command_from_elsewhere(root, run, tmp_path):
    python = ("bash", root / "scripts" / "python.sh", "-m", "experiments")
    done = run("report-000", "--list", "--only", "dcgan*", "--", "--width", 8, command=python, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "dcgan-epochs-25-seed-999-width-8: missing, --epochs 25 for CPUs" in done.stdout
    done = run("dcgan", "--list", command=python, cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("error: no experiment dcgan: there are faces")
