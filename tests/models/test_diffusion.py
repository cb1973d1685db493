"""The mathematics of diffusion, against diffusers' schedulers and against data whose score is known."""

import math

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

from models import NETWORKS
from models.diffusion import Diffusion
from models.generator import Sampling
from models.guidance import NO_LABEL, drop_labels, guided, label_vectors
from runtime.errors import UserError

T = 60
SCHEDULES = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction"}


def settings(schedule, prediction):
    """What diffusers' schedulers are made with, to be the same process."""
    return {
        "num_train_timesteps": T,
        "beta_start": 1e-4,
        "beta_end": 0.02,
        "beta_schedule": SCHEDULES[schedule],
        "prediction_type": PREDICTIONS[prediction],
        "timestep_spacing": "trailing",
    }


def toy(x, times, labels):
    """A smooth network without parameters, which minds all that it is given."""
    shift = (times + 0.3 * labels.to(x.dtype))[:, None, None, None]
    return torch.tanh(x + shift) - 0.3 * x.roll(1, 3)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def noises(shape, count=T):
    return [normal(*shape, seed=1 + number) for number in range(count)]


def sampled(diffusion, network, noise, labels, sampling, fresh=()):
    fresh = iter(fresh)
    *_, (_, images) = diffusion.reverse(network, noise, labels, sampling, lambda: next(fresh))
    return images


def by_diffusers(scheduler, steps, noise, labels, step):
    """The same by a scheduler of diffusers; it counts from 0 what we count from 1."""
    scheduler.set_timesteps(steps)
    x = noise
    for number, time in enumerate(scheduler.timesteps):
        output = toy(x, torch.full((len(x),), (int(time) + 1) / T, dtype=x.dtype), labels)
        x = step(scheduler, output, time, x, number)
    return x


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_are_those_of_diffusers(schedule):
    alpha_bar = Diffusion(T, schedule).alpha_bar
    assert alpha_bar[0] == 1
    scheduler = DDPMScheduler(**settings(schedule, "epsilon"))
    torch.testing.assert_close(alpha_bar[1:].float(), scheduler.alphas_cumprod, rtol=1e-3, atol=1e-6)


def test_linear_betas_are_ddpm_s():
    alpha_bar = Diffusion(1000).alpha_bar
    betas = 1 - alpha_bar[1:] / alpha_bar[:-1]
    torch.testing.assert_close(betas[[0, -1]], torch.tensor([1e-4, 0.02], dtype=torch.float64))


PROCESSES = [("linear", "epsilon"), ("linear", "v"), ("cosine", "v")]
SHAPE, LABELS = (3, 2, 4, 4), torch.tensor([3, 0, 9])


@pytest.mark.parametrize(("schedule", "prediction"), PROCESSES)
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
@pytest.mark.parametrize("steps", [T, 12])
def test_ddpm_is_that_of_diffusers(monkeypatch, schedule, prediction, variance, steps):
    noise, fresh = normal(*SHAPE), noises(SHAPE)
    ours = sampled(
        Diffusion(T, schedule, prediction), toy, noise, LABELS, Sampling("ddpm", steps, 1.0, variance=variance), fresh
    )

    def step(scheduler, output, time, x, number):
        # With fewer steps than T, diffusers makes the last image noisy too; nobody wants that.
        drawn = fresh[number] if number < steps - 1 else torch.zeros_like(x)
        monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, **__: drawn)
        return scheduler.step(output, time, x).prev_sample

    scheduler = DDPMScheduler(**settings(schedule, prediction), variance_type=variance, clip_sample=False)
    torch.testing.assert_close(ours, by_diffusers(scheduler, steps, noise, LABELS, step), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("schedule", "prediction"), PROCESSES)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [T, 12])
@pytest.mark.parametrize("clip", [False, True])
def test_ddim_is_that_of_diffusers(schedule, prediction, eta, steps, clip):
    noise, fresh = normal(*SHAPE), noises(SHAPE)
    sampling = Sampling("ddim", steps, 1.0, eta=eta, clip=clip)
    ours = sampled(Diffusion(T, schedule, prediction), toy, noise, LABELS, sampling, fresh)

    def step(scheduler, output, time, x, number):
        chosen = {"eta": eta, "variance_noise": fresh[number], "use_clipped_model_output": clip}
        return scheduler.step(output, time, x, **chosen).prev_sample

    scheduler = DDIMScheduler(**settings(schedule, prediction), clip_sample=clip)
    torch.testing.assert_close(ours, by_diffusers(scheduler, steps, noise, LABELS, step), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("schedule", "prediction"), PROCESSES)
@pytest.mark.parametrize("steps", [T, 20, 12, 1])
def test_dpm_solver_is_that_of_diffusers(schedule, prediction, steps):
    noise = normal(*SHAPE)
    ours = sampled(Diffusion(T, schedule, prediction), toy, noise, LABELS, Sampling("dpm++", steps, 1.0))
    scheduler = DPMSolverMultistepScheduler(**settings(schedule, prediction), final_sigmas_type="zero")
    theirs = by_diffusers(scheduler, steps, noise, LABELS, lambda s, output, time, x, _: s.step(output, time, x)[0])
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


MEAN, DEVIATION = 0.4, 0.3


def gaussian_denoiser(diffusion):
    """The exact prediction for pixels that are normal with this mean and deviation."""

    def denoise(x, times, labels):
        image_level, noise_level = diffusion.levels(round(times[0].item() * diffusion.steps))
        variance = (image_level * DEVIATION) ** 2 + noise_level**2
        noise = noise_level * (x - image_level * MEAN) / variance
        if diffusion.prediction == "epsilon":
            return noise
        return (noise - noise_level * x) / image_level  # v, from x and the noise

    return denoise


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize(
    ("sampling", "tolerance"),
    [
        (Sampling("ddpm", 1000, 1.0, variance="fixed_large"), 0.01),
        (Sampling("ddpm", 1000, 1.0, variance="fixed_small"), 0.01),
        (Sampling("ddim", 250, 1.0), 0.02),
        (Sampling("ddim", 250, 1.0, eta=1.0), 0.02),
        (Sampling("dpm++", 100, 1.0), 0.02),
    ],
    ids=lambda value: f"{value.sampler}-{value.steps}" if isinstance(value, Sampling) else None,
)
def test_gaussian_data_come_back(prediction, sampling, tolerance):
    diffusion = Diffusion(1000, "linear", prediction)
    generator = torch.Generator().manual_seed(0)

    def draw():
        return torch.randn(5_000, 1, 1, 1, generator=generator, dtype=torch.float64)

    labels = torch.zeros(5_000, dtype=torch.long)
    *_, (_, pixels) = diffusion.reverse(gaussian_denoiser(diffusion), draw(), labels, sampling, draw)
    assert pixels.mean().item() == pytest.approx(MEAN, abs=tolerance)
    assert pixels.std().item() == pytest.approx(DEVIATION, abs=tolerance)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++"])
def test_guidance_of_one_is_plain_conditional_sampling(sampler):
    diffusion, noise = Diffusion(T), normal(*SHAPE)
    calls = []

    def conditional_only(x, times, labels):
        calls.append(labels)
        return toy(x, times, labels)

    plain = sampled(diffusion, conditional_only, noise, LABELS, Sampling(sampler, 12, 1.0), noises(SHAPE))
    assert all(torch.equal(labels, LABELS) for labels in calls)
    # The formula itself, s = 1 but for rounding, gives the same.
    formula = sampled(diffusion, toy, noise, LABELS, Sampling(sampler, 12, 1.0 + 1e-12), noises(SHAPE))
    torch.testing.assert_close(plain, formula)


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0, 4.0])
def test_guidance_sees_both_halves_in_one_batch(scale):
    x, times = normal(*SHAPE), torch.full((3,), 0.5, dtype=torch.float64)
    batches = []

    def network(*arguments):
        batches.append(arguments)
        return toy(*arguments)

    result = guided(network, x, times, LABELS, scale)
    ((_, _, labels),) = batches
    assert labels.tolist() == [NO_LABEL] * 3 + LABELS.tolist()
    unconditional, conditional = toy(x, times, torch.full_like(LABELS, NO_LABEL)), toy(x, times, LABELS)
    torch.testing.assert_close(result, unconditional + scale * (conditional - unconditional))


def test_outside_its_interval_guidance_is_off():
    sizes = {}

    def network(x, times, labels):
        sizes[round(times[0].item(), 6)] = len(x)
        return toy(x, times, labels)

    sampled(Diffusion(T), network, normal(*SHAPE), LABELS, Sampling("ddim", 4, 2.0, guidance_interval=(0.3, 0.8)))
    assert sizes == {1.0: 3, 0.75: 6, 0.5: 6, 0.25: 3}
    sampled(Diffusion(T), network, normal(*SHAPE), LABELS, Sampling("ddim", 4, 2.0, guidance_interval=(0.5, 0.75)))
    assert sizes == {1.0: 3, 0.75: 6, 0.5: 6, 0.25: 3}  # its ends belong to it


def test_the_process_is_shown_from_noise_to_image():
    diffusion, noise = Diffusion(T), normal(*SHAPE)
    times, states = zip(*diffusion.reverse(toy, noise, LABELS, Sampling("dpm++", 4, 1.0), None), strict=True)
    assert times == (60, 45, 30, 15, 0)
    assert torch.equal(states[0], noise)
    assert torch.equal(states[-1], sampled(diffusion, toy, noise, LABELS, Sampling("dpm++", 4, 1.0)))


def test_default_steps():
    assert Diffusion(T).times(Sampling("ddpm")) == list(range(T, -1, -1))
    assert Diffusion(T).times(Sampling("dpm++")) == list(range(T, -1, -3))
    assert Diffusion(30).times(Sampling()) == list(range(30, -1, -2))  # 25 does not divide 30


@pytest.mark.parametrize(
    ("network", "stated"),
    [("context-unet", [500, 300, 100, 60, 40, 0]), ("attention-unet", [1000, 800, 600, 400, 200, 0])],
)
def test_sampling_visits_the_six_times_that_the_reports_show(network, stated):
    process = NETWORKS[network](width=8).diffusion
    assert list(process.snapshot_times) == stated
    assert set(stated) <= set(process.times(Sampling()))


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        (Sampling(steps=7), "steps 7 does not divide the 60 steps"),
        (Sampling(steps=120), "steps 120 does not divide the 60 steps"),
        (Sampling(guidance_interval=(0.5, 0.2)), "guidance interval 0.5 0.2"),
        (Sampling(guidance_interval=(0.5, 1.2)), "guidance interval 0.5 1.2"),
    ],
)
def test_settings_that_cannot_work(sampling, message):
    with pytest.raises(UserError, match=message):
        Diffusion(T).times(sampling)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": -1}, "--steps must be at least 0"),
        ({"guidance": -0.5}, "--guidance must be from 0 to 100"),
        ({"guidance_interval": (-1.0, 0.3)}, "--guidance-interval must be at least 0"),
        ({"eta": 1.5}, "--eta must be from 0 to 1"),
        ({"truncation": 0.0}, "--truncation must be above 0 and at most 2"),
    ],
)
def test_numbers_out_of_their_ranges(settings, message):
    with pytest.raises(UserError, match=message):
        Sampling(**settings)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_perfect_prediction_has_no_loss_and_gives_the_image_back(schedule, prediction):
    diffusion = Diffusion(T, schedule, prediction)
    images, noise, times = normal(4, 3, 2, 2, seed=5).tanh(), normal(4, 3, 2, 2), torch.tensor([1, 2, 30, T])
    x = diffusion.add_noise(images, noise, times)
    target = diffusion.target(images, noise, times)
    seen = []

    def perfect(*arguments):
        seen.append(arguments)
        return target

    labels = torch.arange(4)
    assert diffusion.loss(perfect, images, labels, times, noise) == 0
    ((seen_x, seen_times, seen_labels),) = seen
    assert torch.equal(seen_x, x) and torch.equal(seen_labels, labels)
    assert seen_times.tolist() == pytest.approx([1 / T, 2 / T, 0.5, 1])
    worse = diffusion.loss(lambda *_: target + 0.5, images, labels, times, noise)
    assert worse.item() == pytest.approx(0.25)
    for index, time in enumerate(times.tolist()):
        clean, predicted = diffusion.predict(
            lambda *_, index=index: target[index : index + 1],
            x[index : index + 1],
            time,
            labels[:1],
            Sampling(guidance=1),
        )
        torch.testing.assert_close(clean[0], images[index], rtol=0, atol=1e-6)
        torch.testing.assert_close(predicted[0], noise[index], rtol=0, atol=1e-6)


def test_noise_grows_from_none_to_nothing_else():
    diffusion = Diffusion(1000)
    assert diffusion.levels(0) == (1, 0)
    assert diffusion.levels(1000)[0] < 0.01
    image_level, noise_level = diffusion.levels(300)
    assert math.hypot(image_level, noise_level) == pytest.approx(1)


def test_labels_are_dropped_one_by_one():
    labels = torch.arange(1000) % 10
    uniform = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    dropped = drop_labels(labels, uniform, 0.1)
    assert 70 < (dropped == NO_LABEL).sum() < 130
    assert torch.equal(dropped[uniform >= 0.1], labels[uniform >= 0.1])
    assert torch.equal(drop_labels(labels, uniform, 0.0), labels)
    assert (drop_labels(labels, uniform, 1.0) == NO_LABEL).all()


def test_no_label_is_a_zero_vector():
    vectors = label_vectors(torch.tensor([2, NO_LABEL]), 4)
    assert vectors.tolist() == [[0, 0, 1, 0], [0, 0, 0, 0]]
