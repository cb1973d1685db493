"""The files under weights/ are what inference takes, and small."""

import pytest
import torch

from models.weights import load_weights

KINDS = {
    "faces": "generator",
    "vae": "vae",
    "digits": "unet",
    "acgan28": "acgan28-generator",
    "mnistm-svhn": "classifier",
    "mnistm-usps": "classifier",
    "svhn-mnistm": "classifier",
    "usps-svhn": "classifier",
}


def test_every_shipped_file_is_listed(root):
    files = {path.stem for path in (root / "weights").glob("*.safetensors")}
    assert files == set(KINDS)
    table = (root / "weights" / "README.md").read_text()
    assert all(f"`{name}.safetensors`" in table for name in files)


@pytest.mark.parametrize(("name", "kind"), KINDS.items(), ids=KINDS)
def test_shipped_weights_load(root, name, kind):
    path = root / "weights" / f"{name}.safetensors"
    assert (
        path.stat().st_size
        < {"generator": 50e6, "vae": 20e6, "unet": 16e6, "acgan28-generator": 4e6, "classifier": 8e6}[kind]
    )
    network, about = load_weights(path, kind)
    assert about["step"] > 0
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())
