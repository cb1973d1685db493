"""Print what a weights file is: `python -m inference.weights FILE`."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from safetensors.torch import load
from torch import nn

from inference.api import find_weights
from models.weights import load_weights
from runtime.command_line import run_main


@dataclass
class Config:
    """Print the card of a weights file: its network, how it was trained, its size and its SHA-256."""

    weights: tyro.conf.Positional[Path]
    """A run directory, its weights.safetensors, or a shipped file."""


def card(path: Path) -> dict[str, str]:
    """What a weights file is, by what is told; raises UserError as `load_weights`."""
    network, about = load_weights(path, nn.Module)
    name, arguments = network.origin
    content = path.read_bytes()
    dtypes = {value.dtype for value in load(content).values()} - {torch.int64}  # which counts batch norm's batches
    stored = sorted(str(dtype).removeprefix("torch.") for dtype in dtypes)
    parameters = sum(value.numel() for value in network.parameters())
    classes = {"classes": ", ".join(map(str, about["classes"]))} if "classes" in about else {}
    return {
        "file": str(path),
        "network": name,
        "arguments": ", ".join(f"{name} {value}" for name, value in arguments.items()),
        **classes,
        "recipe": about.get("recipe", "not told"),
        "training": f"{about.get('step', 0):,} steps, {about.get('epochs', 0):g} epochs",
        "parameters": f"{parameters:,}, stored as {', '.join(stored)}",
        "size": f"{len(content) / 1e6:.1f} MB",
        "SHA-256": hashlib.sha256(content).hexdigest(),
    }


def main(config: Config) -> None:
    """Print the card, a line for each thing told."""
    for name, value in card(find_weights(config.weights)).items():
        print(f"{name:12}{value}")


if __name__ == "__main__":
    run_main(main, Config)
