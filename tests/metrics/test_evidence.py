"""Evidence without labels: against numbers by hand, and on runs."""

import json
import math

import numpy as np
import pytest

from data.tables import read_table, write_table
from metrics import evidence


def test_entropies_by_hand():
    # Half of the images surely of the first class, half torn between both: the mean is (3/4, 1/4).
    (values,) = evidence.evidence(np.array([[[1, 0], [0.5, 0.5]]]))
    of_mean = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert values["entropy_of_mean"] == pytest.approx(of_mean)
    assert values["mean_entropy"] == pytest.approx(math.log(2) / 2)
    assert values["mutual_information"] == pytest.approx(of_mean - math.log(2) / 2)
    assert values["agreement"] is None and values["shares"] == [1, 0]
    assert values["alarms"] == ["1 is predicted for 0.0% of the images only"]


def predictions(*labels):
    """Sure predictions (R, N, 10) of these labels."""
    return np.eye(10)[np.array(labels)]


def test_the_run_that_differs_from_the_other_seeds_is_told():
    right = np.arange(40) % 10
    slip, twos_are_eights = right.copy(), np.where(right == 2, 8, right)
    slip[0] = 9
    good, other, bad = evidence.evidence(predictions(right, slip, twos_are_eights))
    assert good["agreement"] == pytest.approx((39 + 36) / 80) and bad["agreement"] == pytest.approx((36 + 35) / 80)
    assert good["alarms"] == other["alarms"] == []
    assert bad["alarms"] == [
        "2 is predicted for 0.0% of the images only",
        "it agrees with the others on 88.8% of the images, another on 93.8%",
    ]
    assert good["mutual_information"] > bad["mutual_information"]
    assert evidence.choice([bad, other, good]) == 2


def test_of_runs_that_agree_alike_the_surer_one_is_chosen():
    sure = predictions(np.arange(10))[0]
    runs = evidence.evidence(np.stack([0.9 * sure + 0.01, sure]))
    assert runs[0]["agreement"] == runs[1]["agreement"] == 1
    assert evidence.choice(runs) == 1
    assert evidence.choice(runs[:1]) == 0


def measured(runs, tmp_path, **options):
    evidence.main(evidence.Config(tuple(runs), json=tmp_path / "evidence.json", device="cpu", **options))
    return json.loads((tmp_path / "evidence.json").read_text())


def test_on_runs_whose_target_has_no_labels(adapted, digits, tmp_path, capsys, error_of):
    supervised, *both = adapted
    content = measured(both, tmp_path)
    assert content["runs"].keys() == {*map(str, both)} and content["choice"] in content["runs"]
    one, two = content["runs"].values()
    assert one["agreement"] == two["agreement"] and sum(one["shares"]) == pytest.approx(1)
    assert f"choose {content['choice'].split('/')[-1]}" in capsys.readouterr().out

    table = digits / "digits" / "b" / "val.csv"
    labelled = table.read_bytes()
    _, rows = read_table(table)
    write_table(table, ["image_name"], [[row[0]] for _, row in rows])
    try:
        assert measured(both, tmp_path) == content
    finally:
        table.write_bytes(labelled)
    assert measured(both, tmp_path, split="test") != content
    assert "give a run directory" in error_of(lambda: measured([], tmp_path))
    line = error_of(lambda: measured([supervised, *both], tmp_path))
    assert "these runs have the targets ['', 'b']: give runs that have one, and the same" in line
