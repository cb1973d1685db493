"""Networks on the meta device, where no number can be read back, and no two devices meet unseen, as on a GPU."""

from contextlib import nullcontext
from unittest.mock import patch

import pytest
import torch

from benchmarks.counts import META, Counting, StepCount
from models import NETWORKS
from models.digit_classifiers import DANN_NETWORKS, digit_classifier
from models.generator import Generator, Sampling
from models.samplers import DiffusionModel

SMALL = {"residual-unet": {"width": 32, "prediction": "edm", "sigma_data": 0.5}}
NARROW = {"attention-unet": {"width": 8, "steps": 20}, "context-unet": {"width": 8, "steps": 20}}
GENERATORS = [name for name, kind in NETWORKS.items() if isinstance(kind, type) and issubclass(kind, Generator)]
GENERATORS.remove("autoguided")  # two of the others


def on_meta(network):
    return network.to(META).eval()


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "heun", "dpm++"])
@pytest.mark.parametrize("name", [name for name in GENERATORS if issubclass(NETWORKS[name], DiffusionModel)])
def test_samplers_read_nothing_back(name, sampler):
    network = on_meta(NETWORKS[name](**(SMALL | NARROW).get(name, {})))
    labels = torch.zeros(2, dtype=torch.long, device=META) if network.classes else None
    sampling = Sampling(sampler, 4 if sampler != "ddpm" else 0, 2.0 if network.classes else None)
    check(lambda: network.sample(lambda: torch.zeros(2, *network.latent_shape, device=META), labels, sampling))


@pytest.mark.parametrize("name", [name for name in GENERATORS if not issubclass(NETWORKS[name], DiffusionModel)])
def test_generators_read_nothing_back(name):
    network = on_meta(NETWORKS[name]())
    labels = torch.zeros(2, dtype=torch.long, device=META) if network.classes else None
    check(lambda: network.sample(lambda: torch.zeros(2, *network.latent_shape, device=META), labels))


@pytest.mark.parametrize("name", DANN_NETWORKS)
def test_classifiers_read_nothing_back(name):
    classifier = on_meta(digit_classifier(name))
    check(lambda: classifier(torch.zeros(2, 3, 28, 28, device=META)))


def check(make):
    """`make` gives tensors of the device, and copies nothing to it."""
    count = StepCount(2)
    no_autocast = patch("torch.autocast", lambda *_, **__: nullcontext())  # the meta device has none
    with torch.no_grad(), no_autocast, Counting(count):
        assert make().device == META
    assert count.copies == 0
