"""A report on a run of every kind, and a browser to look at it."""

import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from report.build import Config, main
from tests.report.made_runs import write_runs


@pytest.fixture(scope="session")
def runs(tmp_path_factory, faces, digits, adapted):
    """A run of each kind, and adaptations in a folder of their own."""
    root = tmp_path_factory.mktemp("all runs") / "runs"
    write_runs(root, faces, digits, adapted)
    return root


@pytest.fixture(scope="session")
def report(runs, tmp_path_factory):
    """The folder of a report on all the runs."""
    out = tmp_path_factory.mktemp("a report")
    main(Config(runs, out, device="cpu"))
    return out


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium."""
    programs = shutil.which("chromium"), shutil.which("chromedriver")
    if None in programs:
        pytest.skip("no chromium or no chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(programs[1]))
    yield driver
    driver.quit()
