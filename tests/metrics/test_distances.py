"""The formulas, on features whose scores are known."""

import numpy as np
import pytest
from pytorch_fid.fid_score import calculate_frechet_distance

from metrics.distances import fid, frechet_distance, gaussian, inception_score, kid, precision_recall
from runtime.errors import UserError


def features(count, width=8, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, (count, width)).astype(np.float32)


def test_frechet_distance_of_known_gaussians():
    zero, eye = np.zeros(2), np.eye(2)
    assert frechet_distance(zero, eye, zero, eye) == pytest.approx(0, abs=1e-12)
    assert frechet_distance(zero, eye, np.array([3, 4]), eye) == pytest.approx(25)
    # In one dimension it is (difference of means)² + (difference of standard deviations)².
    assert frechet_distance(zero, np.diag([4, 9]), zero, np.diag([1, 25])) == pytest.approx(1 + 4)
    turned = np.array([[2.0, 1.0], [1.0, 2.0]])  # eigenvalues 1 and 3
    assert frechet_distance(zero, turned, zero, eye) == pytest.approx((3**0.5 - 1) ** 2)


@pytest.mark.parametrize("count", [40, 6])  # 6 pictures in 16 dimensions: singular covariances
def test_frechet_distance_is_that_of_pytorch_fid(count):
    a, b = gaussian(features(count, 16)), gaussian(features(count + 1, 16, seed=1, shift=0.3))
    assert frechet_distance(*a, *b) == pytest.approx(calculate_frechet_distance(*a, *b), abs=1e-5)


def test_fid_needs_two_pictures():
    with pytest.raises(UserError, match="at least 2 pictures on each side, got 1"):
        fid(features(1), features(5))


def test_kid_is_about_zero_for_one_distribution_and_positive_for_two():
    same, spread = kid(features(300), features(400, seed=1), subset_size=200, subsets=20)
    assert abs(same) < 3 * spread + 1e-3
    assert kid(features(300), features(400, seed=1, shift=1), subset_size=200, subsets=20)[0] > 0.5


def test_kid_takes_as_many_as_there_are():
    same = features(5)
    assert kid(same, same)[0] < 0.1


def test_precision_and_recall():
    real = features(200)
    assert precision_recall(real, real) == (1, 1)
    assert precision_recall(real + 100, real) == (0, 0)
    precise, recalled = precision_recall(real * 0.1, real)  # all in the middle: good pictures of little variety
    assert precise == 1 and recalled < 0.2
    precise, recalled = precision_recall(np.concatenate([real, real + 100]), real)  # everything, and as much rubbish
    assert precise == 0.5 and recalled == 1


def test_precision_and_recall_of_few():
    assert precision_recall(features(2), features(2)) == (1, 1)


def test_inception_score_bounds():
    undecided = np.zeros((50, 1008), np.float32)
    assert inception_score(undecided)[0] == pytest.approx(1)
    one_each = 100 * np.eye(1008, dtype=np.float32)
    assert inception_score(one_each, splits=1)[0] == pytest.approx(1008, rel=1e-3)
    mean, spread = inception_score(features(60, 1008))
    assert 1 <= mean <= 6 and spread >= 0
    assert inception_score(one_each[:4]) == (pytest.approx(1), pytest.approx(0))
