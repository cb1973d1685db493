"""The networks beside the reports' printouts: every layer in its place, with its numbers, slope and biases.

C(in→out,kernel,stride,padding) convolves, T transposed (op: output padding), L is linear, nb is without biases; BN, GN
and LN normalise, SN a weight, MP and AP pool, PS shuffles pixels.
"""

import pytest
from torch import nn

from models import NETWORKS


def in_notation(layer):
    """One layer in the notation above."""
    match layer:
        case nn.Conv2d() | nn.ConvTranspose2d():
            kind = "T" if isinstance(layer, nn.ConvTranspose2d) else "C"
            padding = layer.padding if isinstance(layer.padding, str) else layer.padding[0]
            numbers = f"{layer.kernel_size[0]},{layer.stride[0]},{padding}"
            numbers += f",op{layer.output_padding[0]}" if layer.output_padding[0] else ""
            numbers += "" if layer.bias is not None else ",nb"
            normalised = "SN " if hasattr(layer, "parametrizations") else ""
            return f"{normalised}{kind}({layer.in_channels}→{layer.out_channels},{numbers})"
        case nn.Linear():
            return f"L({layer.in_features}→{layer.out_features}{'' if layer.bias is not None else ',nb'})"
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return "BN"
        case nn.GroupNorm():
            return f"GN{layer.num_groups}"
        case nn.LayerNorm():
            return "LN"
        case nn.LeakyReLU():
            return f"LReLU{layer.negative_slope}"
        case nn.GELU():
            return "GELU" if layer.approximate == "none" else "GELU~"
        case nn.Dropout() | nn.Dropout2d():
            return f"{'Drop2d' if isinstance(layer, nn.Dropout2d) else 'Drop'}{layer.p}"
        case nn.MaxPool2d():
            assert layer.stride == layer.kernel_size and not layer.padding
            return f"MP{layer.kernel_size}"
        case nn.AvgPool2d():
            assert layer.stride == layer.kernel_size and not layer.padding
            return f"AP{layer.kernel_size}"
        case nn.AdaptiveAvgPool2d(output_size=1):
            return "AP"
        case nn.PixelShuffle():
            return f"PS{layer.upscale_factor}"
        case nn.Upsample():
            return f"Upsample(x{layer.scale_factor:g},{layer.mode})"
        case nn.Embedding():
            return f"Embedding({layer.num_embeddings}→{layer.embedding_dim})"
    return type(layer).__name__


def printout(module):
    """All layers of a module in order, one line; layers that do nothing are left out."""
    children = () if hasattr(module, "parametrizations") else module._modules.values()
    if not children:
        return "" if isinstance(module, nn.Identity) else in_notation(module)
    return " ".join(filter(None, map(printout, children)))


F1_GENERATOR = (
    "T(100→512,4,1,0,nb) BN ReLU T(512→256,4,2,1,nb) BN ReLU T(256→128,4,2,1,nb) BN ReLU "
    "T(128→64,4,2,1,nb) BN ReLU T(64→3,4,2,1,nb) Tanh"
)
F1_DISCRIMINATOR = (
    "C(3→64,4,2,1,nb) LReLU0.2 C(64→128,4,2,1,nb) BN LReLU0.2 C(128→256,4,2,1,nb) BN LReLU0.2 "
    "C(256→512,4,2,1,nb) BN LReLU0.2 C(512→1,4,1,0,nb)"
)
F2_GENERATOR = (
    "Upsample(x4,nearest) C(100→256,3,1,same) BN ReLU Drop0.2 PS2 C(64→256,3,1,same) BN ReLU Drop0.2 PS2 "
    "C(64→128,3,1,same) BN ReLU Drop0.2 PS2 C(32→128,3,1,same) BN ReLU Drop0.2 PS2 C(32→3,3,1,same) Tanh"
)


def attention(channels):
    """SAGAN's query, key and value."""
    return f"C({channels}→{channels // 8},1,1,0) C({channels}→{channels // 8},1,1,0) C({channels}→{channels},1,1,0)"


F3_GENERATOR = (
    "SN T(128→512,4,1,0) BN ReLU SN T(512→256,4,2,1) BN ReLU SN T(256→128,4,2,1) BN ReLU "
    f"{attention(128)} SN T(128→64,4,2,1) BN ReLU {attention(64)} T(64→3,4,2,1) Tanh"
)
F3_DISCRIMINATOR = (
    "SN C(3→64,4,2,1) LReLU0.1 SN C(64→128,4,2,1) LReLU0.1 SN C(128→256,4,2,1) LReLU0.1 "
    f"{attention(256)} SN C(256→512,4,2,1) LReLU0.1 {attention(512)} C(512→1,4,1,0)"
)
F4 = {
    "encoder": "C(3→32,3,2,1) BN LReLU0.01 C(32→64,3,2,1) BN LReLU0.01 C(64→128,3,2,1) BN LReLU0.01 "
    "C(128→256,3,2,1) BN LReLU0.01 C(256→512,3,2,1) BN LReLU0.01 Flatten",
    "mean": "L(2048→1024)",
    "log_variance": "L(2048→1024)",
    "decoder": "L(1024→2048) Unflatten T(512→256,3,2,1,op1) BN LReLU0.01 T(256→128,3,2,1,op1) BN LReLU0.01 "
    "T(128→64,3,2,1,op1) BN LReLU0.01 T(64→32,3,2,1,op1) BN LReLU0.01 T(32→32,3,2,1,op1) BN LReLU0.01 "
    "C(32→3,3,1,1) Tanh",
}
D1_GENERATOR = (
    "T(110→224,4,1,0,nb) BN ReLU T(224→112,4,2,1,nb) BN ReLU T(112→56,4,2,1,nb) BN ReLU T(56→28,2,1,1,nb) BN ReLU "
    "T(28→3,2,2,1,nb) Tanh"
)
D1_FEATURES = "C(3→28,4,2,1,nb) LReLU0.2 C(28→56,4,2,1,nb) BN LReLU0.2 C(56→112,3,2,1,nb) BN LReLU0.2"


def gelus(channels, out):
    """D3's residual convolution block."""
    return f"C({channels}→{out},3,1,1) BN GELU C({out}→{out},3,1,1) BN GELU"


D3 = {
    "first": "C(3→128,3,1,1) BN GELU",
    "second": "C(128→128,3,1,1) BN GELU",
    "down1": f"{gelus(128, 128)} MP2",
    "down2": f"{gelus(128, 256)} MP2",
    "to_vector": "AP7 GELU",
    "time1": "L(1→256) GELU L(256→256)",
    "time2": "L(1→128) GELU L(128→128)",
    "label1": "L(10→256) GELU L(256→256)",
    "label2": "L(10→128) GELU L(128→128)",
    "up0": "T(256→256,7,7,0) GN8 ReLU",
    "up1": f"T(512→128,2,2,0) {gelus(128, 128)} {gelus(128, 128)}",
    "up2": f"T(256→128,2,2,0) {gelus(128, 128)} {gelus(128, 128)}",
    "out": "C(256→128,3,1,1) GN8 ReLU C(128→3,3,1,1)",
}


def double(channels, out, middle=0):
    """D4's double convolution."""
    middle = middle or out
    return f"C({channels}→{middle},3,1,1,nb) GN1 GELU C({middle}→{out},3,1,1,nb) GN1"


def block(channels, out, middle=0):
    """D4's way down or up, and its self-attention."""
    attention = f"LN L({out}→{3 * out}) L({out}→{out}) LN L({out}→{out}) GELU L({out}→{out})"
    return f"{double(channels, channels)} {double(channels, out, middle)} SiLU L(256→{out}) {attention}"


D4 = {
    "label_embedding": "Embedding(10→256)",
    "first": double(3, 64),
    "halve": "MP2",
    "down1": block(64, 128),
    "down2": block(128, 256),
    "down3": block(256, 256),
    "bottleneck": f"{double(256, 512)} {double(512, 512)} {double(512, 256)}",
    "up1": block(512, 128, 256),
    "up2": block(256, 64, 128),
    "up3": block(128, 64, 64),
    "out": "C(64→3,1,1,0)",
}


def pooled(*channels):
    """3x3 convolutions with batch norm; a ReLU after pooling does what it does before, to a quarter as many."""
    pairs = zip((3, *channels), channels, strict=False)
    return " ".join(f"C({before}→{after},3,1,1) BN MP2 ReLU" for before, after in pairs)


def dann28(first, second, kernel, hidden, strided=False, dropped="Drop2d0.5 "):
    stride, pool = (2, "") if strided else (1, "MP2 ")
    size = 49 * second
    return {
        "features": f"C(3→{first},{kernel},{stride},{kernel // 2}) ReLU {pool}C({first}→{second},{kernel},{stride},"
        f"{kernel // 2}) BN {dropped}ReLU {pool}Flatten",
        "classes": f"L({size}→{hidden}) ReLU Drop0.5 L({hidden}→{hidden}) BN ReLU L({hidden}→10)",
        "domains": f"L({size}→{hidden}) BN ReLU L({hidden}→1)",
    }


A3_FEATURES = f"{pooled(64, 128, 256, 256, 512)} Flatten"
DANN = {
    "dann64": {
        "features": f"{pooled(64, 128, 256, 512, 1024)} AP Flatten",
        "classes": "L(1024→1024) ReLU L(1024→1024) ReLU L(1024→10)",
        "domains": "L(1024→1024) ReLU L(1024→1024) ReLU L(1024→1)",
    },
    "dann28": dann28(32, 48, 3, 100),
    "dann28-kernel5": dann28(32, 48, 5, 100),
    "dann28-strided": dann28(32, 48, 3, 100, strided=True),
    "dann28-wide": dann28(64, 128, 3, 200),
    "dann28-linear": dann28(32, 48, 3, 400),
    "dann28-no-dropout": dann28(32, 48, 3, 100, dropped=""),
    "dann32": {
        "features": A3_FEATURES,
        "classes": "L(512→512) ReLU L(512→512) ReLU L(512→10)",
        "domains": "L(512→512) BN ReLU L(512→512) BN ReLU L(512→512) BN ReLU L(512→512) BN ReLU L(512→1)",
    },
    "dann-cnn": {
        "features": "C(3→64,3,1,1) BN ReLU MP2 C(64→128,3,1,1) BN ReLU MP2 C(128→256,3,2,1) BN ReLU "
        "C(256→256,3,2,1) BN ReLU C(256→512,3,2,1) BN ReLU Flatten",
        "classes": "L(512→512) ReLU Drop0.5 L(512→10)",
        "domains": "L(512→512) BN ReLU L(512→1)",
    },
    "dann-cnn-wide": {
        "features": "C(3→64,3,1,1) BN ReLU MP2 C(64→128,3,1,1) BN ReLU MP2 C(128→256,3,2,1) BN ReLU "
        "C(256→256,3,2,1) BN ReLU C(256→512,3,1,1) BN ReLU Flatten",
        "classes": "L(2048→512) ReLU Drop0.5 L(512→10)",
        "domains": "L(2048→512) BN ReLU L(512→1)",
    },
    "dann-lenet": {
        "features": "C(3→32,5,1,0) BN ReLU MP2 C(32→48,5,1,0) BN Drop2d0.5 ReLU MP2 Flatten",
        "classes": "L(768→384) BN ReLU L(384→192) BN ReLU L(192→10)",
        "domains": "L(768→384) BN ReLU L(384→2) _Difference",
    },
    # The heads, 4x4 convolutions of 4x4 maps in the report, are linear.
    "dann-acgan": {"features": f"{D1_FEATURES} Flatten", "classes": "L(1792→10,nb)", "domains": "L(1792→1,nb)"},
}
DANN_PARTS = {
    "features": "classifier.feature_extractor",
    "classes": "classifier.label_classifier",
    "domains": "domain_classifier",
}
A6 = {
    "classifier.feature_extractor": A3_FEATURES,
    "private_source_encoder": A3_FEATURES,
    "private_target_encoder": A3_FEATURES,
    "decoder": "T(1024→512,4,2,1) BN ReLU T(512→256,4,2,1) BN ReLU T(256→128,4,2,1) BN ReLU T(128→64,4,2,1) BN ReLU "
    "T(64→3,4,2,1)",
    "classifier.label_classifier": "L(512→512) ReLU Drop0.5 L(512→10)",
    "domain_classifier": "L(512→512) BN ReLU L(512→1)",
}


def biased(layers):
    return layers.replace(",nb", "")


PRINTOUTS = {
    "dcgan-generator": {"": F1_GENERATOR},
    "dcgan-discriminator": {"": F1_DISCRIMINATOR},
    "pixelshuffle-generator": {"": F2_GENERATOR},
    "sagan-generator": {"": F3_GENERATOR},
    "sagan-discriminator": {"": F3_DISCRIMINATOR},
    "vae": F4,
    "acgan28-generator": {"": D1_GENERATOR},
    "acgan28-discriminator": {
        "features": D1_FEATURES,
        "source_head": "C(112→1,4,1,0,nb)",
        "class_head": "C(112→10,4,1,0,nb)",
    },
    "acgan64-generator": {
        "embedding": "L(10→20)",
        "generator": biased(F1_GENERATOR).replace("T(100→512", "T(120→512"),
    },
    "acgan64-discriminator": {"": biased(F1_DISCRIMINATOR).replace("512→1,", "512→11,")},
    "context-unet": D3,
    "attention-unet": D4,
    "dsn": A6,
    **{name: {DANN_PARTS[part]: layers for part, layers in parts.items()} for name, parts in DANN.items()},
}


@pytest.mark.parametrize("name", PRINTOUTS)
def test_layers_are_the_reported_ones(name):
    network = NETWORKS[name]()
    for part, layers in PRINTOUTS[name].items():
        assert printout(network.get_submodule(part)) == layers, part
    # Nothing has weights but what is listed.
    listed = [module for part in PRINTOUTS[name] for module in network.get_submodule(part).parameters()]
    own = [parameter for module in network.modules() for parameter in module.parameters(recurse=False)]
    assert len(listed) == len(own)


@pytest.mark.parametrize(
    ("name", "arguments", "layers"),
    [
        ("dcgan-generator", {"bias": True}, biased(F1_GENERATOR)),
        ("dcgan-discriminator", {"bias": True}, biased(F1_DISCRIMINATOR)),
        ("dcgan-discriminator", {"spectral_norm": True}, F1_DISCRIMINATOR.replace("C(", "SN C(")),
    ],
)
def test_what_other_reports_change(name, arguments, layers):
    assert printout(NETWORKS[name](**arguments)) == layers


@pytest.mark.parametrize("name", [name for name in NETWORKS if name.endswith("-classifier")])
def test_a_classifier_for_inference_is_the_part_of_the_network(name):
    classifier = NETWORKS[name.removesuffix("-classifier")]().classifier
    assert printout(NETWORKS[name]()) == printout(classifier)
    assert NETWORKS[name]().state_dict().keys() == classifier.state_dict().keys()
