import math

import pytest

from experiments import claims, tables
from experiments.__main__ import EXPERIMENTS
from experiments.results import load

NAN = math.nan


@pytest.mark.parametrize(
    ("difference", "spread", "alike", "expected"),
    [
        (0.3, 0.1, False, "seen"),
        (-0.3, 0.1, False, "not seen"),
        (0.05, 0.1, False, "within the spread"),
        (-0.05, 0.1, True, "seen"),
        (0.3, 0.1, True, "not seen"),
        (0.3, NAN, False, "one run each"),
    ],
)
def test_a_claim_is_seen_when_the_difference_exceeds_both_spreads(difference, spread, alike, expected):
    assert claims.verdict(difference, spread, alike) == expected


def test_every_claim_speaks_of_systems_that_some_experiment_makes():
    made = {row.system for row in EXPERIMENTS["claims"]()} | {record["system"] for record in load("guidance")}
    spoken_of = {system for claim in claims.CLAIMS for system in (claim.better, claim.worse)}
    assert spoken_of <= made
    assert set(claims.SYSTEMS) <= spoken_of


def record(system: str, seed: int, score: str, value: float) -> dict:
    return {"system": system, "seed": seed, "settings": {}, "epochs": 8, "scores": {score: value}, "seconds": 60.0}


def test_lower_distances_and_higher_accuracies_are_better():
    records = [
        record("sagan", 1, "FID-768", 0.80),
        record("sagan", 2, "FID-768", 0.82),
        record("dcgan", 1, "FID-768", 0.90),
        record("dcgan", 2, "FID-768", 0.94),
        record("dann28", 1, "svhn test", 0.20),
        record("dann28", 2, "svhn test", 0.21),
        record("dann28-no-dropout", 1, "svhn test", 0.30),
        record("dann28-no-dropout", 2, "svhn test", 0.31),
    ]
    seen = {line[1]: line[-3:] for line in tables.claims(records).to_numpy().tolist()}
    assert seen["SAGAN beats DCGAN"] == ["sagan: 0.810 ± 0.014", "dcgan: 0.920 ± 0.028", "seen"]
    assert seen["USPS → SVHN: dropout helps"][-1] == "not seen"
    assert seen["longer training is better"][-1] == "not measured"
