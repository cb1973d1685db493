"""The notation of the reports' network printouts."""

import pytest
from torch import nn

from models.sagan import SelfAttention


def _layer(layer):
    match layer:
        case nn.Conv2d() | nn.ConvTranspose2d():
            kind = "T" if isinstance(layer, nn.ConvTranspose2d) else "C"
            padding = layer.padding if isinstance(layer.padding, str) else layer.padding[0]
            numbers = f"{layer.kernel_size[0]},{layer.stride[0]},{padding}{'' if layer.bias is not None else ',nb'}"
            normalised = "SN " if hasattr(layer, "parametrizations") else ""
            return f"{normalised}{kind}({layer.in_channels}→{layer.out_channels},{numbers})"
        case nn.BatchNorm2d():
            return "BN"
        case nn.LeakyReLU():
            return f"LReLU{layer.negative_slope}"
        case nn.Dropout():
            return f"Drop{layer.p}"
        case nn.PixelShuffle():
            return f"PS{layer.upscale_factor}"
        case nn.Upsample():
            return f"Upsample(x{layer.scale_factor:g},{layer.mode})"
        case SelfAttention():
            return f"attention({layer.value.out_channels})"
        case _:
            return type(layer).__name__


@pytest.fixture
def layers():
    """A network's layers in one line: C(in→out,kernel,stride,padding) convolves, T transposed, nb without biases."""
    return lambda network: " ".join(map(_layer, network.layers))


@pytest.fixture
def parameter_count():
    return lambda network: sum(parameter.numel() for parameter in network.parameters())
