"""Store weights as float16, for shipping: `python -m inference.shrink_weights SOURCE TARGET`."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from models.weights import shrink
from runtime.command_line import run_main


@dataclass
class Config:
    """Copy a weights file with its tensors stored as float16, for shipping."""

    source: tyro.conf.Positional[Path]
    """A weights.safetensors."""
    target: tyro.conf.Positional[Path]
    """Where the smaller copy goes."""


if __name__ == "__main__":
    run_main(lambda config: shrink(config.source, config.target), Config)
