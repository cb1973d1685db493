"""Guide a diffusion network by a worse one: `python -m inference.autoguide NETWORK GUIDE --out FILE`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from inference.api import find_weights
from models.autoguidance import AutoGuided
from models.residual_unet import ResidualUNet
from models.weights import load_weights, save_weights
from runtime.command_line import run_main
from runtime.settings import Range, Settings


@dataclass
class Config(Settings):
    """Write a weights file of a residual U-Net and of a smaller or less trained one that guides it (autoguidance)."""

    network: tyro.conf.Positional[Path]
    """A run directory or weights file of the better network."""
    guide: tyro.conf.Positional[Path]
    """That of the worse one, trained on the same images."""
    out: Path
    """The file to write."""
    scale: Annotated[float, Range(1, 10)] = 2.0
    """How far to go from the guide's prediction through the network's: 1 is the network alone."""


def main(config: Config) -> None:
    """Write the file; raises UserError for weights of another kind, or trained on other images."""
    network, about = load_weights(find_weights(config.network), ResidualUNet)
    guide, about_guide = load_weights(find_weights(config.guide), ResidualUNet)
    given = {"network": network.origin[1], "guide": guide.origin[1], "scale": config.scale}
    guided = AutoGuided(**given)
    guided.network.load_state_dict(network.state_dict())
    guided.guide.load_state_dict(guide.state_dict())
    save_weights(config.out, guided, "autoguided", given, about | {"guide": about_guide})


if __name__ == "__main__":
    run_main(main, Config)
