"""Diffusion over noise levels: EDM against diffusers and the paper's formulas."""

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
from tests.exact_images import DEVIATION, MEAN, gaussian, normal, path, sampled, toy

PROCESS = EDM(sigma_data=0.6)
SHAPE, LABELS = (3, 2, 4, 4), torch.tensor([3, 0, 9])

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
