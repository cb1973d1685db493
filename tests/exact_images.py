"""Images small enough to be worked out: normal pixels with their exact paths, and a network without parameters."""

from dataclasses import replace

import torch

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
