"""Diffusion over noise levels: EDM against diffusers and the paper's formulas, and students against exact paths."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from diffusers import EDMDPMSolverMultistepScheduler, EDMEulerScheduler

from models.consistency import Consistency
from models.diffusion import Diffusion
from models.edm import EDM
from models.generator import Sampling
from models.guidance import NO_LABEL, guided
from runtime.errors import UserError

PROCESS = EDM(sigma_data=0.6)
SHAPE, LABELS = (3, 2, 4, 4), torch.tensor([3, 0, 9])


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def toy(x, times, labels):
    """A smooth network without parameters, which minds all that it is given."""
    shift = (times + 0.3 * labels.to(x.dtype))[:, None, None, None]
    return torch.tanh(x + shift) - 0.3 * x.roll(1, 3)


def sampled(process, network, noise, labels, sampling):
    """Where the reverse process ends; what it predicts is clipped only if `sampling` says so."""
    sampling = replace(sampling, clip=bool(sampling.clip))
    generator = torch.Generator().manual_seed(1)
    *_, (_, images) = process.reverse(
        network, noise, labels, sampling, lambda: torch.randn(noise.shape, generator=generator, dtype=noise.dtype)
    )
    return images


# Preconditioning and the loss.


@pytest.mark.parametrize("sigma", [0.002, 0.3, 0.6, 5.0, 80.0])
def test_preconditioning_keeps_inputs_and_targets_at_unit_variance(sigma):
    images, noise = 0.6 * normal(4000, 1, 2, 2), normal(4000, 1, 2, 2, seed=1)
    times = torch.full((4000,), sigma, dtype=torch.float64)
    given, c_noise = PROCESS.inputs(images, noise, times)
    target = PROCESS.target(images, noise, times)
    assert given.std().item() == pytest.approx(1, abs=0.03)
    assert target.std().item() == pytest.approx(1, abs=0.03)
    assert (given * target).mean().item() == pytest.approx(0, abs=0.03)  # what c_skip is chosen for
    assert c_noise[0].item() == pytest.approx(math.log(sigma) / 4)


def test_a_perfect_network_has_no_loss_and_gives_the_image_back():
    images, noise, labels = normal(4, 3, 2, 2, seed=5).tanh(), normal(4, 3, 2, 2), torch.arange(4)
    sigma = torch.tensor([0.01, 0.4, 3.0, 70.0], dtype=torch.float64)
    target = PROCESS.target(images, noise, sigma)
    assert PROCESS.loss(lambda *_: target, images, labels, sigma, noise) == 0
    noisy = images + sigma[:, None, None, None] * noise
    torch.testing.assert_close(PROCESS.denoise(lambda *_: target, noisy, sigma, labels), images)
    for index, time in enumerate(sigma.tolist()):
        x = noisy[index : index + 1] / math.sqrt(1 + time**2)
        clean, seen = PROCESS.predict(
            lambda *_, index=index: target[index : index + 1], x, time, labels[:1], Sampling(guidance=1)
        )
        torch.testing.assert_close(clean[0], images[index])
        torch.testing.assert_close(seen[0], noise[index], rtol=0, atol=1e-6)


def test_the_loss_is_the_paper_s():
    """Equation 2 with the weight of table 1, (sigma² + sigma_data²) / (sigma·sigma_data)²."""
    images, noise = normal(3, 3, 2, 2, seed=5), normal(3, 3, 2, 2)
    sigma = torch.tensor([0.05, 0.7, 9.0], dtype=torch.float64)
    loss = PROCESS.loss(toy, images, LABELS, sigma, noise)
    expected = 0
    for index, level in enumerate(sigma.tolist()):
        noisy = images[index : index + 1] + level * noise[index : index + 1]
        total = level**2 + 0.6**2
        network = toy(noisy / math.sqrt(total), torch.tensor([math.log(level) / 4]), LABELS[index : index + 1])
        denoised = 0.6**2 / total * noisy + level * 0.6 / math.sqrt(total) * network
        expected += total / (level * 0.6) ** 2 * (denoised - images[index]).square().mean() / 3
    torch.testing.assert_close(loss, expected)


def test_noise_levels_of_the_training_are_log_normal():
    levels = PROCESS.random_times((20_000,), torch.Generator().manual_seed(0)).log()
    assert levels.mean().item() == pytest.approx(-1.2, abs=0.03)
    assert levels.std().item() == pytest.approx(1.2, abs=0.03)


# Samplers.


@pytest.mark.parametrize(
    ("sampler", "scheduler"),
    [("ddim", EDMEulerScheduler), ("dpm++", EDMDPMSolverMultistepScheduler)],
)
@pytest.mark.parametrize("steps", [18, 7, 2])
def test_samplers_are_those_of_diffusers(sampler, scheduler, steps):
    ours = sampled(PROCESS, toy, normal(*SHAPE), LABELS, Sampling(sampler, steps, 1.0))
    kind = {"solver_order": 2} if sampler == "dpm++" else {}
    theirs = scheduler(sigma_min=0.002, sigma_max=80, sigma_data=0.6, rho=7, num_train_timesteps=steps, **kind)
    theirs.set_timesteps(steps)
    torch.testing.assert_close(torch.tensor(PROCESS.times(Sampling(steps=steps))), theirs.sigmas, rtol=1e-5, atol=0)
    x = normal(*SHAPE) * theirs.init_noise_sigma
    for time in theirs.timesteps:
        output = toy(theirs.scale_model_input(x, time), time.to(x).expand(len(x)), LABELS)
        x = theirs.step(output, time, x).prev_sample
    torch.testing.assert_close(ours, x, rtol=0, atol=1e-4)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "heun", "dpm++"])
def test_clipping_is_that_of_a_network_that_predicts_no_other_images(sampler):
    def clipped(x, times, labels):
        c_skip, c_out, c_in, _ = (value[:, None, None, None] for value in PROCESS.preconditioning((4 * times).exp()))
        clean = (c_skip * x / c_in + c_out * toy(x, times, labels)).clamp(-1, 1)
        return (clean - c_skip * x / c_in) / c_out

    noise, plain = normal(*SHAPE), Sampling(sampler, 7, 1.0)
    ours = sampled(PROCESS, toy, noise, LABELS, replace(plain, clip=True))
    torch.testing.assert_close(ours, sampled(PROCESS, clipped, noise, LABELS, plain))
    assert (ours - sampled(PROCESS, toy, noise, LABELS, plain)).abs().max() > 0.1


@pytest.mark.parametrize(
    ("process", "labels", "clips"),
    [(PROCESS, LABELS, True), (PROCESS, None, False), (Consistency(), LABELS, False), (Diffusion(60), LABELS, False)],
)
def test_where_nothing_is_said_edm_is_clipped_if_labels_guide_it(process, labels, clips):
    def far(x, times, labels):
        return 9 + 0 * x

    *_, (_, images) = process.reverse(far, normal(*SHAPE), labels, Sampling(), lambda: normal(*SHAPE))
    assert (images.abs().max() <= 1) == clips


def heun_of_the_paper(noise, steps):
    """Algorithm 1 of EDM, in its own coordinates."""
    levels = [(80 ** (1 / 7) + i / (steps - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(steps)] + [0]
    x = noise * math.sqrt(levels[0] ** 2 + 1)

    def slope(x, level):
        total = level**2 + 0.6**2
        network = toy(x / math.sqrt(total), torch.full((len(x),), math.log(level) / 4, dtype=x.dtype), LABELS)
        return (x - 0.6**2 / total * x - level * 0.6 / math.sqrt(total) * network) / level

    for level, lower in pairwise(levels):
        first = slope(x, level)
        euler = x + (lower - level) * first
        x = euler if lower == 0 else x + (lower - level) * (first + slope(euler, lower)) / 2
    return x


@pytest.mark.parametrize("steps", [18, 7, 2])
def test_heun_is_the_paper_s(steps):
    ours = sampled(PROCESS, toy, normal(*SHAPE), LABELS, Sampling("heun", steps, 1.0))
    torch.testing.assert_close(ours, heun_of_the_paper(normal(*SHAPE), steps))


MEAN, DEVIATION = 0.4, 0.3


def gaussian(process):
    """The exact network for pixels that are normal with this mean and deviation."""

    def network(given, c_noise, labels):
        sigma = (4 * c_noise.double()).exp()[:, None, None, None]
        c_skip, c_out, c_in, _ = process.preconditioning(sigma)
        noisy = given / c_in
        clean = (DEVIATION**2 * noisy + sigma**2 * MEAN) / (DEVIATION**2 + sigma**2)
        return (clean - c_skip * noisy) / c_out

    return network


def path(noisy, sigma, next_sigma):
    """Where the probability flow brings a pixel of such images, from one noise level to another."""
    return MEAN + (noisy - MEAN) * ((DEVIATION**2 + next_sigma**2) / (DEVIATION**2 + sigma**2)) ** 0.5


@pytest.mark.parametrize("sampling", [("ddpm", 100), ("ddim", 100), ("heun", 32), ("dpm++", 40)], ids=str)
def test_gaussian_data_come_back(sampling):
    sampler, steps = sampling
    noise = normal(5_000, 1, 1, 1)
    pixels = sampled(PROCESS, gaussian(PROCESS), noise, torch.zeros(5_000).long(), Sampling(sampler, steps, 1.0))
    assert pixels.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert pixels.std().item() == pytest.approx(DEVIATION, abs=0.02)
    if sampler in ("heun", "dpm++"):  # not only in distribution
        torch.testing.assert_close(pixels, path(noise * math.sqrt(1 + 80**2), 80, 0), rtol=0, atol=0.05)


def test_guidance_acts_between_its_noise_levels():
    sizes = {}

    def network(x, c_noise, labels):
        sizes[round(math.exp(4 * c_noise[0].item()), 3)] = len(x)
        return toy(x, c_noise, labels)

    process = EDM()
    sampled(process, network, normal(*SHAPE), LABELS, Sampling("ddim", 5))
    low, high = process.default_interval
    assert sizes == {round(s, 3): 6 if low <= s <= high else 3 for s in process.times(Sampling(steps=5))[:-1]}
    assert set(sizes.values()) == {3, 6}
    sizes.clear()
    sampled(process, network, normal(*SHAPE), LABELS, Sampling("ddim", 5, 2.0, (0, 100)))
    assert set(sizes.values()) == {6}


def test_each_image_may_have_its_own_guidance():
    x, times = normal(*SHAPE), torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    scales = torch.tensor([1.0, 3.0, 0.5], dtype=torch.float64)
    batches = []

    def network(*arguments):
        batches.append(arguments[2].tolist())
        return toy(*arguments)

    together = guided(network, x, times, LABELS, scales)
    assert batches == [[*LABELS.tolist(), NO_LABEL, NO_LABEL]]
    for index, scale in enumerate(scales.tolist()):
        one = slice(index, index + 1)
        torch.testing.assert_close(together[one], guided(toy, x[one], times[one], LABELS[one], scale))


def test_guidance_without_its_part_along_the_clean_image():
    sigma = torch.tensor([0.5, 2.0, 9.0], dtype=torch.float64)
    noisy = normal(*SHAPE)
    conditional = PROCESS.denoise(toy, noisy, sigma, LABELS)
    plain = PROCESS.denoise(toy, noisy, sigma, LABELS, 4.0) - conditional
    for parallel in (0.0, 0.3):
        for scale in (4.0, torch.full((3,), 4.0, dtype=torch.float64)):
            guidance = PROCESS.denoise(toy, noisy, sigma, LABELS, scale, parallel) - conditional
            for image in range(3):
                along = conditional[image] - conditional[image].mean((1, 2), keepdim=True)
                along = along / along.norm()
                kept = parallel * (plain[image] * along).sum()
                assert (guidance[image] * along).sum().item() == pytest.approx(kept.item(), abs=1e-9)
                across = plain[image] - (plain[image] * along).sum() * along
                torch.testing.assert_close(guidance[image] - kept * along, across)


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_discrete_times_are_guided_across_the_clean_image_too(prediction):
    process, x, time = Diffusion(60, prediction=prediction), normal(*SHAPE), 20
    clean, _ = process.predict(toy, x, time, LABELS, Sampling(guidance=1.0))
    plain, _ = process.predict(toy, x, time, LABELS, Sampling(guidance=3.0))
    across, noise = process.predict(toy, x, time, LABELS, Sampling(guidance=3.0, guidance_parallel=0.0))
    contrast = clean - clean.mean((2, 3), keepdim=True)
    along = ((plain - clean) * contrast).sum((1, 2, 3), keepdim=True) / contrast.square().sum((1, 2, 3), keepdim=True)
    torch.testing.assert_close(across, plain - along * contrast)
    image_level, noise_level = process.levels(time)
    torch.testing.assert_close(image_level * across + noise_level * noise, x)  # still the same noisy image


def test_of_an_interval_the_smaller_comes_first():
    with pytest.raises(UserError, match=r"guidance interval 5\.0 0\.3: give two noise levels sigma"):
        PROCESS.times(Sampling(guidance_interval=(5.0, 0.3)))


# Students.

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
