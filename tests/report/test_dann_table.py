"""The table of adaptation runs."""

import json

from PIL import Image

from report import dann_table
from report.dann_table import ON_TARGET, SOURCE_ONLY, Row


def scored(recipe, source, target, val, test, network="dann32", augment="off", **parts):
    method = recipe.split("-")[0]
    run = {"recipe": recipe, "method": method, "network": network, "source": source, "target": target}
    run |= {"width": 0, "seed": 1, "ramp": True, "steps": 5}
    scores = {target: {"val": val} | ({"test": test} if test is not None else {})}
    run |= {"balanced": True, "interpolation": True, "alignment": True, "relative_threshold": True}
    return run | {"pseudo_weight": 1, "ema_decay": 0.9, "augment": augment, "scores": scores} | parts


RUNS = [
    scored("dann", "mnistm", "svhn", 0.5, 0.4),
    scored("dann", "mnistm", "svhn", 0.6, 0.5, seed=2),
    scored("dsn", "mnistm", "svhn", 0.55, None),
    scored("dann", "mnistm", "svhn", 0.7, 0.65, augment="moderate"),
    scored("dann", "usps", "svhn", 0.3, 0.31, network="dann28 and variants"),
    scored("supervised", "svhn", "", 0, 0) | {"scores": {"svhn": {"val": 0.9, "test": 0.92}}},
    scored("supervised", "mnistm", "", 0, 0)
    | {"scores": {"svhn": {"val": 0.2, "test": 0.21}, "mnistm": {"val": 0.99, "test": 0.98}}},
]


def test_supervised_runs_are_lower_and_upper_bound():
    table = dann_table.collect(RUNS)
    plain = table[Row("mnistm", "svhn", "dann32", "off", 5)]
    assert plain["dann"].test == (0.4, 0.5) and plain["dsn"].test == ()
    assert plain[SOURCE_ONLY].test == (0.21,) and plain[ON_TARGET].val == (0.9,)
    assert table[Row("mnistm", "svhn", "dann32", "moderate", 5)].keys() == {"dann"}
    assert table[Row("usps", "svhn", "dann28 and variants", "off", 5)].keys() == {"dann"}
    assert dann_table.systems_of(table) == [SOURCE_ONLY, "dann", "dsn", ON_TARGET]


def test_adamatch_without_a_part_is_a_system_of_its_own():
    runs = [
        scored("adamatch", "mnistm", "svhn", 0.8, 0.82, augment="strong"),
        scored("adamatch", "mnistm", "svhn", 0.7, 0.72, augment="strong", alignment=False, ema_decay=0),
        scored("supervised", "svhn", "", 0, 0, augment="strong") | {"scores": {"svhn": {"val": 0.9, "test": 0.91}}},
        RUNS[-2],  # on plain pictures: no bound of this row
    ]
    row = dann_table.collect(runs)[Row("mnistm", "svhn", "dann32", "strong", 5)]
    assert row["adamatch"].test == (0.82,) and row[ON_TARGET].test == (0.91,)
    assert row["adamatch without alignment without averaged weights"].test == (0.72,)


def test_pictures_changed_otherwise_are_a_row_of_their_own():
    runs = [
        scored("dann", "mnistm", "svhn", 0.6, 0.6, augment="mixed"),
        scored("dann", "mnistm", "svhn", 0.5, 0.5, augment="off", rotation=30.0, noise=None),
    ]
    table = dann_table.collect(runs)
    assert [row.augment for row in table] == ["mixed", "off, rotation 30"]
    panels = [axes.get_title() for axes in dann_table.bars(table).axes]
    assert panels == ["plain, rotation 30", "mixed"]


def test_only_seeds_of_one_another_are_averaged(error_of):
    first = scored("dann", "mnistm", "svhn", 0.6, 0.5, lr=0.2)
    line = error_of(lambda: dann_table.collect([first, first | {"seed": 2, "lr": 0.1, "difference_weight": 1.0}]))
    assert "runs of dann on dann32 with off pictures differ in difference_weight, lr: keep them in folders" in line
    # Of later settings, which are off or have their default.
    young = first | {"seed": 2, "confusion_weight": 0.0, "rotation": None, "pseudo_ramp": 0.5}
    assert [len(row["dann"].val) for row in dann_table.collect([first, young]).values()] == [2]
    assert "have one seed" in error_of(lambda: dann_table.collect([first, first]))
    wide = dann_table.collect([first, first | {"width": 128}])
    assert [row.network for row in wide] == ["dann32", "dann32, width 128"]
    bound = RUNS[-1] | {"target": "usps", "seed": 2}  # it only drew another curve
    row = dann_table.collect([*RUNS, bound])[Row("mnistm", "svhn", "dann32", "off", 5)]
    assert row[SOURCE_ONLY].test == (0.21, 0.21)


def test_runs_of_another_length_are_a_row_of_their_own():
    bounds = [RUNS[-1], RUNS[-1] | {"steps": 9, "scores": {"svhn": {"val": 0.5, "test": 0.51}}}]
    runs = [scored("dann", "mnistm", "svhn", 0.6, 0.5, steps=steps) for steps in (5, 9)]
    short, long = dann_table.collect([*runs, *bounds]).values()
    assert (short[SOURCE_ONLY].test, long[SOURCE_ONLY].test) == ((0.21,), (0.51,))
    other = dann_table.collect([runs[1], bounds[0]])
    assert other[Row("mnistm", "svhn", "dann32", "off", 9)][SOURCE_ONLY].test == (0.21,)  # for want of its own


def test_what_has_no_labels_or_was_not_adapted(tmp_path, error_of):
    unlabelled = scored("dann", "mnistm", "svhn", 0, 0) | {"scores": {"svhn": {}}}
    for name, run in (("adapted", unlabelled), ("bound", RUNS[-1])):
        (tmp_path / name / "run").mkdir(parents=True)
        (tmp_path / name / "run" / "scores.json").write_text(json.dumps(run))
    dann_table.main(dann_table.Config((tmp_path / "adapted",), tmp_path / "out"))
    assert "| mnistm → svhn | dann32 | plain | 5 |  | – (–) |  |" in (tmp_path / "out" / "table.md").read_text()
    line = error_of(lambda: dann_table.main(dann_table.Config((tmp_path / "bound",), tmp_path / "none")))
    assert "only supervised runs are scored in" in line and not (tmp_path / "none").exists()


def test_the_best_reported_figures():
    best = [dann_table.best_reported("mnistm", "svhn", system) for system in (SOURCE_ONLY, "dann", "dsn", ON_TARGET)]
    assert best == [39, 56.16, 52.3, 92.14]
    assert dann_table.best_reported("usps", "mnistm", "dann-mcc") == 61  # beside the reports' DANN
    assert dann_table.best_reported("usps", "mnistm", "adamatch without ramp") == 68  # beside the best of all
    assert dann_table.best_reported("a", "b", "dann") is None


def test_the_table_in_its_three_forms(tmp_path, error_of):
    runs = tmp_path / "runs"
    for number, run in enumerate(RUNS):
        (runs / str(number)).mkdir(parents=True)
        (runs / str(number) / "scores.json").write_text(json.dumps(run))
    dann_table.main(dann_table.Config((runs,), tmp_path / "out"))
    lines = (tmp_path / "out" / "table.csv").read_text().splitlines()
    assert lines[0].startswith("source,target,network,augment,steps,system,runs,val_mean,val_std,test_mean,test_std")
    assert "mnistm,svhn,dann32,off,5,dann,2,55.00,7.07,45.00,7.07,56.16" in lines
    assert "mnistm,svhn,dann32,off,5,dsn,1,55.00,,,,52.3" in lines
    text = (tmp_path / "out" / "table.md").read_text()
    assert (
        "| mnistm → svhn | dann32 | plain | 5 | 21.0 (20.0) | 45.0 ± 7.1 (55.0 ± 7.1) | – (55.0) | 92.0 (90.0) |"
        in text
    )
    assert "| mnistm → svhn | *report 003* |  |  | 34.4 | 41.9 | 52.3 | 92.1 |" in text
    with Image.open(tmp_path / "out" / "table.png") as page:
        assert page.width > 300
    (tmp_path / "none").mkdir()
    line = error_of(lambda: dann_table.main(dann_table.Config((tmp_path / "none",), tmp_path / "out")))
    assert "no scored runs in" in line
    for number, content in enumerate(["[]", "{", "{}"]):
        (runs / str(number) / "scores.json").write_text(content)
        line = error_of(lambda: dann_table.main(dann_table.Config((runs,), tmp_path / "out")))
        assert f"{runs / str(number) / 'scores.json'} is not by metrics.adaptation" in line
        (runs / str(number) / "scores.json").unlink()
