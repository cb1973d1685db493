"""The ablation of AdaMatch."""

import json

import pytest

import train_adamatch
from metrics import adaptation
from report import adamatch_ablation
from report.sections.training import shares
from training.config import parse_command_line


@pytest.fixture(scope="module")
def matched(digits, small, tmp_path_factory):
    """The run directory of two steps of AdaMatch from a to b."""
    words = ["adamatch", *small, "--source", "a", "--target", "b", "--data", digits, "--log-every", 1]
    config = parse_command_line(
        train_adamatch.RECIPES, [*map(str, words), "--runs", str(tmp_path_factory.mktemp("runs"))]
    )
    train_adamatch.main(config)
    return config.folder


def test_the_histogram_is_of_accepted_labels():
    lines = [{f"pseudo_{digit}": 0.0 for digit in range(10)} for _ in range(2)]
    assert shares(lines, "pseudo") == [0] * 10  # none accepted yet
    lines[0]["pseudo_3"], lines[1]["pseudo_3"], lines[1]["pseudo_4"] = 0.1, 0.2, 0.1
    assert shares(lines, "pseudo") == pytest.approx([0, 0, 0, 0.75, 0.25, 0, 0, 0, 0, 0])


def test_a_run_is_scored_with_its_parts(matched):
    adaptation.main(adaptation.Config((matched,), device="cpu"))
    content = json.loads((matched / "scores.json").read_text())
    assert (content["augment"], content["balanced"], content["ema_decay"]) == ("rough", True, 0.998)
    assert adamatch_ablation.left_out(content) == adamatch_ablation.WHOLE


WHOLE_RUN = {"recipe": "adamatch", "method": "adamatch", "network": "dann32", "width": 0, "augment": "rough"}
WHOLE_RUN |= {"interpolation": True, "alignment": True, "relative_threshold": True, "pseudo_weight": 1.0, "ramp": True}
WHOLE_RUN |= {"balanced": True, "ema_decay": 0.9, "source": "a", "target": "b", "seed": 1, "steps": 5}


def test_the_ablation_against_numbers_by_hand(tmp_path, error_of):
    runs = [
        WHOLE_RUN | {"augment": "weak", "scores": {"b": {"val": 0.5, "test": 0.6}}},
        WHOLE_RUN | {"scores": {"b": {"val": 0.8, "test": 0.9}}},
        WHOLE_RUN | {"seed": 2, "scores": {"b": {"val": 0.7, "test": 0.8}}},
        WHOLE_RUN | {"seed": 2, "augment": "weak", "scores": {"b": {"val": 0.5, "test": 0.7}}},
        WHOLE_RUN | {"alignment": False, "seed": 2, "scores": {"b": {"val": 0.8}}},
        WHOLE_RUN | {"ramp": False, "pseudo_ramp": 0.3, "seed": 3, "scores": {"b": {"val": 0.8, "test": 0.8}}},
        WHOLE_RUN | {"method": "dann", "scores": {"b": {"val": 0.1}}},
    ]
    for number, run in enumerate(runs):
        (tmp_path / str(number % 2) / str(number)).mkdir(parents=True)
        (tmp_path / str(number % 2) / str(number) / "scores.json").write_text(json.dumps(run))
    folders = (tmp_path / "0", tmp_path / "1")
    adamatch_ablation.main(adamatch_ablation.Config(folders, tmp_path / "out"))
    lines = (tmp_path / "out" / "ablation.csv").read_text().splitlines()
    assert lines == [
        "source,target,without,runs,val_mean,val_std,test_mean,test_std,gain_mean,gain_std",
        "a,b,whole,2,75.00,7.07,85.00,7.07,,",
        "a,b,strong views,2,50.00,0.00,65.00,7.07,-20.00,14.14",
        "a,b,alignment,1,80.00,,,,10.00,",  # to seed 2 alone, and on val.csv: it has no scores on test.csv
        "a,b,ramp,1,80.00,,80.00,,,",  # no whole run has its seed
    ]
    text = (tmp_path / "out" / "ablation.md").read_text()
    assert "| nothing | 85.0 ± 7.1 (75.0 ± 7.1) |  |" in text
    assert "| strong views | 65.0 ± 7.1 (50.0 ± 0.0) | -20.0 ± 14.1 |" in text
    assert "| alignment | – (80.0) | +10.0 |" in text and "| ramp | 80.0 (80.0) |  |" in text
    line = error_of(lambda: adamatch_ablation.main(adamatch_ablation.Config((tmp_path / "out",), tmp_path)))
    assert "no scored whole run of adamatch in" in line
    other = tmp_path / "0" / "shorter"
    other.mkdir()
    (other / "scores.json").write_text(json.dumps(runs[0] | {"seed": 3, "augment": "off"}))
    line = error_of(lambda: adamatch_ablation.main(adamatch_ablation.Config(folders, tmp_path / "out")))
    assert "runs of adamatch on dann32 with weak pictures differ in augment" in line
    without = runs[1] | {"alignment": False, "ema_decay": 0}
    for change, differing in (
        ({"steps": 1}, "steps"),
        ({"augment": "strong", "pseudo_weight": 0.5}, "augment, pseudo_weight"),
    ):
        (other / "scores.json").write_text(json.dumps(without | change))
        line = error_of(lambda: adamatch_ablation.main(adamatch_ablation.Config(folders, tmp_path / "out")))
        wanted = f"a → b without alignment, averaged weights differs from the whole run in {differing}: make it alike"
        assert wanted in line
