"""Store weights in 16 or 8 bits, for shipping: `python -m inference.shrink_weights SOURCE TARGET [--bits 8]`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from models.weights import shrink
from runtime.command_line import run_main


@dataclass
class Config:
    """Copy a weights file with its tensors stored in fewer bits, for shipping."""

    source: tyro.conf.Positional[Path]
    """A weights.safetensors."""
    target: tyro.conf.Positional[Path]
    """Where the smaller copy goes."""
    bits: Literal[16, 8] = 16
    """float16, or for kernels and matrices int8 with a scale for each row (output channel)."""


if __name__ == "__main__":
    run_main(lambda config: shrink(config.source, config.target, config.bits), Config)
