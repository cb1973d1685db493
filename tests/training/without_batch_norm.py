"""Train faces as `train_dcgan.py` does, with a generator that has no batch norm.

On CPUs every process normalises its own part of a batch. Without that, several processes must do what one does.
"""

from torch import nn

import train_dcgan
from models import NETWORKS
from models.sagan import SAGANGenerator, SelfAttention
from runtime.errors import run_command
from training.config import parse_command_line


class Generator(SAGANGenerator):
    """SAGAN's generator without its batch norm and, to be quick, without its attention."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        left_out = nn.BatchNorm2d | SelfAttention
        self.layers = nn.Sequential(*(layer for layer in self.layers if not isinstance(layer, left_out)))


NETWORKS["sagan-generator"] = Generator
run_command(lambda: train_dcgan.main(parse_command_line(train_dcgan.RECIPES)))
