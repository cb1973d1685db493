"""`train_dsn.py` on toy domains: its own settings, and its sheets; what all adaptations share is tested with DANN."""

import pytest
from PIL import Image

from data import batches
from runtime import seeds
from tests.made_by_runs import log

SHORT = ("--max-steps", 6, "--log-every", 2, "--checkpoint-every", 3, "--sample-every", 6)


def test_the_domain_loss_begins_after_a_share_of_the_run(adapt):
    folder = adapt("dsn", "--max-steps", 10, "--log-every", 1)
    assert [line["lambda"] for line in log(folder) if "lambda" in line] == pytest.approx([0, 0] + [0.1] * 8)


def test_reconstructions_are_a_sheet_of_eight_rows(adapt):
    folder = adapt("dsn", *SHORT, "--augment", "strong", "--precision", "bf16")
    with Image.open(folder / "samples" / "0000006.png") as page:
        assert page.size == (8 * 34 + 2, 8 * 34 + 2)


def test_a_process_with_few_images_makes_a_narrow_sheet(adapt, monkeypatch):
    for module in (batches, seeds):  # as if there were two processes
        monkeypatch.setattr(module, "share_of", lambda batch_size: slice(0, batch_size // 2))
    with Image.open(adapt("dsn", "--batch-size", 8, "--max-steps", 1) / "samples" / "0000001.png") as page:
        assert page.size == (4 * 34 + 2, 8 * 34 + 2)


def test_wrong_settings_end_in_one_line(adapt, error_of):
    for start in (-0.1, 1):
        line = error_of(lambda start=start: adapt("dsn", "--adversarial-start", start))
        assert line == "error: --adversarial-start must be at least 0 and below 1"
    for option in ("--reconstruction-weight", "--difference-weight", "--domain-weight"):
        line = error_of(lambda option=option: adapt("dsn", option, -1))
        assert line == f"error: {option} must be at least 0"
