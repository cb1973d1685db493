"""What a thread makes ahead."""

import threading

import pytest
import torch

from runtime.ahead import Ahead, pack, unpack


def test_the_next_is_made_meanwhile_and_any_number_may_be_asked_for():
    made, begun = [], threading.Event()

    def make(number):
        made.append(number)
        if number == 6:
            begun.set()
        return (torch.tensor(10 * number),)

    ahead = Ahead(make, "cpu")
    assert ahead(5) == [50]
    assert begun.wait(10)  # nobody has asked for 6 yet
    assert [ahead(number) for number in (6, 7, 2, 3)] == [[60], [70], [20], [30]]
    assert made[:3] == [5, 6, 7] and made.count(6) == made.count(3) == 1


def test_an_error_is_raised_when_it_is_asked_for():
    ahead = Ahead(lambda number: (torch.tensor(1 // number),), "cpu")
    assert ahead(-1) == [-1]
    with pytest.raises(ZeroDivisionError):
        ahead(0)


def test_what_was_packed_is_unpacked_as_it_was():
    normal, mask = torch.randn(3, 5, dtype=torch.float64), torch.tensor([True, False, True])
    tensors = [mask, normal.t(), torch.tensor(7), torch.empty(0, 4), torch.arange(5, dtype=torch.int16)]
    packed = pack(tensors)
    unpacked = unpack(packed, tensors)
    for tensor, other in zip(tensors, unpacked, strict=True):
        assert other.dtype == tensor.dtype and torch.equal(other, tensor)
        assert other.untyped_storage().data_ptr() == packed.data_ptr()  # one copy carries all
