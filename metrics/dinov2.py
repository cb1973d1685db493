"""DINOv2 features by torch-fidelity, of a network that was taught no classes: the third feature space for faces.

FD on them agrees better with human judgement than on Inception features (Stein et al., "Exposing flaws of generative
model evaluation metrics and their unfair treatment of diffusion models", NeurIPS 2023). Nothing is downloaded.
"""

from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from metrics import Unavailable
from runtime.device import choose_execution
from runtime.processes import of_all_shares, own_share

CODE, WEIGHTS = "facebookresearch_dinov2_main", "dinov2_vitl14_pretrain.pth"  # as torch.hub names them
LOAD = "torch.hub.load('facebookresearch/dinov2', 'dinov2_vitl14')"
BATCH = 50  # pictures in a pass


class DINOv2:
    """DINOv2's ViT-L/14; raises Unavailable where torch.hub has not kept its code and weights."""

    name = "dinov2"
    resizing = "bilinear to 224x224 as torch-fidelity"
    dims = 1024

    def __init__(self, device: str = "auto") -> None:
        from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2

        self.weights = weights_file()
        self.execution = choose_execution(device, "float32")
        self.network = self.execution.place(FeatureExtractorDinoV2("dinov2-vit-l-14", ["dinov2"]))

    @torch.inference_mode()
    def features(self, images: np.ndarray) -> np.ndarray:
        """Features, float32 (N, 1024), of pictures, uint8 RGB (N, H, W, 3)."""
        features = []
        for start in tqdm(own_share(range(0, len(images), BATCH)), "DINOv2", leave=False, disable=None):
            batch = torch.from_numpy(np.array(images[start : start + BATCH])).permute(0, 3, 1, 2)
            features.append(self.network(batch.to(self.execution.device))[0].cpu().numpy())
        return np.concatenate(of_all_shares(features))


def weights_file() -> Path:
    """The network's weights where torch.hub keeps them; Unavailable when they or its code are not there."""
    hub = Path(torch.hub.get_dir())
    path = hub / "checkpoints" / WEIGHTS
    if not (path.is_file() and (hub / CODE).is_dir()):
        raise Unavailable(f"DINOv2's code and weights, {CODE} and {path.name}, are not in {hub}: get them by {LOAD}")
    return path
