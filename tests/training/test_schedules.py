import pytest
import torch

from runtime.errors import UserError
from training.schedules import Schedule


def rates(total, peak=2.0, steps_per_epoch=1, **settings):
    schedule = Schedule(**settings)
    schedule.check()
    return [schedule.learning_rate(peak, step, total, steps_per_epoch) for step in range(total)]


def test_one_cycle_is_torch_s():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0, 0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=50)
    for rate in rates(50, 3e-3, lr_schedule="one-cycle"):
        assert rate == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        if scheduler.last_epoch < 49:
            scheduler.step()


def test_warm_up_then_constant_linear_or_cosine():
    assert rates(12, warmup_steps=4) == [0.5, 1.0, 1.5, 2.0, *[2.0] * 8]
    cosine = rates(12, warmup_steps=4, lr_schedule="cosine")
    assert cosine[:5] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert cosine[8] == pytest.approx(1.0)  # half way down
    assert 0 < cosine[11] < 0.1
    linear = rates(12, warmup_steps=4, lr_schedule="linear")
    assert linear == [0.5, 1.0, 1.5, 2.0, 2.0, 1.75, 1.5, 1.25, 1.0, 0.75, 0.5, 0.25]


def test_halving_in_epochs_or_in_steps():
    in_steps = rates(7, lr_schedule="halved", halve_every_steps=3)
    assert in_steps == [2, 2, 2, 1, 1, 1, 0.5]
    assert rates(7, lr_schedule="halved", halve_every_epochs=1, steps_per_epoch=3) == in_steps
    for settings in ({}, {"halve_every_steps": 3, "halve_every_epochs": 1}):
        with pytest.raises(UserError, match="halved needs --halve-every-epochs or --halve-every-steps"):
            rates(7, lr_schedule="halved", **settings)


def test_one_cycle_has_a_warm_up_of_its_own():
    assert rates(7, lr_schedule="one-cycle", warmup_steps=2) == rates(7, lr_schedule="one-cycle")


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "fixmatch", "annealed", "one-cycle"])
@pytest.mark.parametrize(("total", "warmup"), [(1, 0), (2, 0), (3, 3), (4, 9)])
def test_short_runs(schedule, total, warmup):
    assert all(0 < rate <= 1 for rate in rates(total, 1.0, lr_schedule=schedule, warmup_steps=warmup))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", (2, 2, 2)),
        ("cosine", (2, 1, 0)),
        ("annealed", (2, 2 * 6**-0.75, 2 * 11**-0.75)),
        ("fixmatch", (2, 2 * 0.77301, 2 * 0.19509)),  # cosines of 0, 39.375 and 78.75 degrees
    ],
)
def test_decay_at_the_start_half_way_and_at_the_end(schedule, expected):
    schedule = Schedule(lr_schedule=schedule)
    found = [schedule.learning_rate(2.0, step, 100, 1) for step in (0, 50, 100)]
    assert found == pytest.approx(expected, rel=1e-4)
