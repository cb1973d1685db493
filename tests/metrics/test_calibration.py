"""Expected calibration error against values worked out by hand."""

import numpy as np
import pytest

from metrics.calibration import calibration_error


def two_classes(*confidences):
    """Probabilities that put class 0 first."""
    return np.array([[confidence, 1 - confidence] for confidence in confidences])


def test_confidence_that_is_right_as_often_has_no_error():
    probabilities = two_classes(*[0.75] * 4)
    assert calibration_error(probabilities, np.array([0, 0, 0, 1])) == pytest.approx(0)
    assert calibration_error(probabilities, np.array([1, 1, 1, 1])) == pytest.approx(0.75)


def test_intervals_are_weighted_by_their_images_and_do_not_cancel():
    # In ten intervals: 0.65 and 0.61 together, one of two right; 0.92 alone, right; 1 belongs to the last one, wrong.
    probabilities, labels = two_classes(0.65, 0.61, 0.92, 1.0), np.array([0, 1, 0, 1])
    first, last = abs(0.63 - 0.5), abs(0.96 - 0.5)
    assert calibration_error(probabilities, labels, bins=10) == pytest.approx((2 * first + 2 * last) / 4)
    over, under = two_classes(0.95, 0.55), np.array([1, 0])  # one too sure, one not sure enough
    assert calibration_error(over, under, bins=10) == pytest.approx((0.95 + 0.45) / 2)
