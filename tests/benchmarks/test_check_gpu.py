"""The script that checks a GPU, on the CPU; with `pytest -m cuda`, on the GPU."""

import json

import pytest

from benchmarks import check_gpu
from benchmarks.check_gpu import Checks, Config
from benchmarks.counts import RECIPES


@pytest.fixture
def checks(tmp_path, request):
    return Checks(Config(getattr(request, "param", "cpu"), tiny=True), tmp_path)


def test_everything_passes_where_the_cpu_is_compared_with_itself(tmp_path, capsys):
    check_gpu.main(Config("cpu", tmp_path, recipes=("dcgan",), tiny=True))
    found = json.loads((tmp_path / "check.json").read_text())
    assert found["device"] == "CPU"
    assert [result["passed"] for result in found["results"]] == [True] * 5
    table = (tmp_path / "check.md").read_text()
    assert "| dcgan: gradients of a step, relative to the CPU's | 0.0e+00 (at most 1e-03) | yes |" in table
    assert capsys.readouterr().out.count("passed: ") == 5


def test_a_device_that_computes_otherwise_is_found_out(checks, monkeypatch):
    means = check_gpu._gradient_means

    def otherwise(folder):
        return (value * (1.01 if folder.name.endswith("-1") else 1) for value in means(folder))

    monkeypatch.setattr(check_gpu, "_gradient_means", otherwise)
    assert checks.step("dcgan") == ("1.0e-02 (at most 1e-03)", False)


@pytest.mark.cuda
@pytest.mark.parametrize("checks", ["cuda"], indirect=True)
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_step_on_the_gpu_is_that_of_the_cpu(checks, recipe):
    found, passed = checks.step(recipe)
    assert passed, found


@pytest.mark.cuda
@pytest.mark.parametrize("checks", ["cuda"], indirect=True)
def test_a_resumed_run_on_the_gpu_is_exact(checks):
    found, passed = checks.resume("dcgan")
    assert passed, found


@pytest.mark.cuda
@pytest.mark.parametrize("checks", ["cuda"], indirect=True)
@pytest.mark.parametrize("name", ["faces", "digits"])
def test_images_on_the_gpu_are_those_of_the_cpu(checks, name):
    found, passed = checks.images(name)
    assert passed, found
