"""A step of every kind of recipe on the meta device, where no number can be read and no two devices meet unseen."""

import pytest
import torch

from benchmarks.counts import META, Counting, StepCount, count_step
from training.ema import EMA

FACES = ("--width", 8, "--latent-size", 8, "--batch-size", 8)
DIGITS = ("--domain", "a", "--width", 8, "--batch-size", 8)
DOMAINS = ("--source", "a", "--target", "b", "--width", 4, "--batch-size", 8)
# Options, and copies from the host in a step: noise, labels, times, flips and augmentations are drawn there.
RECIPES = {
    "dcgan": (FACES, 2),
    "dcgan-ema": ((*FACES, "--flip"), 3),
    "sagan": (FACES, 1),
    "pixelshuffle": (FACES, 2),
    "r3gan": (FACES, 4),
    "vae": (FACES, 1),
    "acgan28": (DIGITS, 2),
    "context-unet": (DIGITS, 1),
    "attention-unet": (DIGITS, 1),
    "edm": (DIGITS, 1),
    "supervised": (("--source", "a", *DOMAINS[4:]), 1),
    "dann": (DOMAINS, 2),
    "dann32": (DOMAINS, 2),
    "dann-mcc": (DOMAINS, 2),
    "dsn": (DOMAINS, 2),
    "dsn-report": (DOMAINS, 2),
    "adamatch": (DOMAINS, 3),
    "adamatch-teacher": (DOMAINS, 2),
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_step_reads_nothing_back_and_copies_only_what_was_drawn(recipe, faces, digits):
    options, copies = RECIPES[recipe]
    data = faces if options[:6] == FACES else digits
    count = count_step(recipe, "--data", data, *options)
    assert count.copies == copies
    assert count.operations > 50
    assert count.flops > 0
    assert count.parameters > 0


def test_a_number_that_is_read_back_ends_the_count(faces, monkeypatch):
    update = EMA.update
    monkeypatch.setattr(EMA, "update", lambda self, network, step: update(self, network, step + 0 * self.read()))
    monkeypatch.setattr(EMA, "read", lambda self: next(self.network.parameters()).sum().item(), raising=False)
    with pytest.raises(RuntimeError, match=r"item\(\) cannot be called on meta tensors"):
        count_step("dcgan", "--data", faces, *FACES)


def test_copies_are_seen_and_what_copies_in_secret_is_refused():
    table, indices = torch.zeros(8, device=META), torch.tensor([1, 2])
    count = StepCount(1)
    with Counting(count):
        table[indices.to(META)] + 1.0
        torch.zeros(3) + 1
    assert (count.copies, count.operations) == (1, 3)  # the copy, the look-up and the sum
    with pytest.raises(AssertionError, match="mixes tensors of the host and of the device"), Counting(count):
        table[indices]
