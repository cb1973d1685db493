import pytest
import torch

from training.schedules import learning_rate, learning_rate_after


def test_one_cycle_is_torch_s():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0, 0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=50)
    for step in range(50):
        assert learning_rate(3e-3, "one-cycle", step, 50) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        if step < 49:
            scheduler.step()


def test_warm_up_then_constant_linear_or_cosine():
    constant = [learning_rate(2.0, "constant", step, 12, warmup=4) for step in range(12)]
    assert constant == [0.5, 1.0, 1.5, 2.0, *[2.0] * 8]
    cosine = [learning_rate(2.0, "cosine", step, 12, warmup=4) for step in range(12)]
    assert cosine[:5] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert cosine[8] == pytest.approx(1.0)  # half way down
    assert 0 < cosine[11] < 0.1
    linear = [learning_rate(2.0, "linear", step, 12, warmup=4) for step in range(12)]
    assert linear == [0.5, 1.0, 1.5, 2.0, 2.0, 1.75, 1.5, 1.25, 1.0, 0.75, 0.5, 0.25]


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "one-cycle"])
@pytest.mark.parametrize(("total", "warmup"), [(1, 0), (2, 0), (3, 3), (4, 9)])
def test_short_runs(schedule, total, warmup):
    for step in range(total):
        assert 0 < learning_rate(1.0, schedule, step, total, warmup) <= 1


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", (2, 2, 2)),
        ("cosine", (2, 1, 0)),
        ("annealed", (2, 2 * 6**-0.75, 2 * 11**-0.75)),
        ("fixmatch", (2, 2 * 0.77301, 2 * 0.19509)),  # cosines of 0, 39.375 and 78.75 degrees
    ],
)
def test_course_of_an_adaptation(schedule, rates):
    assert [learning_rate_after(part, 2.0, schedule) for part in (0, 0.5, 1)] == pytest.approx(rates, rel=1e-4)
