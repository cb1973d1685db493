"""Networks to and from safetensors files that name the network and its arguments, so no other file is needed."""

import inspect
import json
import re
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from models import NETWORKS
from runtime.errors import UserError
from runtime.files import write_atomically

Kind = TypeVar("Kind", bound=nn.Module)


def not_defaults(name: str, **arguments: Any) -> dict[str, Any]:
    """Those `arguments` that are not the defaults of the network `NETWORKS[name]`: files need not name the others."""
    defaults = inspect.signature(NETWORKS[name]).parameters
    return {key: value for key, value in arguments.items() if value != defaults[key].default}


def blueprint(name: str, **arguments: Any) -> nn.Module:
    """The network of `NETWORKS` without memory for its weights; raises UserError for what it cannot be built with."""
    try:
        with torch.device("meta"):
            return NETWORKS[name](**arguments)
    except (RuntimeError, OverflowError, TypeError, ValueError) as error:  # of sizes beyond the machine's numbers
        raise UserError(f"{name} cannot be built so large: give smaller sizes") from error


def save_weights(path: Path, network: nn.Module, name: str, arguments: dict[str, Any], about: dict[str, Any]) -> None:
    """Write the weights of `network`, which is `NETWORKS[name](**arguments)`, with `about` (how they were made).

    The file is replaced atomically.
    """
    write_weights(path, network.state_dict(), name, arguments, about)


def write_weights(
    path: Path, state: dict[str, Tensor], name: str, arguments: dict[str, Any], about: dict[str, Any]
) -> None:
    """`save_weights` of a network that has this `state`."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    metadata = {"network": name, "arguments": json.dumps(arguments), "about": json.dumps(about)}
    write_atomically(path, _in_fixed_order(save(tensors, metadata)))


def _in_fixed_order(content: bytes) -> bytes:
    """A safetensors file with its metadata sorted: the library's own order differs from one process to the next."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + content[start:]


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """What a weights file says of itself (`network`, and as JSON `arguments` and `about`), and its tensors."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dictionary
            return file.metadata() or {}, tensors
    except FileNotFoundError as error:
        raise UserError(f"no such weights file: {path}") from error
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is no weights file ({error}): give a run's weights.safetensors") from error


def load_weights(path: Path, kind: type[Kind]) -> tuple[Kind, dict[str, Any]]:
    """The float32 network of a weights file, in evaluation mode on the CPU, and how it was made.

    `kind` is the class that the network must be of. Its `origin` is (name, arguments): it is `NETWORKS[name]` of these.
    Raises UserError when the file is missing, no weights file, or holds another network.
    """
    metadata, tensors = _read(path)
    name = metadata.get("network")
    needed = re.sub("(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()
    another = UserError(f"{path} holds the network {name!r}, but a {needed} is needed")
    if name not in NETWORKS:
        raise another
    try:
        arguments = json.loads(metadata["arguments"])
        network = NETWORKS[name](**arguments)
        if isinstance(network, kind):
            network.load_state_dict(_unpacked(tensors))  # float16 becomes float32 as it is copied
        about = dict(json.loads(metadata.get("about", "{}")))
    except Exception as error:  # arguments of another network can fail anywhere in it, with nearly any exception
        raise UserError(f"{path} does not fit the network {name}: it was made by another version") from error
    if not isinstance(network, kind):
        raise another
    if not all(value.isfinite().all() for value in network.parameters()):
        raise UserError(f"{path} holds weights that are no finite numbers: train it anew")
    network.origin = name, arguments
    return network.eval().requires_grad_(False), about


def load_into(network: nn.Module, path: Path | str) -> None:
    """Give `network` the weights of a file of the same kind; raises UserError for one of other layers."""
    earlier, _ = load_weights(Path(path), type(network))
    try:
        network.load_state_dict(earlier.state_dict())
    except RuntimeError as error:
        raise UserError(f"{path} has other layers: start from a network of the same settings") from error


SCALES = ".int8_scales"  # ends the name of the scales of a tensor that is stored as int8


def shrink(source: Path, target: Path, bits: Literal[16, 8] = 16) -> None:
    """Copy the weights file `source` to `target` with its floating-point tensors as float16.

    With 8 bits, kernels and matrices become int8, with a scale for each row (output channel), whose largest is 127.
    """
    network, about = load_weights(source, nn.Module)
    tensors = network.state_dict()
    state = {key: value.half() if value.is_floating_point() else value for key, value in tensors.items()}
    if bits == 8:
        for key, value in tensors.items():
            if value.is_floating_point() and value.dim() > 1:
                scales = (value.flatten(1).abs().amax(1) / 127).clamp(min=torch.finfo(torch.float16).tiny).half()
                steps = (value / _per_channel(scales, value)).round().clamp(-127, 127)
                state |= {key: steps.to(torch.int8), f"{key}{SCALES}": scales}
    write_weights(target, state, *network.origin, about)


def _unpacked(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a weights file, those in int8 as float32."""
    scales = {key.removesuffix(SCALES): tensors.pop(key) for key in list(tensors) if key.endswith(SCALES)}
    return tensors | {key: tensors[key] * _per_channel(of, tensors[key]) for key, of in scales.items()}


def _per_channel(scales: Tensor, value: Tensor) -> Tensor:
    """Scales (C,) in float32, of a shape to multiply `value` (C, …) by."""
    return scales.float().view(-1, *[1] * (value.dim() - 1))
