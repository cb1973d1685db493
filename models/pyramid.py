"""A start for the VAE: a linear autoencoder of principal components, written into its layers.

Each stage of the encoder keeps the main components of 2x2 pixels of the stage before, and the decoder's stages give
those pixels back by the transpose. A leaky ReLU passes a component undistorted that it is given twice, with either
sign, when the difference is read (Balduzzi et al., *The Shattered Gradients Problem*, ICML 2017, section 4:
"looks-linear" weights; there random, here fitted to images).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_unshuffle

from models.vae import VAE

DECODED = 512  # images that set the scales of the decoder's stages
TANH_GAIN = 1.25  # tanh(1.25 x) stays near x for x in [-1, 1]


@torch.no_grad()
def start_linear(network: VAE, images: Tensor, kl_weight: float) -> None:
    """Make a new `network` the linear autoencoder of `images` (N, C, size, size) in [-1, 1], as far as its channels go.

    It must be 2 C channels wide at least. Channels that no component needs keep their weights, but nothing reads them
    yet. `kl_weight`, the weight of one component's KL divergence beside the mean squared error of values in [0, 1],
    says how wide the posteriors start: as at the optimum of a linear VAE (Lucas et al., *Don't Blame the ELBO!*,
    NeurIPS 2019, section 4).

    On the way `features` (N, channels, H, W) are what a stage receives, and `reading` (K, channels) makes of them the K
    components that they stand for.
    """
    # Encoder: stage by stage the main components of 2x2 pixels, without their means, which the decoder adds.
    features, reading = images, torch.eye(images.shape[1], device=images.device)
    bases, means = [], [images.mean((0, 2, 3))]
    for convolution, norm, activation in stages(network.encoder[:-1]):
        values = torch.einsum("kc,nchw->nkhw", reading, features)
        basis = main_components(values, convolution.out_channels // 2)
        taps = torch.einsum("kyxj,kc->jcyx", basis, reading)
        features, reading, mean = write_pairs(convolution, convolution.weight, taps, norm, activation, features)
        bases.append(basis)
        means.append(mean)

    # Latents: the main components of the whole image, each of variance 1.
    values = torch.einsum("kc,nchw->nkhw", reading, features)
    centre = values.mean(0)
    variances, vectors = torch.linalg.eigh((values - centre).flatten(1).T.cov(correction=0))  # in ascending order
    smallest = 1e-3 * variances.mean() + 1e-6  # what fewer images than components leave out is not blown up
    deviations = variances[-network.latent_size :].clamp_min(smallest).sqrt()
    size = len(deviations)
    vectors = vectors[:, -size:].unflatten(0, centre.shape)  # (K, H, W, size)
    network.mean.weight[:size] = torch.einsum("kyxj,kc->jcyx", vectors / deviations, reading).flatten(1)
    network.mean.bias[:size] = -torch.einsum("kyxj,kyx->j", vectors / deviations, centre)
    error = deviations.square() / (4 * images[0].numel())  # of the reconstruction, when a latent is wrong by 1
    network.log_variance.weight[:size] = 0
    network.log_variance.bias[:size] = torch.log(kl_weight / (kl_weight + 2 * error))

    # Decoder: from latents to components, and from these stage by stage to 2x2 pixels.
    latents = network.mean(features[:DECODED].flatten(1))
    from_latents, outputs = network.decoder[0], vectors[..., 0].numel()
    from_latents.weight[:outputs] = 0
    from_latents.weight[:outputs, :size] = (vectors * deviations).flatten(0, 2)
    from_latents.bias[:outputs] = (centre + means.pop()[:, None, None]).flatten()
    features = network.decoder[:2](latents)
    reading = torch.eye(len(vectors), features.shape[1], device=images.device)
    for convolution, norm, activation in stages(network.decoder[2:-2]):
        taps = torch.einsum("jyxk,kc->jcyx", bases.pop(), reading)
        weight = convolution.weight.transpose(0, 1)
        features, reading, _ = write_pairs(convolution, weight, taps, norm, activation, features, means.pop())
    to_colours = network.decoder[-2]
    to_colours.weight.zero_()
    to_colours.weight[:, :, 1, 1] = TANH_GAIN * reading
    to_colours.bias.zero_()


def stages(layers: nn.Sequential) -> list[tuple[nn.Module, nn.Module, nn.Module]]:
    """Convolution, batch norm and activation of every stage in `layers`."""
    return list(zip(layers[0::3], layers[1::3], layers[2::3], strict=True))


def main_components(values: Tensor, most: int) -> Tensor:
    """The main directions (C, 2, 2, K), the last the greatest, of 2x2 pixels of (N, C, H, W): at most `most`.

    Channels are centred, the four pixels are not: a bias could not tell them apart when they are given back.
    """
    centred = values - values.mean((0, 2, 3), keepdim=True)
    vectors = pixel_unshuffle(centred, 2).transpose(0, 1).flatten(1)
    return torch.linalg.eigh(vectors @ vectors.T)[1][:, -most:].unflatten(0, (-1, 2, 2))


def write_pairs(
    convolution: nn.Module,
    weight: Tensor,
    taps: Tensor,
    norm: nn.Module,
    activation: nn.Module,
    features: Tensor,
    means: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Let a stage pass K components on, by `taps` (K, channels, 2, 2) on 2x2 pixels, as pairs of either sign.

    `weight` is the convolution's, as (out, in, 3, 3). The components come out with `means` (K,), 0 unless given.
    Returns the stage's output for `features`, what reads the components there, and the means (K,) they came with.
    """
    pairs = with_signs(taps)
    scales = pairs.flatten(1).norm(dim=1)
    used = slice(0, len(pairs))
    weight[used] = 0
    weight[used, :, 1:, 1:] = pairs / scales[:, None, None, None]
    convolution.bias[used] = 0

    outputs = convolution(features)
    variance, mean = torch.var_mean(outputs, (0, 2, 3), correction=0)
    norm.running_mean.copy_(mean), norm.running_var.copy_(variance)
    gains = scales * (variance[used] + norm.eps).sqrt()
    if means is not None:
        norm.bias[used] = with_signs(means) / gains

    norm.eval()  # with the statistics of these images
    features = activation(norm(outputs))
    norm.train()
    reading = torch.zeros(len(taps), features.shape[1], device=taps.device)
    reading[:, used] = with_signs(torch.eye(len(taps), device=taps.device)).T * gains / (1 + activation.negative_slope)
    return features, reading, (mean[used] * scales)[::2]


def with_signs(values: Tensor) -> Tensor:
    """Every one of `values` (K, …) twice, as it is and negative: (2K, …)."""
    return torch.stack([values, -values], dim=1).flatten(0, 1)
