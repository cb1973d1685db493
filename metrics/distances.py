"""FID, KID, precision and recall, and Inception score, each from features that were extracted once.

Features are those of `metrics.inception`: rows are pictures, columns the 64, 192, 768 or 2048 dimensions asked for; all
scores of one table use the same ones. Only at 2048 dimensions do FID, KID and the Inception score compare with
published values. torch-fidelity is imported where it is used: it takes a second, which `--help` need not wait for.
"""

import numpy as np
import torch

from runtime.errors import UserError


def fid(generated: np.ndarray, reference: np.ndarray) -> float:
    """Fréchet Inception distance of features (N, D) and (M, D), at least two of each; 0 is best.

    Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", 2017, section 2.
    Raises UserError for fewer than two pictures: they have no covariance.
    """
    return frechet_distance(*gaussian(generated), *gaussian(reference))


def gaussian(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and unbiased covariance (D, D) of features (N, D), in float64.

    Raises UserError for fewer than two rows.
    """
    if len(features) < 2:
        raise UserError(f"FID needs at least 2 pictures on each side, got {len(features)}")
    features = features.astype(np.float64)
    return features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))


def frechet_distance(mean_a: np.ndarray, cov_a: np.ndarray, mean_b: np.ndarray, cov_b: np.ndarray) -> float:
    """|mean_a − mean_b|² + tr(cov_a + cov_b − 2 (cov_a cov_b)^½), for means (D,) and covariances (D, D).

    Heusel et al. 2017, equation 6. The trace of the root is taken from the symmetric √cov_a cov_b √cov_a, which has
    the eigenvalues of the product: unlike a general matrix root it stays real for singular covariances (fewer pictures
    than dimensions) and takes a quarter of the time.
    """
    values, vectors = np.linalg.eigh(cov_a)
    root_a = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    squares = np.linalg.eigvalsh(root_a @ cov_b @ root_a)
    trace_of_root = np.sqrt(squares.clip(min=0)).sum()
    return float(np.square(mean_a - mean_b).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * trace_of_root)


def kid(
    generated: np.ndarray, reference: np.ndarray, subset_size: int = 1000, subsets: int = 100
) -> tuple[float, float]:
    """Kernel Inception distance of features (N, D) and (M, D): mean and standard deviation over random subsets.

    Bińkowski et al., "Demystifying MMD GANs" (2018), section 4: the unbiased squared MMD with kernel (x·y/D + 1)³, so
    equal distributions give about 0, slightly negative included. A subset holds `subset_size` pictures of each side,
    or as many as the smaller side has. Needs at least two of each.
    """
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

    scores = kid_features_to_metric(
        torch.from_numpy(generated).double(),  # cubes of sums over D: float32 would lose the small differences
        torch.from_numpy(reference).double(),
        kid_subset_size=min(subset_size, len(generated), len(reference)),
        kid_subsets=subsets,
        verbose=False,
    )
    return scores[KEY_METRIC_KID_MEAN], scores[KEY_METRIC_KID_STD]


def precision_recall(generated: np.ndarray, reference: np.ndarray, neighbours: int = 3) -> tuple[float, float]:
    """Improved precision and recall, both in [0, 1], of features (N, D) and (M, D).

    Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models" (2019), section 2:
    precision is the share of generated pictures within the reference manifold (the balls that reach each picture's
    `neighbours`-th nearest neighbour), recall the share of reference pictures within the generated one. With fewer
    than `neighbours` + 1 pictures on a side, all its others count as neighbours.
    """
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    scores = prc_features_to_metric(
        torch.from_numpy(generated),  # first since torch-fidelity 0.4; before, precision and recall were the other way
        torch.from_numpy(reference),
        prc_neighborhood=min(neighbours, len(generated) - 1, len(reference) - 1),
        save_cpu_ram=True,  # distances in blocks: 40,000 pictures would need 6 GB at once
        verbose=False,
    )
    return scores[KEY_METRIC_PRECISION], scores[KEY_METRIC_RECALL]


def inception_score(logits: np.ndarray, splits: int = 10) -> tuple[float, float]:
    """Inception score from class logits (N, 1008): mean and standard deviation over `splits` shuffled parts.

    Salimans et al., "Improved Techniques for Training GANs" (2016), section 4: exp of the mean KL(p(y|x) ‖ p(y)),
    between 1 and 1008, higher is better. With fewer than `splits` pictures each is a part of its own, which scores 1.
    """
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric

    scores = isc_features_to_metric(torch.from_numpy(logits), splits=min(splits, len(logits)))
    return scores[KEY_METRIC_ISC_MEAN], scores[KEY_METRIC_ISC_STD]
