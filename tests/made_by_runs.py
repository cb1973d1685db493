"""What run directories hold, for tests that compare them."""

import json

import torch
from safetensors.torch import load_file


def log(folder):
    """The lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def last(folder, name):
    """The last value of this name in a run's metrics.jsonl."""
    return [line[name] for line in log(folder) if name in line][-1]


def same_bits(one, other):
    """Whether two runs left the same weights."""
    one, other = (load_file(folder / "weights.safetensors") for folder in (one, other))
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
