"""Event files for TensorBoard say what the logs of runs say."""

import json

import numpy as np
import pytest
from PIL import Image

from training import watch

accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


@pytest.fixture
def run(tmp_path):
    """A run directory with two lines of a log, the second of which is not whole yet, and a sample grid."""
    folder = tmp_path / "runs" / "faces" / "dcgan"
    (folder / "samples").mkdir(parents=True)
    line = json.dumps({"step": 50, "epoch": 0.5, "seconds": 3.0, "g_loss": 1.25})
    (folder / "metrics.jsonl").write_text(f'{line}\n{{"step": 1')
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(folder / "samples" / "0000050.png")
    return folder


def events(run):
    accumulator = accumulators.EventAccumulator(str(run)).Reload()
    scalars = {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]
    }
    return scalars, [(event.step, event.width, event.height) for event in accumulator.Images("samples")]


def test_scalars_and_sample_grids_follow_the_run(run):
    files = {}
    watch.update(run.parents[1], files)
    assert events(run) == ({"epoch": [(50, 0.5)], "g_loss": [(50, 1.25)]}, [(50, 6, 4)])

    with open(run / "metrics.jsonl", "a") as log:
        log.write('00, "epoch": 1, "seconds": 6, "g_loss": 0.5}\n')
    watch.update(run.parents[1], files)
    assert events(run)[0] == {"epoch": [(50, 0.5), (100, 1)], "g_loss": [(50, 1.25), (100, 0.5)]}


def test_a_resumed_run_that_cut_its_log_is_told_anew(run):
    files = {}
    watch.update(run.parents[1], files)
    (run / "metrics.jsonl").write_text(json.dumps({"step": 5, "seconds": 1, "loss": 2}) + "\n")
    watch.update(run.parents[1], files)
    assert events(run) == ({"loss": [(5, 2)]}, [(50, 6, 4)])
    assert len(list(run.glob("events.*"))) == 1


def test_without_a_folder_of_runs_a_line_says_so(tmp_path, error_of):
    line = error_of(lambda: watch.main(watch.Config(tmp_path / "none")))
    assert line == f"error: no such folder of runs: {tmp_path / 'none'}: train something, or give --runs"


def test_a_port_in_use_ends_in_a_line(run, error_of, monkeypatch):
    monkeypatch.setattr(watch, "EVERY", 0.1)
    monkeypatch.setattr(watch.sys, "executable", "/bin/false")  # as TensorBoard ends
    line = error_of(lambda: watch.main(watch.Config(run.parents[1])))
    assert line == "error: TensorBoard ended with status 1: if the port is in use, give another --port"
