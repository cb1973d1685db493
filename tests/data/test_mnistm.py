import numpy as np

from data.mnistm import blend


def test_formula_by_hand():
    photograph = np.array([[[10, 200, 255]]], np.uint8)  # one pixel, so there is one patch
    digits = np.array([[[0]], [[255]], [[100]]], np.uint8)
    assert blend(digits, [photograph], 0)[:, 0, 0].tolist() == [[10, 200, 255], [245, 55, 0], [90, 100, 155]]


def test_patches_come_from_everywhere_in_every_photograph():
    # Each photograph pixel says which photograph, row and column it is; a black digit lets it through.
    photographs = [
        np.stack([np.full(shape, index), *np.indices(shape)], -1).astype(np.uint8)
        for index, shape in enumerate([(5, 9), (9, 5), (4, 4)])
    ]
    blended = blend(np.zeros((3000, 4, 4), np.uint8), photographs, 3)
    corners = {tuple(corner) for corner in blended[:, 0, 0].tolist()}
    expected = {(0, y, x) for y in range(2) for x in range(6)} | {(1, y, x) for y in range(6) for x in range(2)}
    assert corners == expected | {(2, 0, 0)}
    assert np.array_equal(blended[..., 1] - blended[:, :1, :1, 1], np.broadcast_to(np.arange(4)[:, None], (3000, 4, 4)))


def test_same_seed_same_pictures():
    random = np.random.RandomState(0)
    digits, photographs = random.randint(0, 256, (6, 28, 28)), [random.randint(0, 256, (60, 50, 3), np.uint8)]
    first, again, other = (blend(digits, photographs, seed) for seed in (1, 1, 2))
    assert first.shape == (6, 28, 28, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again) and not np.array_equal(first, other)
