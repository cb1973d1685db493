"""How far a classifier's confidence is from its accuracy."""

import numpy as np


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """The expected calibration error, in [0, 1], of class probabilities (N, K) for labels (N,).

    Images are put into `bins` equal intervals of their highest probability; it is the mean distance, weighted by their
    numbers, of the intervals' accuracies from their mean highest probabilities (Guo et al., *On Calibration of Modern
    Neural Networks*, ICML 2017, section 2).
    """
    confidences, right = probabilities.max(1), probabilities.argmax(1) == labels
    interval = np.minimum((confidences * bins).astype(int), bins - 1)
    gaps = np.bincount(interval, confidences - right, minlength=bins)  # sums over the interval
    return float(np.abs(gaps).sum() / len(labels))
