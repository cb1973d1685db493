"""Two weights files become one that is guided."""

import torch

from inference.api import Faces
from inference.autoguide import Config, main
from inference.weights import card
from models.autoguidance import AutoGuided
from models.residual_unet import ResidualUNet
from models.sagan import SAGANGenerator
from models.weights import load_weights, save_weights

FACES = {"classes": 0, "fold": 4, "size": 64}


def weights_file(folder, width, **arguments):
    arguments = FACES | {"width": width} | arguments
    network, path = ResidualUNet(**arguments), folder / f"{width}.safetensors"
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.1)
    save_weights(path, network, "residual-unet", arguments, {"recipe": "edm-faces", "step": 9, "epochs": width})
    return path


def test_the_file_holds_both_and_makes_faces(tmp_path):
    better, worse = weights_file(tmp_path, 8, sigma_min=0.1), weights_file(tmp_path, 4)
    main(Config(better, worse, tmp_path / "guided.safetensors", scale=2.5))
    guided, about = load_weights(tmp_path / "guided.safetensors", AutoGuided)
    assert guided.scale == 2.5 and guided.diffusion.sigma_min == 0.1
    assert about == {"recipe": "edm-faces", "step": 9, "epochs": 8} | {
        "guide": {"recipe": "edm-faces", "step": 9, "epochs": 4}
    }
    for part, path in ((guided.network, better), (guided.guide, worse)):
        alone, _ = load_weights(path, ResidualUNet)
        assert all(torch.equal(value, part.state_dict()[key]) for key, value in alone.state_dict().items())
    faces, alone = (Faces.load(path, device="cpu") for path in (tmp_path / "guided.safetensors", better))
    assert not (faces.sample(1, steps=2) == alone.sample(1, steps=2)).all()
    assert card(tmp_path / "guided.safetensors")["network"] == "autoguided"


def test_what_does_not_fit_is_refused(tmp_path, error_of):
    better, other = weights_file(tmp_path, 8), weights_file(tmp_path, 4, sigma_data=0.4)
    out = tmp_path / "guided.safetensors"
    assert "the guide was trained on other images" in error_of(lambda: main(Config(better, other, out)))
    save_weights(other, SAGANGenerator(8, 8), "sagan-generator", {"latent_size": 8, "width": 8}, {})
    assert "but a residual unet is needed" in error_of(lambda: main(Config(better, other, out)))
    assert "--scale must be" in error_of(lambda: Config(better, other, out, scale=0.5))
    assert not out.exists()
