"""Digits from networks: each picture from its own noise, whatever else is made with it."""

import numpy as np
import pytest
import torch

from inference.sampling import make_images, reverse_process, sample_between, sample_images
from models.acgan import ACGAN28Generator, ACGAN64Generator
from models.context_unet import ContextUNet
from models.generator import Sampling
from models.samplers import DiffusionModel
from runtime.device import Execution
from runtime.errors import UserError
from runtime.seeds import image_noise, image_seeds
from tests.filters import bilinear
from tests.latents import image_latents

CPU = Execution(torch.device("cpu"))
SEEDS, LABELS = image_seeds(1, range(5)), torch.tensor([3, 1, 4, 1, 5])


class Toy(DiffusionModel):
    """A quick denoiser: pictures that show noise and label."""

    classes, image_size = 10, 28

    def __init__(self):
        super().__init__()
        self.diffusion = ContextUNet(8, steps=10).diffusion

    def forward(self, x, times, labels):
        return x - torch.tanh(x + 0.1 * labels[:, None, None, None])


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++"])
def test_a_digit_does_not_depend_on_how_many_there_are(sampler):
    sampling = Sampling(sampler, 5, eta=0.5)
    many = sample_images(Toy(), SEEDS.repeat(11), CPU, LABELS.repeat(11), sampling)  # 55 in chunks of 50
    few = sample_images(Toy(), SEEDS, CPU, LABELS, sampling)
    assert few.shape == (5, 28, 28, 3)
    assert few.dtype == np.uint8
    for start in range(0, 55, 5):
        np.testing.assert_array_equal(many[start : start + 5], few)
    assert len(np.unique(few.reshape(5, -1), axis=0)) == 5


def test_the_process_ends_in_the_digit():
    times, pictures = reverse_process(Toy(), SEEDS[2].item(), 4, CPU, Sampling("ddpm", 5))
    assert times == [10, 8, 6, 4, 2, 0]
    assert pictures.shape == (6, 28, 28, 3)
    digit = sample_images(Toy(), SEEDS, CPU, LABELS, Sampling("ddpm", 5))[2]
    np.testing.assert_allclose(pictures[-1].astype(int), digit.astype(int), atol=1)


def test_digits_of_an_acgan_are_brought_to_28():
    torch.manual_seed(0)
    generator = ACGAN64Generator(latent_size=12, width=4).eval()
    pictures = sample_images(generator, SEEDS, CPU, LABELS)
    assert pictures.shape == (5, 28, 28, 3)
    with torch.no_grad():
        images = generator(image_latents(1, range(5), 12), LABELS)
    expected = np.stack([bilinear(image.permute(1, 2, 0), 28) for image in images])
    assert np.abs(pictures - (expected + 1) * 127.5).max() <= 0.51


def test_labels_are_filled_up_with_their_latents():
    seen = []

    def spy(latents, labels):
        seen.append((latents.shape, labels.shape))
        return latents[:, :, None, None].expand(-1, 3, 4, 4) / 100 + labels[:, None, None, None] / 10

    latents, labels = torch.arange(7.0)[:, None], torch.arange(7) % 3
    pictures = make_images(spy, latents, labels, execution=CPU, chunk=3)
    assert seen == [((3, 1), (3,))] * 3
    expected = ((latents[:, 0] / 100 + labels / 10 + 1) * 127.5).round()
    assert pictures.shape == (7, 4, 4, 3)
    assert pictures[:, 0, 0, 0].tolist() == expected.tolist()
    seen.clear()
    make_images(lambda latents: spy(latents, torch.zeros(len(latents))), torch.zeros(1, 1), execution=CPU)
    assert seen[0][0] == (50, 1)


def test_noise_is_each_image_s_own():
    noise = image_noise(image_seeds(7, range(3)), (4,))
    first, second = noise(), noise()
    assert torch.equal(first, image_latents(7, range(3), 4))
    assert not torch.equal(first, second)
    other = image_noise(image_seeds(7, [2]), (4,))
    assert torch.equal(other(), first[2:])
    assert torch.equal(other(), second[2:])


def test_settings_of_another_network_are_refused():
    with pytest.raises(UserError, match="steps 4 does not divide the 10 steps"):
        sample_images(Toy(), SEEDS, CPU, LABELS, Sampling(steps=4))
    for name, value in {"sampler": "ddim", "steps": 3, "guidance": 2.0, "eta": 0.5, "variance": "fixed_small"}.items():
        with pytest.raises(UserError, match=f"{name} is for diffusion networks: these weights make an image in one"):
            sample_images(ACGAN28Generator(12, 4).eval(), SEEDS, CPU, LABELS, Sampling(**{name: value}))


@pytest.mark.parametrize("generator", [ACGAN28Generator(12, 4), Toy()], ids=["acgan", "diffusion"])
def test_truncation_scales_the_noise_that_images_are_made_of(generator):
    generator.eval()
    noise = image_noise(SEEDS, generator.latent_shape)()
    with torch.no_grad():
        given = [generator.sample(lambda noise=noise: noise, LABELS, Sampling(truncation=share)) for share in (0.5, 1)]
        halved = generator.sample(lambda: noise / 2, LABELS)
    assert torch.equal(given[0], halved) and not torch.equal(given[1], halved)


def test_a_walk_of_diffusion_begins_and_ends_at_its_digits():
    ends = sample_images(Toy(), SEEDS[:2], CPU, torch.tensor([4, 4]))
    way = sample_between(Toy(), SEEDS[:2], 5, CPU, label=4)
    assert np.array_equal(way[[0, -1]], ends) and len(np.unique(way.reshape(5, -1), axis=0)) == 5
    for sampling in (Sampling("ddpm"), Sampling("ddim", eta=0.1)):
        with pytest.raises(UserError, match="leave out --sampler ddpm and --eta"):
            sample_between(Toy(), SEEDS[:2], 5, CPU, label=4, sampling=sampling)
