import numpy as np
import pytest
import torch

from data.batches import ImageBatches
from runtime import processes
from runtime.errors import UserError
from runtime.seeds import RandomStream

COUNT, BATCH = 24, 8  # three batches an epoch
# Picture i is i on its left half and 100 + i on its right.
PICTURES = np.empty((COUNT, 4, 4, 3), np.uint8)
PICTURES[:, :, :2] = np.arange(COUNT)[:, None, None, None]
PICTURES[:, :, 2:] = 100 + np.arange(COUNT)[:, None, None, None]


def batches(images=PICTURES, seed=1, **options):
    return ImageBatches(images, BATCH, RandomStream(seed), **options)


@pytest.fixture(params=["resident", "memory-mapped"])
def options(request, tmp_path):
    """Arguments that make `batches` hold the pictures on the device, or leave them on disk."""
    if request.param == "resident":
        return {}
    np.save(tmp_path / "pictures.npy", PICTURES)
    return {"images": np.load(tmp_path / "pictures.npy", mmap_mode="r"), "resident_bytes": 0}


def levels(batch):
    return batch.add(1).mul(127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def pictures_of(source, *numbers):
    """The numbers of the pictures in the batches of these numbers."""
    return [number for batch in map(source.batch, numbers) for number in levels(batch)[:, 0, 0, 0].tolist()]


def test_pictures_become_numbers_from_minus_one_to_one(options):
    source = batches(**options)
    batch = source.batch(0)
    assert batch.shape == (BATCH, 3, 4, 4)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(levels(batch), PICTURES[pictures_of(source, 0)])
    extremes = np.array([0, 255] * 4, np.uint8).reshape(8, 1, 1, 1).repeat(3, axis=3)
    assert batches(extremes).batch(0).unique().tolist() == [-1, 1]


def test_an_epoch_holds_every_picture_once_in_an_order_of_its_own(options):
    source = batches(**options)
    assert source.per_epoch == 3
    orders = [pictures_of(source, 3 * epoch, 3 * epoch + 1, 3 * epoch + 2) for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(COUNT))
    assert len(set(map(tuple, [*orders, range(COUNT)]))) == 4


def test_pictures_that_fill_no_batch_wait_for_another_epoch():
    source = batches(PICTURES[:20])
    assert source.per_epoch == 2
    assert len(set(pictures_of(source, 0, 1))) == 16
    assert set(pictures_of(source, *range(40))) == set(range(20))


def test_a_batch_depends_on_its_number_and_the_seed_alone(options):
    in_order = batches(flip=True, **options)
    expected = [in_order.batch(number) for number in range(8)]
    jumping = batches(flip=True, **options)
    for number in (7, 2, 3, 3, 0):
        assert torch.equal(jumping.batch(number), expected[number])
    assert not torch.equal(batches(seed=2, flip=True, **options).batch(0), expected[0])


def test_balanced_batches_hold_every_class_equally_often(options):
    classes = np.repeat([0, 1, 2, 3], [1, 2, 5, 16])  # pictures 0; 1, 2; 3 to 7; 8 to 23
    source = batches(labels=classes, balanced=True, **options)
    labels = [source.labelled_batch(number)[1].tolist() for number in range(12)]
    for batch in labels:
        assert sorted(batch) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert any({batch[place] for batch in labels} == {0, 1, 2, 3} for place in range(BATCH))  # no place has a class
    assert {classes[number] for number in pictures_of(source, 0)} == {0, 1, 2, 3}
    epochs = [sorted(pictures_of(source, *range(first, first + 3))) for first in (0, 3)]
    for epoch in epochs:
        assert [epoch.count(number) for number in (0, 1, 2)] == [6, 3, 3]  # small classes begin again
        assert len({number for number in epoch if number >= 8}) == 6  # of the largest, each at most once
    assert epochs[0] != epochs[1]
    assert set(pictures_of(source, *range(60))) == set(range(COUNT))
    jumping = batches(labels=classes, balanced=True, **options)
    assert torch.equal(jumping.batch(7), source.batch(7))


@pytest.mark.parametrize("count", [1, 2])
def test_labels_stay_with_their_pictures(options, count, monkeypatch):
    monkeypatch.setattr(processes, "world_size", lambda: count)
    monkeypatch.setattr(processes, "process_number", lambda: count - 1)
    source = batches(labels=np.arange(COUNT)[::-1].copy(), **options)
    for number in (0, 2, 3, 7, 1):  # over the ends of epochs, and back
        images, labels = source.labelled_batch(number)
        assert levels(images)[:, 0, 0, 0].tolist() == (COUNT - 1 - labels).tolist()


def test_memory_mapped_batches_equal_resident_ones(tmp_path):
    np.save(tmp_path / "pictures.npy", PICTURES)
    mapped = batches(np.load(tmp_path / "pictures.npy", mmap_mode="r"), flip=True, resident_bytes=0)
    resident = batches(flip=True)
    assert resident.resident
    assert not mapped.resident
    for number in range(7):
        assert torch.equal(mapped.batch(number), resident.batch(number))


def test_about_half_of_the_pictures_are_flipped_anew_in_every_epoch():
    plain, flipping = batches(), batches(flip=True)
    flipped = []
    for number in range(60):
        original, batch = plain.batch(number), flipping.batch(number)
        mirrored = (batch == original.flip(3)).all(dim=(1, 2, 3))
        assert (mirrored | (batch == original).all(dim=(1, 2, 3))).all()
        flipped += mirrored.tolist()
    assert 0.4 < np.mean(flipped) < 0.6
    assert flipped[:COUNT] != flipped[COUNT : 2 * COUNT]


def test_the_parts_of_two_processes_make_up_the_global_batch(options, monkeypatch):
    whole = list(map(batches(flip=True, **options).batch, range(4)))
    monkeypatch.setattr(processes, "world_size", lambda: 2)
    parts = []
    for rank in (0, 1):
        monkeypatch.setattr(processes, "process_number", lambda rank=rank: rank)
        parts.append(list(map(batches(flip=True, **options).batch, range(4))))
    for one, two, batch in zip(*parts, whole, strict=True):
        assert len(one) == len(two) == BATCH // 2
        assert torch.equal(torch.cat([one, two]), batch)


def test_fewer_pictures_than_a_batch_are_an_error():
    with pytest.raises(UserError, match="7 pictures do not fill a batch of 8: use a smaller --batch-size"):
        batches(PICTURES[:7])
