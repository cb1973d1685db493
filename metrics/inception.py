"""The FID Inception network: its features and logits for uint8 pictures, and the cached features of a folder.

Network and weights are pytorch-fid's (Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local
Nash Equilibrium", 2017, appendix A1), and so are the input (bilinear to 299x299, [-1, 1]) and the float32 arithmetic.
It is faster because batch normalisation is folded into the convolutions, memory is channels-last, no layer past the
needed one is built, and no worker processes carry decoded pictures about. Nothing is ever downloaded. torchvision is
imported where it is used: it takes a second, which `--help` need not wait for.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from tqdm import tqdm

from data.cache import cached_array
from data.decoded import image_names
from metrics import Unavailable, passport
from metrics.pictures import read_reference
from runtime.device import OnDevice, choose_execution
from runtime.errors import UserError
from runtime.processes import is_first, of_all_shares, own_share

WEIGHTS_NAME = "pt_inception-2015-12-05-6726825d.pth"
WEIGHTS_PAGE = "https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights"
GET_WEIGHTS = f"get {WEIGHTS_NAME} from {WEIGHTS_PAGE}"

# Width of the features → the layers that make them out of the features before. Pooling is global averaging.
LAYERS = {
    64: ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1"),
    192: ("Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
    768: ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    2048: ("Mixed_7a", "Mixed_7b", "Mixed_7c"),
}
BATCH = 50  # pictures in a pass, as pytorch-fid has it


@dataclass(kw_only=True)
class InceptionSettings(OnDevice):
    """Settings of the commands that compare images by Inception features."""

    dims: Literal[2048, 768, 192, 64] = 2048
    """Width of the Inception features; only 2048 compares with published values."""
    inception_weights: Path | None = None
    """pytorch-fid's Inception weights (default: where torch.hub keeps them, $TORCH_HOME/hub/checkpoints)."""

    def inception(self) -> "Inception":
        """The network that these settings name; raises what it raises."""
        return Inception(self.dims, self.inception_weights, self.device)


class Inception:
    """The FID Inception on a device, ready to turn pictures into features of one width.

    `dims` is the width of the features: 2048 (the usual one), 768, 192 or 64. `weights` is a file; without one, the
    file that pytorch-fid downloads is looked for where torch.hub keeps its files. `device` is auto (a GPU if there is
    one), cpu, cuda or cuda:N. `why_no_logits` says why the class logits cannot be had, or is None.

    Raises Unavailable when there are no weights or they lack the layers for `dims`; UserError when the weights cannot
    be read, are another network's, or the device does not exist.
    """

    name = "inception"
    resizing = "bilinear to 299x299 as pytorch-fid"

    def __init__(self, dims: int = 2048, weights: Path | None = None, device: str = "auto") -> None:
        self.dims = dims
        self.execution = choose_execution(device, "float32")
        self.weights = weights_file(weights)
        network = _load(self.weights)
        reachable = _reachable_widths(network)
        if dims not in reachable:
            smaller = f"use --dims {reachable[-1]}, or " if reachable else ""
            raise Unavailable(f"{self.weights} gives NaN at {dims} dimensions: {smaller}{GET_WEIGHTS}")
        has_logits = 2048 in reachable and _whole(network.fc)
        self.why_no_logits = None if has_logits else f"{self.weights} gives NaN at the class logits: {GET_WEIGHTS}"

        deepest = 2048 if has_logits else dims
        self._stages = {
            width: nn.Sequential(*(self._prepared(network.get_submodule(name)) for name in layers))
            for width, layers in LAYERS.items()
            if width <= deepest
        }
        self._class_weights = network.fc.weight.float().to(self.execution.device) if has_logits else None

    def features(self, images: np.ndarray) -> np.ndarray:
        """Features of uint8 RGB pictures (N, H, W, 3) as float32 (N, dims)."""
        return self._run(images, with_logits=False)[0]

    def features_and_logits(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Features (N, dims) and class logits (N, 1008), both float32, from one pass; logits are None if unavailable.

        As in the reference implementation of the Inception score, the logits leave out the last layer's bias.
        """
        return self._run(images, with_logits=self.why_no_logits is None)

    @torch.no_grad()
    def _prepared(self, module: nn.Module) -> nn.Module:
        """`module` on the device, channels-last, each batch normalisation folded into the convolution before it."""
        from torchvision.models.inception import BasicConv2d

        for block in module.modules():
            if isinstance(block, BasicConv2d):
                block.conv = fuse_conv_bn_eval(block.conv, block.bn)
                block.bn = nn.Identity()
        return self.execution.place(module.float())

    @torch.no_grad()
    def _run(self, images: np.ndarray, with_logits: bool) -> tuple[np.ndarray, np.ndarray | None]:
        features, logits = [], []
        starts, silent = own_share(range(0, len(images), BATCH)), None if is_first() else True
        with self.execution.autocast():
            for start in tqdm(starts, "Inception", leave=False, disable=silent):
                # A copy, because the pictures may be a read-only memory map.
                batch = torch.from_numpy(np.array(images[start : start + BATCH])).to(self.execution.device)
                pooled = self._pooled(batch, 2048 if with_logits else self.dims)
                features.append(pooled[self.dims].cpu())
                if with_logits:
                    logits.append((pooled[2048] @ self._class_weights.T).cpu())
        features, logits = torch.cat(of_all_shares(features)), of_all_shares(logits)
        return features.numpy(), torch.cat(logits).numpy() if with_logits else None

    def _pooled(self, batch: Tensor, deepest: int) -> dict[int, Tensor]:
        """Globally averaged features (B, width) of every stage up to `deepest`, for uint8 pictures (B, H, W, 3)."""
        # Permuting (B, H, W, 3) gives channels-last memory for nothing; scaling is cheaper before the resize.
        x = batch.permute(0, 3, 1, 2).float() / 255 * 2 - 1
        x = nn.functional.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False)
        pooled = {}
        for width, stage in self._stages.items():
            if width <= deepest:
                x = stage(x)
                pooled[width] = x.mean((2, 3))
        return pooled


def fid_inception() -> nn.Module:
    """pytorch-fid's `fid_inception_v3` without weights, and so without its download, on the meta device.

    No time is spent on initial values, which the weights replace.
    """
    from pytorch_fid.inception import FIDInceptionA, FIDInceptionC, FIDInceptionE_1, FIDInceptionE_2
    from torchvision.models import inception_v3

    with torch.device("meta"):
        network = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
        network.Mixed_5b = FIDInceptionA(192, pool_features=32)
        network.Mixed_5c = FIDInceptionA(256, pool_features=64)
        network.Mixed_5d = FIDInceptionA(288, pool_features=64)
        network.Mixed_6b = FIDInceptionC(768, channels_7x7=128)
        network.Mixed_6c = FIDInceptionC(768, channels_7x7=160)
        network.Mixed_6d = FIDInceptionC(768, channels_7x7=160)
        network.Mixed_6e = FIDInceptionC(768, channels_7x7=192)
        network.Mixed_7b = FIDInceptionE_1(1280)
        network.Mixed_7c = FIDInceptionE_2(2048)
    return network


def weights_file(given: Path | None = None) -> Path:
    """The Inception weights: the file given, else `$TORCH_HOME/hub/checkpoints/pt_inception-2015-12-05-6726825d.pth`.

    Raises UserError when the given file does not exist, Unavailable when none is given and none lies there.
    """
    if given is not None:
        if not given.is_file():
            raise UserError(f"no such Inception weights: {given}")
        return given
    default = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_NAME
    if not default.is_file():
        raise Unavailable(
            f"Inception weights not found: put {WEIGHTS_NAME} (from {WEIGHTS_PAGE}) under {default.parent} or pass "
            "--inception-weights FILE"
        )
    return default


def reference_features(extractor: passport.Extractor, folder: Path) -> np.ndarray:
    """`extractor.features` of all pictures in `folder`, float32 (N, D), kept in the user's cache folder.

    They are extracted anew once a name, size or modification time in the folder, or the weights file, has changed; the
    former ones are then dropped. Raises UserError as `metrics.pictures.read_reference` does.
    """
    folder = folder.resolve()
    files = [extractor.weights.resolve(), *(folder / name for name in image_names(folder))]
    subject = f"{extractor.name} {folder} {extractor.dims}"
    # A copy in memory: the scores want arrays they may share with torch.
    return np.array(cached_array(subject, files, lambda: extractor.features(read_reference(folder))))


def reference_passport(extractor: passport.Extractor, folder: Path) -> passport.Passport:
    """The part of a passport about features and what they are compared with, the pictures in `folder`."""
    folder = folder.resolve()
    files = [folder / name for name in image_names(folder)]
    described = cached_array(f"hash {folder}", files, lambda: np.array([passport.of_reference(read_reference(folder))]))
    return passport.of_extractor(extractor) | {"reference": str(described[0])}


def _load(path: Path) -> nn.Module:
    """`fid_inception` with the weights of `path`; what the file lacks stays on the meta device."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail anywhere in unpickling, with nearly any exception
        raise UserError(f"cannot read the Inception weights {path}, is it damaged? {GET_WEIGHTS}") from error
    network = fid_inception()
    try:
        network.load_state_dict(state, strict=False, assign=True)
        fits = not network.Conv2d_1a_3x3.conv.weight.is_meta
    except (RuntimeError, TypeError, AttributeError):  # other shapes, or no state dict at all
        fits = False
    if not fits:
        raise UserError(f"{path} does not hold the weights of the FID Inception: {GET_WEIGHTS}")
    return network.eval()


def _reachable_widths(network: nn.Module) -> list[int]:
    """The feature widths before the first stage with a value that the file lacks or that is not finite."""
    reachable = []
    for width, layers in LAYERS.items():
        if not all(_whole(network.get_submodule(name)) for name in layers):
            break
        reachable.append(width)
    return reachable


def _whole(module: nn.Module) -> bool:
    """Whether every value of `module` was in the weights file and is finite."""
    values = [*module.parameters(), *module.buffers()]
    return all(not value.is_meta and bool(value.isfinite().all()) for value in values)
