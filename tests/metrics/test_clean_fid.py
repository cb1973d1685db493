"""Scores against clean-fid's, of the same pictures with the resizing of pytorch-fid, which both have; no download."""

import numpy as np
import pytest
import torch

from metrics.distances import fid, kid
from metrics.inception import Inception
from metrics.pictures import read_pictures

clean_fid = pytest.importorskip("cleanfid.fid", reason="clean-fid is not installed: requirements-dev.txt")
RESIZING = "legacy_pytorch"  # of its three: "clean" is bicubic with antialiasing, which is not comparable


def test_pictures_score_as_with_clean_fid(weights, folders, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(weights.parents[2]))  # where it keeps the weights that it would download
    on_cpu = {"device": torch.device("cpu")}
    extractor = clean_fid.build_feature_extractor(RESIZING, use_dataparallel=False, **on_cpu)
    options = {"num_workers": 0, "mode": RESIZING, "verbose": False} | on_cpu
    theirs = [clean_fid.get_folder_features(str(folder), extractor, **options) for folder in folders]
    inception = Inception(2048, weights, "cpu")
    ours = [inception.features(read_pictures(folder)[0]) for folder in folders]
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-4 * np.abs(other).max())
    few = [[side[:, :64] for side in both] for both in (ours, theirs)]  # its root of 2048x2048 takes a minute
    assert fid(*few[0]) == pytest.approx(clean_fid.fid_from_feats(*few[1]), rel=1e-3)


@pytest.mark.parametrize("count", [60, 10])  # 10 pictures in 16 dimensions: singular covariances
def test_fid_of_features_is_that_of_clean_fid(count):
    random = np.random.default_rng(3)
    sides = [random.normal(mean, 1, (count, 16)) for mean in (0, 0.3)]
    assert fid(*sides) == pytest.approx(clean_fid.fid_from_feats(*sides), rel=1e-6)


def test_kid_of_features_is_that_of_clean_fid():
    random = np.random.default_rng(3)
    sides = [random.normal(mean, 1, (60, 16)) for mean in (0, 0.3)]
    assert kid(*sides)[0] == pytest.approx(clean_fid.kernel_distance(*sides), rel=1e-6)  # each subset holds all
