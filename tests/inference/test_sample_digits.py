"""Digits from networks: each picture from its own noise, whatever else is made with it."""

import numpy as np
import pytest
import torch
from torch import nn

from inference.sampling import resize_digits, reverse_process, sample_digits, sample_images
from models.acgan import ACGAN64Generator
from models.context_unet import ContextUNet
from models.samplers import Sampling
from runtime.device import Execution
from runtime.errors import UserError
from runtime.seeds import image_latents, image_noise, image_seeds
from tests.filters import bilinear

CPU = Execution(torch.device("cpu"))
SEEDS, LABELS = image_seeds(1, range(5)), torch.tensor([3, 1, 4, 1, 5])


class Toy(nn.Module):
    """A quick denoiser: pictures that show noise and label."""

    def __init__(self):
        super().__init__()
        self.diffusion = ContextUNet(8, steps=10).diffusion

    def forward(self, x, times, labels):
        return x - torch.tanh(x + 0.1 * labels[:, None, None, None])


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++"])
def test_a_digit_does_not_depend_on_how_many_there_are(sampler):
    sampling = Sampling(sampler, 5, eta=0.5)
    many = sample_digits(Toy(), SEEDS.repeat(11), LABELS.repeat(11), CPU, sampling)  # 55 in chunks of 50
    few = sample_digits(Toy(), SEEDS, LABELS, CPU, sampling)
    assert few.shape == (5, 28, 28, 3)
    assert few.dtype == np.uint8
    for start in range(0, 55, 5):
        np.testing.assert_array_equal(many[start : start + 5], few)
    assert len(np.unique(few.reshape(5, -1), axis=0)) == 5


def test_the_process_ends_in_the_digit():
    times, pictures = reverse_process(Toy(), SEEDS[2].item(), 4, CPU, Sampling("ddpm", 5))
    assert times == [10, 8, 6, 4, 2, 0]
    assert pictures.shape == (6, 28, 28, 3)
    digit = sample_digits(Toy(), SEEDS, LABELS, CPU, Sampling("ddpm", 5))[2]
    np.testing.assert_allclose(pictures[-1].astype(int), digit.astype(int), atol=1)


def test_digits_of_an_acgan_are_brought_to_28():
    torch.manual_seed(0)
    generator = ACGAN64Generator(latent_size=12, width=4).eval()
    pictures = sample_digits(generator, SEEDS, LABELS, CPU)
    assert pictures.shape == (5, 28, 28, 3)
    with torch.no_grad():
        images = generator(image_latents(1, range(5), 12), LABELS)
    expected = np.stack([bilinear(image.permute(1, 2, 0), 28) for image in images])
    assert np.abs(pictures - (expected + 1) * 127.5).max() <= 0.51


def test_digits_are_resized_by_an_antialiased_triangle():
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = np.stack([bilinear(image.permute(1, 2, 0), 28) for image in images])
    np.testing.assert_allclose(resize_digits(images).permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)
    small = torch.rand(1, 3, 28, 28)
    assert resize_digits(small) is small


def test_labels_are_filled_up_with_their_latents():
    seen = []

    def spy(latents, labels):
        seen.append((latents.shape, labels.shape))
        return latents[:, :, None, None].expand(-1, 3, 4, 4) / 100 + labels[:, None, None, None] / 10

    latents, labels = torch.arange(7.0)[:, None], torch.arange(7) % 3
    pictures = sample_images(spy, latents, CPU, labels, chunk=3)
    assert seen == [((3, 1), (3,))] * 3
    expected = ((latents[:, 0] / 100 + labels / 10 + 1) * 127.5).round()
    assert pictures.shape == (7, 4, 4, 3)
    assert pictures[:, 0, 0, 0].tolist() == expected.tolist()
    seen.clear()
    sample_images(lambda latents: spy(latents, torch.zeros(len(latents))), torch.zeros(1, 1), CPU)
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
    with pytest.raises(UserError, match="--steps 4 does not divide the 10 steps"):
        sample_digits(Toy(), SEEDS, LABELS, CPU, Sampling(steps=4))
    with pytest.raises(UserError, match="these weights make digits and need labels"):
        sample_images(ACGAN64Generator(12, 4), torch.zeros(1, 12), CPU)
