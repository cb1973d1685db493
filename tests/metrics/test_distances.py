"""The formulas, on features whose scores are known."""

import itertools

import numpy as np
import pytest
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

from metrics.distances import fid, frechet_distance, gaussian, inception_score, kid, precision_recall
from runtime.errors import UserError

PAIRS_OF_12 = list(itertools.combinations(range(12), 2))


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


def test_fid_is_that_of_torch_fidelity():
    random = np.random.default_rng(3)
    sides = [random.normal(mean, 1, (40, 16)).astype(np.float32) for mean in (0, 0.3)]
    theirs = fid_statistics_to_metric(*(fid_features_to_statistics(torch.from_numpy(side)) for side in sides), False)
    assert fid(*sides) == pytest.approx(theirs[KEY_METRIC_FID], rel=1e-4)


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


def manifold_share(points, others, k):
    """The share of `points` within the ball around one of `others` that reaches its k-th nearest of the rest."""
    between = np.linalg.norm(others[:, None] - others[None], axis=2)
    radii = np.sort(between, axis=1)[:, k]  # the nearest is itself
    return (np.linalg.norm(points[:, None] - others[None], axis=2) <= radii).any(1).mean()


def test_precision_and_recall_by_hand():
    """On a line: of the reference 0, 1, 3, 7, the nearest lie 1, 1, 2, 4 away; of the generated 2, 20, 21: 18, 1, 1."""
    reference = np.array([[0.0], [1], [3], [7]], np.float32)
    generated = np.array([[2.0], [20], [21]], np.float32)
    precision, recall = precision_recall(generated, reference, neighbours=1)
    assert precision == pytest.approx(1 / 3) and recall == 1
    precision, recall = precision_recall(reference, generated, neighbours=1)
    assert precision == 1 and recall == pytest.approx(1 / 3)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_precision_and_recall_are_their_definitions(k):
    generated, reference = features(30, 3), features(50, 3, seed=1, shift=1.0)
    expected = manifold_share(generated, reference, k), manifold_share(reference, generated, k)
    assert expected[0] != expected[1]
    assert precision_recall(generated, reference, k) == pytest.approx(expected)
    assert precision_recall(generated, reference) == pytest.approx(
        (manifold_share(generated, reference, 3), manifold_share(reference, generated, 3))
    )


def squared_mmd(a, b):
    """Unbiased, with the kernel (x·y / D + 1)³: no picture is compared with itself."""
    kernel = lambda x, y: (x.astype(float) @ y.T.astype(float) / x.shape[1] + 1) ** 3  # noqa: E731
    within = [(kernel(x, x).sum() - np.trace(kernel(x, x))) / (len(x) * (len(x) - 1)) for x in (a, b)]
    return sum(within) - 2 * kernel(a, b).mean()


def test_kid_is_its_definition():
    a, b = features(12, 5), features(12, 5, seed=1, shift=0.5)
    mean, deviation = kid(a, b)  # every subset holds all
    assert mean == pytest.approx(squared_mmd(a, b), rel=1e-6) and deviation == pytest.approx(0, abs=1e-9)
    subsets = [squared_mmd(a[list(x)], b[list(y)]) for x in PAIRS_OF_12 for y in PAIRS_OF_12]
    mean, deviation = kid(a, b, subset_size=2, subsets=3000)
    assert mean == pytest.approx(np.mean(subsets), abs=5 * np.std(subsets) / 3000**0.5)
    assert deviation == pytest.approx(np.std(subsets), rel=0.1)


def test_kid_takes_a_hundred_subsets_of_a_thousand(monkeypatch):
    asked = {}

    def spy(*features, **options):
        asked.update(options)
        return {"kernel_inception_distance_mean": 0, "kernel_inception_distance_std": 0}

    monkeypatch.setattr("torch_fidelity.metric_kid.kid_features_to_metric", spy)
    kid(features(1200, 2), features(1500, 2))
    assert (asked["kid_subset_size"], asked["kid_subsets"]) == (1000, 100)
    kid(features(1200, 2), features(700, 2))
    assert asked["kid_subset_size"] == 700


def test_fid_by_hand():
    """Points 1 away from their centre on either axis, and 2: variances 2/3 and 8/3, centres 5 apart."""
    cross = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float32)
    wider = 2 * cross + np.array([3, 4], np.float32)
    assert fid(cross, wider) == pytest.approx(25 + 2 * ((8 / 3) ** 0.5 - (2 / 3) ** 0.5) ** 2)


def test_inception_score_is_its_definition():
    logits = features(40, 6)
    p = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(1, keepdims=True)
    divergence = (p * (np.log(p) - np.log(p.mean(0)))).sum(1).mean()
    assert inception_score(logits, splits=1) == (pytest.approx(np.exp(divergence), rel=1e-5), 0)
    # Ten parts of four pictures know less of the mean than the whole.
    mean, deviation = inception_score(logits)
    assert 1 < mean < np.exp(divergence) and deviation > 0


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
