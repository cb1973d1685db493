"""Features and logits against pytorch-fid's network, the weights file, and the cache of a reference's features."""

import os
import shutil

import numpy as np
import pytest
import torch
from pytorch_fid.fid_score import get_activations
from pytorch_fid.inception import InceptionV3, fid_inception_v3

from metrics import Unavailable
from metrics.inception import Inception, reference_features, weights_file
from metrics.pictures import read_pictures
from runtime.errors import UserError


@pytest.fixture
def torch_home(weights, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(weights.parents[2]))


@pytest.mark.parametrize("dims", [64, 192, 768, 2048])
def test_features_are_those_of_pytorch_fid(dims, weights, torch_home, folders):
    files = sorted(folders[0].iterdir())[:4]
    theirs = get_activations(files, InceptionV3([InceptionV3.BLOCK_INDEX_BY_DIM[dims]]), 4, dims, num_workers=0)
    ours = Inception(dims, weights, "cpu").features(read_pictures(folders[0])[0][:4])
    assert ours.shape == (4, dims) and ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max())


def test_logits_are_those_of_the_last_layer_without_its_bias(weights, torch_home, folders):
    images = read_pictures(folders[0])[0][:3]
    inception = Inception(64, weights, "cpu")
    features, logits = inception.features_and_logits(images)
    np.testing.assert_array_equal(features, inception.features(images))
    last = fid_inception_v3().fc
    pooled = torch.from_numpy(Inception(2048, weights, "cpu").features(images))
    expected = (last(pooled) - last.bias).detach().numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_precision_settings_are_put_back(weights_to_64):
    before = (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision())
    with torch.autocast("cpu", torch.bfloat16):
        features = Inception(64, weights_to_64, "cpu").features(np.full((1, 32, 32, 3), 200, np.uint8))
    assert (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()) == before
    exact = Inception(64, weights_to_64, "cpu").features(np.full((1, 32, 32, 3), 200, np.uint8))
    np.testing.assert_array_equal(features, exact)


def test_weights_are_found_where_torch_hub_keeps_them(weights, torch_home, weights_to_64):
    assert weights_file() == weights
    assert weights_file(weights_to_64) == weights_to_64


def test_nan_layers_are_unavailable_and_the_others_are_not(weights_to_768, weights_to_64):
    with pytest.raises(Unavailable, match="gives NaN at 2048 dimensions: use --dims 768, or get pt_inception"):
        Inception(2048, weights_to_768, "cpu")
    with pytest.raises(Unavailable, match="gives NaN at 192 dimensions: use --dims 64"):
        Inception(192, weights_to_64, "cpu")
    inception = Inception(64, weights_to_768, "cpu")
    features, logits = inception.features_and_logits(np.zeros((2, 64, 64, 3), np.uint8))
    assert np.isfinite(features).all() and logits is None
    assert "gives NaN at the class logits" in inception.why_no_logits


def test_weights_that_do_not_fit(tmp_path, weights_to_64):
    truncated = tmp_path / "truncated.pth"
    truncated.write_bytes(weights_to_64.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"cannot read the Inception weights .*truncated\.pth"):
        Inception(64, truncated, "cpu")
    code = tmp_path / "code.pth"
    torch.save(os.path.exists, code)  # loading it would have to run a function by its name
    with pytest.raises(UserError, match=r"cannot read the Inception weights .*code\.pth"):
        Inception(64, code, "cpu")
    for content in ({"weight": torch.zeros(3)}, {"Conv2d_1a_3x3.conv.weight": torch.zeros(3)}, [1, 2]):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(UserError, match=r"other\.pth does not hold the weights of the FID Inception"):
            Inception(64, tmp_path / "other.pth", "cpu")
    with pytest.raises(UserError, match="no such Inception weights"):
        Inception(64, tmp_path / "none.pth", "cpu")


@pytest.fixture
def extractions(monkeypatch):
    """A list that grows by one with every extraction."""
    calls, extract = [], Inception.features
    monkeypatch.setattr(Inception, "features", lambda self, images: calls.append(len(images)) or extract(self, images))
    return calls


def test_reference_features_are_cached_until_something_changes(weights_to_64, folders, tmp_path, extractions):
    folder = shutil.copytree(folders[1], tmp_path / "reference")
    inception = Inception(64, weights_to_64, "cpu")
    first = reference_features(inception, folder)
    np.testing.assert_array_equal(reference_features(inception, folder), first)
    assert extractions == [5]

    picture = folder / "00003.png"
    shutil.copy(folders[0] / "00000.png", picture)  # another picture under the same name
    changed = reference_features(inception, folder)
    assert extractions == [5, 5]
    assert (np.abs(changed - first).max(axis=1) > 0).tolist() == [index == 3 for index in range(5)]

    picture.unlink()
    assert reference_features(inception, folder).shape == (4, 64)
    os.utime(folder / "00000.png", (1, 1))
    reference_features(inception, folder)
    newer = tmp_path / "newer.pth"
    shutil.copy(weights_to_64, newer)
    reference_features(Inception(64, newer, "cpu"), folder)
    assert extractions == [5, 5, 4, 4, 4]
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 1  # former ones are dropped


def test_a_damaged_or_impossible_cache_is_no_obstacle(weights_to_64, folders, tmp_path, extractions, monkeypatch):
    inception = Inception(64, weights_to_64, "cpu")
    first = reference_features(inception, folders[1])
    (cached,) = (tmp_path / "cache").rglob("*.npy")
    cached.write_bytes(b"")
    np.testing.assert_array_equal(reference_features(inception, folders[1]), first)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    np.testing.assert_array_equal(reference_features(inception, folders[1]), first)
    assert extractions == [5, 5, 5]


def test_a_reference_is_read_whole_or_not_at_all(weights_to_64, folders, tmp_path):
    folder = shutil.copytree(folders[1], tmp_path / "reference")
    (folder / "broken.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"cannot read the reference picture .*broken\.png"):
        reference_features(Inception(64, weights_to_64, "cpu"), folder)
