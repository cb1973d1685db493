"""Students of a diffusion model: against the exact paths of normal pixels."""

import math

import pytest
import torch

from models.consistency import Consistency
from models.generator import Sampling
from runtime.errors import UserError
from tests.exact_images import DEVIATION, MEAN, gaussian, normal, path, sampled, toy

SHAPE, LABELS = (3, 2, 4, 4), torch.tensor([3, 0, 9])
STUDENT = Consistency(0.6, edges=(80.0, 3.0, 0.5, 0.0))


def perfect_student(given, c_noise, labels):
    """The network that jumps along the exact path of Gaussian pixels to the edge of each phase."""
    sigma = (4 * c_noise.double()).exp()[:, None, None, None]
    c_skip, c_out, c_in, _ = STUDENT.preconditioning(sigma)
    noisy = given / c_in
    inner = torch.tensor([3.0, 0.5, 0.0], dtype=torch.float64)
    edge = torch.stack([inner[inner < level - 1e-9].max() for level in sigma.flatten()])[:, None, None, None]
    clean = (path(noisy, sigma, edge) - edge / sigma * noisy) / (1 - edge / sigma)
    return (clean - c_skip * noisy) / c_out


def test_noise_levels_of_a_student():
    levels, edges = STUDENT.grid(4)
    assert len(levels) == len(edges) == 13
    assert levels[[0, 4, 8, 12]].tolist() == pytest.approx([0.002, 0.5, 3, 80])
    assert (levels.diff() > 0).all()
    assert edges.tolist() == [0] * 5 + [0.5] * 4 + [3.0] * 4
    assert (edges[1:] <= levels[:-1]).all()  # a step of the teacher's never leaves its phase
    steps = levels[4:9] ** (1 / 7)
    torch.testing.assert_close(steps.diff(), steps.diff().mean().expand(4))


def test_a_teacher_s_step_follows_the_path():
    levels, _ = STUDENT.grid(8)
    sigma, next_sigma = levels[1:], levels[:-1]
    noisy = MEAN + normal(24, 1, 1, 1) * (DEVIATION**2 + sigma[:, None, None, None] ** 2).sqrt()
    labels = torch.zeros(24).long()
    reached = STUDENT.heun_step(gaussian(STUDENT), noisy, sigma, next_sigma, labels, Sampling(guidance=1.0))
    exact = path(noisy, sigma[:, None, None, None], next_sigma[:, None, None, None])
    torch.testing.assert_close(
        reached / next_sigma[:, None, None, None], exact / next_sigma[:, None, None, None], rtol=0.02, atol=0.02
    )


def test_a_perfect_student_has_no_loss_and_samples_the_end_of_the_path():
    levels, edges = STUDENT.grid(4)
    sigma, next_sigma, edge = levels[1:], levels[:-1], edges[1:]
    noisy, labels = normal(12, 1, 1, 1) * 2, torch.zeros(12).long()
    next_noisy = path(noisy, sigma[:, None, None, None], next_sigma[:, None, None, None])

    def loss(student, reached=next_noisy):
        return STUDENT.distillation_loss(student, noisy, labels, sigma, reached, next_sigma, edge).item()

    assert loss(perfect_student) == pytest.approx(0, abs=1e-6)
    assert loss(lambda *given: perfect_student(*given) + 0.1) > 1e-3
    assert loss(perfect_student, next_noisy + 0.1) > 1e-3

    noise = normal(50, 1, 1, 1)
    calls = []

    def student(given, c_noise, labels):
        calls.append(len(given))
        return perfect_student(given, c_noise, labels)

    pixels = sampled(STUDENT, student, noise, torch.zeros(50).long(), Sampling())
    assert calls == [50, 50, 50]
    torch.testing.assert_close(pixels, path(noise * math.sqrt(1 + 80**2), 80, 0))


def test_the_target_has_no_gradient():
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    seen = []

    def student(given, c_noise, labels):
        seen.append(torch.is_grad_enabled())
        return weight * toy(given, c_noise, labels)

    levels = torch.tensor([2.0, 2.0, 2.0], dtype=torch.float64)
    loss = STUDENT.distillation_loss(
        student, normal(*SHAPE), LABELS, levels, normal(*SHAPE, seed=1), levels / 2, levels / 4
    )
    assert loss.requires_grad
    assert seen == [False, True]


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        (Sampling(steps=4), "steps 4: these weights were distilled for 3 steps"),
        (Sampling(guidance=1.0), "guidance is built into these weights: leave out"),
        (Sampling(guidance_interval=(0.3, 5.0)), "guidance is built into these weights: leave out"),
        (Sampling(guidance_parallel=0.0), "guidance is built into these weights: leave out"),
        (Sampling("heun"), "leave out sampler and eta"),
        (Sampling(eta=0.5), "leave out sampler and eta"),
    ],
)
def test_a_student_is_sampled_in_one_way(sampling, message):
    assert STUDENT.times(Sampling(steps=3)) == [80, 3, 0.5, 0]
    with pytest.raises(UserError, match=message):
        STUDENT.check(sampling)


@pytest.mark.parametrize(
    "edges",
    [(80.0, 1.0, 6.0, 0.0), (80.0, 6.0), (6.0, 1.0, 0.0), (80.0, 6.0, 6.0, 0.0), (80.0, 0.001, 0.0), ()],
)
def test_noise_levels_out_of_order(edges):
    with pytest.raises(UserError, match=r"edges .*: "):
        Consistency(edges=edges)
