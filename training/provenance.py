"""What a run directory says of how the run was made: settings, commands, versions, hardware and networks."""

import json
import platform
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from runtime.device import Execution
from runtime.files import write_atomically, write_json
from runtime.processes import world_size
from training.config import TrainConfig


def write(
    folder: Path, config: TrainConfig, execution: Execution, parts: dict[str, Any], total: int, steps_per_epoch: int
) -> None:
    """Write config.json and networks.txt of a run of `total` steps; the commands of a resumed run are added up."""
    path = folder / "config.json"
    commands = json.loads(path.read_text()).get("commands", []) if path.exists() else []
    content = {
        "recipe": config.recipe,
        "seed": config.seed,
        "settings": config.to_json(),
        "total_steps": total,
        "steps_per_epoch": steps_per_epoch,
        "commands": [*commands, shlex.join(["python", *sys.argv])],
        "commit": commit(),
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("torch", "torchvision", "numpy", "pillow")},
        "hardware": _hardware(execution),
        "processes": world_size(),
    }
    write_json(path, content)
    networks = {name: part for name, part in parts.items() if isinstance(part, nn.Module)}
    write_atomically(folder / "networks.txt", printout(networks).encode())


def printout(networks: dict[str, nn.Module]) -> str:
    """The layers of networks by name, and the parameters of each and of its parts."""

    def line(name: str, network: nn.Module) -> str:
        return f"{name:28}{sum(parameter.numel() for parameter in network.parameters()):>14,} parameters"

    texts = []
    for name, network in networks.items():
        parts = [line(part, layers) for part, layers in network.named_children()]
        texts.append("\n".join([line(name, network), "", str(network), "", *parts]))
    return "\n\n".join(texts) + "\n"


def commit() -> str:
    """The repository's commit, `+` added when files differ from it; empty outside a checkout."""
    root = Path(__file__).parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=root, capture_output=True).returncode
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + "+" * bool(changed)


def _hardware(execution: Execution) -> str:
    if execution.device.type == "cuda":
        return f"{torch.cuda.get_device_name(execution.device)}, {execution.precision}"
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, {execution.precision}"
