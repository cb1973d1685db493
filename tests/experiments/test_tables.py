"""Results over seeds, and the tables made of them, against numbers worked out by hand."""

import json
import re

import pytest

from experiments import documents, results, tables
from experiments.rows import scripts, variants
from runtime.errors import UserError
from training.directory import read_run


def record(system, seed=1, scores=None, **settings):
    return {"system": system, "seed": seed, "settings": settings, "scores": scores or {}, "epochs": 2, "seconds": 90}


def adapted(system, seed, test, val, method="dann", augment="off", steps=5, domain="svhn", **settings):
    settings |= {"method": method, "source": "mnistm", "augment": augment, "steps": steps}
    settings |= {"target": "svhn"} if method != "supervised" else {}
    return record(system, seed, {f"{domain} test": test, f"{domain} val": val}, **settings)


def lines_of(table):
    """Header and lines of a table."""
    return [list(table), *table.to_numpy().tolist()]


def test_only_runs_that_differ_in_their_seed_are_averaged():
    runs = [record("dcgan", seed, {"FID-64": value}, lr=0.1) for seed, value in ((1, 2.0), (2, 3.0))]
    runs += [record("dcgan", 1, {"FID-64": 9.0}, lr=0.2), record("dcgan", 3, {"FID-64": 4.0}, lr=0.1, younger=False)]
    summary = results.summarise(runs)
    assert [line.mean["FID-64"] for line in summary.itertuples()] == [3, 9]
    assert summary["n"][0] == {"FID-64": 3} and summary["std"][0] == {"FID-64": 1}
    assert results.differing(summary) == ["lr"]
    with pytest.raises(UserError, match="two runs of dcgan have the same settings and seed 1: keep one"):
        results.summarise([*runs, runs[0]])


def test_results_that_were_averaged_stay_as_they_are():
    old = record("dann", "1, 2, 3", {"svhn test": 0.5}) | {"runs": 3, "spread": {"svhn test": 0.01}}
    line = next(results.summarise([old]).itertuples())
    assert (line.mean, line.std, line.n) == ({"svhn test": 0.5}, {"svhn test": 0.01}, {"svhn test": 3})
    with pytest.raises(UserError, match="dann has an averaged result beside single ones"):
        results.summarise([old, record("dann", 1, {"svhn test": 0.5})])


def test_systems_stand_beside_what_was_reported():
    runs = [record("dcgan", seed, {"FID-64": fid, "HOG face rate": 0.95}) for seed, fid in ((1, 2.0), (2, 4.0))]
    header, dcgan, sagan = lines_of(tables.systems([*runs, record("sagan", 1, {"FID-64": 1.0}) | {"note": "stopped"}]))
    names = ["system", "epochs", "FID-64 ↓", "HOG face rate % ↑", "runs", "reported", "training"]
    assert header == names
    assert dcgan == ["`dcgan`", "2", "3.000 ± 1.414", "95.0 ± 0.0", "2", "FID-2048 27 (000), IS 2.06 (000)", "90 s"]
    assert sagan == ["`sagan` †", "2", "**1.000**", "", "1", "", "90 s"]


def test_bounds_stand_in_the_rows_of_their_conditions():
    runs = [adapted("dann", 1, 0.4, 0.5), adapted("dann", 2, 0.5, 0.6), adapted("dsn", 1, 0.3, 0.35, "dsn")]
    runs += [adapted("dann", 1, 0.7, 0.65, augment="mixed", steps=9)]
    runs += [adapted("supervised", 1, 0.2, 0.21, "supervised", lr=7), adapted("supervised", 1, 0.9, 0.91, "supervised")]
    runs[-1]["settings"]["source"] = "svhn"
    header, plain, mixed = lines_of(tables.scenarios(runs))
    assert header[:2] == ["scenario", "conditions"]
    assert header[2:6] == ["source only", "`dann`", "`dsn`", "on target"]
    assert plain[:2] == ["MNIST-M → SVHN", "augment off, steps 5"]
    assert plain[2:] == ["20.0 (21.0)", "45.0 ± 7.1 (55.0 ± 7.1)", "30.0 (35.0)", "90.0 (91.0)", "1, 2", "39, 56.16"]
    assert mixed == ["MNIST-M → SVHN", "augment mixed, steps 9", "", "70.0 (65.0)", "", "", "1", "39, 56.16"]


def test_a_part_is_worth_what_equal_seeds_lose_without_it():
    runs = [adapted("adamatch", 1, 0.9, 0.8), adapted("adamatch", 2, 0.8, 0.7)]
    runs += [adapted("without ramp", 1, 0.6, 0.8, ramp=0), adapted("without ramp", 2, 0.7, 0.7)]
    runs += [adapted("without EMA", 3, 0.6, 0.8)]
    runs[3]["settings"]["ramp"] = 0
    header, whole, ramp, ema = lines_of(tables.ablation(runs))
    assert header == ["", "MNIST-M → SVHN", "gain of equal seeds"]
    assert whole == ["adamatch", "85.0 ± 7.1 (75.0 ± 7.1)", ""]
    assert ramp == ["without ramp", "65.0 ± 7.1 (75.0 ± 7.1)", "-20.0 ± 14.1"]
    assert ema == ["without EMA", "60.0 (80.0)", ""]  # no whole run has its seed


def test_a_variant_is_compared_with_the_recipe_that_it_changes():
    systems = {"adamatch": 0.5, "adamatch-no-ramp": 0.4, "adamatch-teacher": 0.7, "adamatch-teacher-no-fading": 0.6}
    lines = lines_of(tables.ablation([adapted(system, 1, test, 0.5) for system, test in systems.items()]))
    assert [line[2] for line in lines[1:]] == ["", "-10.0", "+20.0", "-10.0"]


def test_every_system_has_a_row_with_its_longest_training():
    runs = [record("pixelshuffle", 1, {"FID-64": fid}, steps=steps) for steps, fid in ((2, 3.0), (1, 2.5))]
    runs += [adapted("dsn-report", 1, test, 0.1, steps=steps) for steps, test in ((9, 0.4), (5, 0.5))]
    rows = {line[1].strip("`"): line for line in lines_of(tables.all_systems(runs))[1:]}
    assert set(rows) == {name for name in scripts() if not name.startswith("supervised") and name not in variants()}
    assert rows["pixelshuffle"][:3] == ["002", "`pixelshuffle`", "`bash scripts/train_dcgan.sh pixelshuffle`"]
    assert rows["pixelshuffle"][3:] == ["FID-64 3.000", "FID-2048 35.30, HOG face rate 94.6"]
    assert rows["dsn-report"][2] == "`bash scripts/train_dsn.sh dsn-report --source mnistm --target svhn`"
    assert rows["dsn-report"][3:] == ["MNIST-M → SVHN: accuracy 40.0", "MNIST-M → SVHN: accuracy 52.3"]
    assert rows["dcgan"][0] == "000, 004" and rows["sagan"][3:] == ["", ""]


def test_every_number_of_a_report_has_a_line():
    runs = [adapted("dann32", 1, 0.5, 0.55), adapted("supervised-dann32", 1, 0.3, 0.31, "supervised")]
    runs += [adapted("supervised-dann28", 1, 0.2, 0.21, "supervised")]  # another network's bound
    runs += [record("pixelshuffle", 1, {"FID-768": 0.9, "HOG face rate": 0.9})]
    header, *lines = lines_of(tables.beside_reported(runs, "002"))
    assert header == ["system", "scenario", "metric", "reported", "its conditions", "measured", "epochs"]
    by_place = {(line[0], line[1], line[2]): line for line in lines}
    assert by_place["dann32", "MNIST-M → SVHN", "accuracy"][3:6] == ["56.16", "200 epochs; lambda 0.3", "50.0 (55.0)"]
    assert by_place["source only", "MNIST-M → SVHN", "accuracy"][5] == "30.0 (31.0)"
    assert by_place["on target", "MNIST-M → SVHN", "accuracy"][5] == "not measured"
    assert by_place["pixelshuffle", "", "FID-2048"][5] == "FID-768 0.900"  # named, for it does not compare
    assert by_place["dcgan-long", "", "FID-2048"][5] == "not measured"
    assert len(tables.beside_reported([], "004"))


def test_a_vote_stands_beside_the_number_of_its_network():
    runs = [adapted(system, 1, test, test, steps=2) for system, test in (("dann28", 0.1), ("dann28 ensemble", 0.2))]
    for run in runs:
        run["settings"]["source"] = "usps"
    table = tables.beside_reported(runs, "001").set_index("reported").loc["28.53"]
    assert table["measured"].tolist() == ["10.0 (10.0)", "20.0 (20.0)"]
    assert table["our conditions"].tolist() == ["", "dann28 ensemble"]
    conditions = "30 epochs; four variants vote"
    line = f" `dann28`, USPS → SVHN: accuracy in % reported 28.53 ({conditions}), measured 10.0 (10.0)"
    assert tables.in_a_line(runs[0], "001") == f"{line} on test.csv (val.csv)."
    bound = adapted("supervised-dann32", 1, 0.3, 0.31, "supervised")
    line = " Source only, MNIST-M → SVHN: accuracy in % reported 28.80 (dann32), measured 30.0 (31.0)"
    assert tables.in_a_line(bound, "002") == f"{line} on test.csv (val.csv)."


def test_bounds_of_one_report_are_that_report_s():
    runs = [adapted("dann32", 1, 0.5, 0.5)]
    assert lines_of(tables.scenarios(runs))[1][-1] == "39, 56.16"
    header, line = lines_of(tables.scenarios(runs, report="003"))
    assert header[-1] == "reported in 003: source only, best adapted" and line[-1] == "34.4, 52.3"


def test_the_tables_of_all_documents_are_those_of_the_results():
    """After a change of results or of tables: python -m experiments tables."""
    marks = 0
    for path in documents.documents():
        text = path.read_text()
        assert documents.with_tables(text) == text, f"{path} has a stale table: python -m experiments tables"
        marks += text.count("<!-- table: ")
        assert text.count("<!-- table: ") == len(documents.MARKS.findall(text))
    assert marks > 0


def test_a_run_that_two_reports_have_stands_in_a_table_once(monkeypatch):
    found = {"report-000": [record("dcgan", 999, {"FID-768": 1.5})]}
    found["report-004"] = [*found["report-000"], record("sagan", 999, {"FID-768": 1.25})]
    monkeypatch.setattr(results, "load", lambda name: found.get(name, []))
    text = documents.with_tables("<!-- table: systems -->\n<!-- end -->")
    assert text.count("FID-768 1.500") == text.count("FID-768 1.250") == 1


def test_a_table_of_scores_stands_between_marks():
    """So that each of its numbers is of a row: where a header says which direction is better, the table is written."""
    for path in documents.documents():
        by_hand = re.sub(documents.MARKS, "", path.read_text())
        assert not re.search(r"^\|.*[↑↓].*\|\n\|---", by_hand, re.MULTILINE), f"{path} has scores that no row makes"


def test_a_mark_without_a_table_ends_in_one_line(monkeypatch, tmp_path):
    with pytest.raises(UserError, match="no table x: there are systems, faces"):
        documents.with_tables("<!-- table: x -->\n<!-- end -->")
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    with pytest.raises(UserError, match=r"no results in .*make them with `python -m experiments faces --record`"):
        documents.with_tables("<!-- table: faces -->\n<!-- end -->")


def test_a_run_is_recorded_with_its_settings(tmp_path):
    settings = {"recipe": "supervised", "method": "supervised", "seed": 3, "lr": 0.1, "target": "b", "data": "here"}
    config = {
        "recipe": "supervised",
        "settings": settings,
        "total_steps": 30,
        "steps_per_epoch": 20,
        "commit": 40 * "a",
        "hardware": "a CPU",
    }
    config["commands"] = ["python /a/b/train_dann.py supervised --data '/my data' --runs x --lr 0.1"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert results.record_of(read_run(tmp_path)) is None
    (tmp_path / "scores.json").write_text(json.dumps({"scores": {"b": {"val": 0.5}}}))
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "seconds": 5.0}\n{"step": 2, "secon')
    assert results.record_of(read_run(tmp_path)) == {
        "system": "supervised",
        "seed": 3,
        "settings": {"method": "supervised", "lr": 0.1, "steps": 30},  # the target only drew a curve
        "epochs": 1.5,
        "scores": {"b val": 0.5},
        "seconds": 5.0,
        "hardware": "a CPU",
        "commit": "aaaaaaaaaa",
        "command": "train_dann.py supervised --lr 0.1",
    }
    (tmp_path / "scores.json").write_text("{")
    damaged = read_run(tmp_path)
    assert results.record_of(damaged) is None
    assert damaged.problems == ["has a `scores.json` that cannot be read, which is left out"]


def test_rows_of_sampling_are_results(tmp_path):
    row = {"sampler": "dpm++", "steps": 20, "guidance": 2.0, "per_class": 40, "seed": 1, "seconds_per_1000": 5.0}
    rows = [row | {"seed": seed, "accuracy": share, "fid": fid} for seed, share, fid in ((1, 0.5, 1.0), (2, 0.7, 3.0))]
    rows += [row | {"guidance": 4.0, "accuracy": 0.9}]
    rows += [row | {"guidance": 8.0, "per_class": 25, "accuracy": 0.3}]
    (tmp_path / "sampling.json").write_text(json.dumps({"dims": 64, "rows": rows}))
    two, four = results.sampling_records(read_run(tmp_path), "guidance")
    assert (two["system"], two["runs"]) == ("guidance 2", 2)
    assert two["scores"] == {"accuracy": 0.6, "FID-64": 2, "s per 1000": 5}
    assert two["spread"]["FID-64"] == pytest.approx(2**0.5)
    assert four["scores"] == {"accuracy": 0.9, "s per 1000": 5} and four["spread"] == {}
    assert results.sampling_records(read_run(tmp_path), "samplers") == []
    rows += [row | {"guidance": 8.0, "per_class": 25, "sampler": "ddim", "accuracy": 0.2, "seconds_per_1000": 4.0}]
    (tmp_path / "sampling.json").write_text(json.dumps({"dims": 64, "rows": rows}))
    names = [record["system"] for record in results.sampling_records(read_run(tmp_path), "samplers")]
    assert names == ["DDIM, 20 steps", "DPM-Solver++, 20 steps"]  # the fastest first
    (tmp_path / "sampling.json").write_text("{}")
    assert results.sampling_records(read_run(tmp_path), "guidance") == []
