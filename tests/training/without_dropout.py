"""Training runs without dropout: `without_dropout.py '[[recipe, option, …], …]'`, one after another.

Every process drops what it draws itself. Without that, several processes must do what one does. Activations are smooth,
as a value that rounding moves over a kink changes gradients by a thousandth, and Adam's epsilon is large, as its steps
are else those of a gradient that is nothing but rounding.
"""

import json
import sys
from functools import partial

import torch
from torch import nn

from experiments.rows import module_of
from runtime.errors import run_command
from runtime.processes import is_first
from training.config import parse_command_line
from training.saving import Saver


def train(recipe, *options):
    """Train as the script does that has this recipe."""
    script = module_of(recipe)
    script.main(parse_command_line(script.RECIPES, [recipe, *options]))


def main():
    nn.Dropout = nn.Dropout2d = lambda _: nn.Identity()
    nn.ReLU = nn.LeakyReLU = lambda *_, **__: nn.SiLU()
    torch.optim.Adam, torch.optim.AdamW = partial(torch.optim.Adam, eps=0.01), partial(torch.optim.AdamW, eps=0.01)
    Saver.is_due = lambda *_: is_first()  # for the others, who are not to decide it, no checkpoint is ever due
    torch.distributed.destroy_process_group = lambda: None  # the next run goes on with these processes
    for words in json.loads(sys.argv[1]):
        train(*words)


run_command(main)
