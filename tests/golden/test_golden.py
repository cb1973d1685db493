"""Networks, shipped weights and augmentations answer what they answered when the numbers here were kept."""

import numpy as np
import pytest

from data.augment import AUGMENTATIONS
from models import NETWORKS
from tests.golden.make import PATH, SHIPPED, answers, augmented, close, shipped_answers

KEPT = dict(np.load(PATH))
REMEDY = "where this is meant, run: PYTHONPATH=. python tests/golden/make.py"
FILES = sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def assert_kept(found, prefix):
    kept = {name for name in KEPT if name.startswith(f"{prefix}/")}
    assert found.keys() == kept, REMEDY
    for name, answer in found.items():
        assert close(answer, KEPT[name]), f"{name} changed: {REMEDY}"


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_answer_as_they_did(name):
    assert_kept(answers(name), name)


@pytest.mark.parametrize("name", FILES)
def test_shipped_weights_answer_as_they_did(name):
    assert_kept(shipped_answers(SHIPPED / f"{name}.safetensors"), f"weights/{name}")


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_images_are_augmented_as_they_were(name):
    assert_kept(augmented(name), f"augmentation/{name}")


def test_nothing_is_kept_of_what_is_gone():
    names = {name.removeprefix("weights/").removeprefix("augmentation/").split("/")[0] for name in KEPT}
    assert names == {*NETWORKS, *FILES, *AUGMENTATIONS}, REMEDY
    assert PATH.stat().st_size < 200_000
