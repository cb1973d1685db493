"""What the accounts of training steps share: pictures, random streams, optimizers by formula, and comparisons.

An account does the first steps of a tiny run again, in plain torch and float32, from the run's seed and the data alone.
It takes the networks from `models`; draws, batches, losses, updates, averages and sample grids are its own. The run is
known by its directory only.
"""

import copy
import hashlib
import itertools
import json
import math

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

SEED = 7
STEPS = 3
ALWAYS = ("--seed", SEED, "--device", "cpu", "--precision", "float32")
ROUNDING = 1e-5  # of a gradient, beside the network's largest
TOLERANCE = 1e-3  # of statistics and optimizers' states, beside the tensor's largest
STEP_TOLERANCE = 0.003  # of parameters, beside the steps that they took


def write_pictures(folder, count, size, first=0):
    """Write `count` pictures, colourful and not symmetric; returns them as uint8 (count, size, size, 3)."""
    random = np.random.default_rng(first)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for index in range(first, first + count):
        coarse = Image.fromarray(random.integers(30, 226, (4, 4, 3), np.uint8)).resize((size, size), Image.BICUBIC)
        noise = random.integers(-30, 31, (size, size, 3))
        pictures.append((np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8))
        Image.fromarray(pictures[-1]).save(folder / f"{index:05d}.png")
    return np.stack(pictures)


# Random streams and batches


def seed_of(*stream):
    """The seed of a named stream: the first 63 bits of the SHA-256 of SEED and the names, joined by slashes."""
    digest = hashlib.sha256("/".join(str(part) for part in (SEED, *stream)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def stream(*name):
    return torch.Generator().manual_seed(seed_of(*name))


def image_noise(count, size):
    """Noise (count, size) of sample grids: each image has a stream of its own."""
    return torch.stack([torch.randn(size, generator=stream("image", index)) for index in range(count)])


def in_unit_range(pictures):
    """Images (N, 3, H, W) in [-1, 1] of pictures, uint8 (N, H, W, 3)."""
    return torch.from_numpy(pictures.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2).contiguous()


def batch_indices(number, count, batch_size):
    """The pictures of a batch: an epoch is a permutation, of which what does not fill a batch is left out."""
    epoch, position = divmod(number, count // batch_size)
    order = torch.randperm(count, generator=stream("order", epoch))
    return order[position * batch_size : (position + 1) * batch_size]


def image_batch(pictures, number, batch_size, flip=False):
    images = in_unit_range(pictures)[batch_indices(number, len(pictures), batch_size)]
    if flip:
        draws = torch.rand(batch_size, generator=stream("flip", number))
        images = torch.stack(
            [image.flip(2) if draw < 0.5 else image for image, draw in zip(images, draws, strict=True)]
        )
    return images


# Losses and schedules


def cross_entropy_with(logits, labels):
    """-y log p - (1 - y) log(1 - p) of p = sigmoid(logits), averaged."""
    return (labels * torch.log1p(torch.exp(-logits)) + (1 - labels) * torch.log1p(torch.exp(logits))).mean()


def class_entropy(logits, labels):
    """-log p of the labels (N,), p = softmax(logits), averaged."""
    return (logits.exp().sum(1).log() - logits[torch.arange(len(labels)), labels]).mean()


def scheduled(peak, schedule, step, total, warmup=0):
    """The learning rate of a step, counted from 0."""
    if schedule == "one-cycle":
        lr = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([lr], peak)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total, cycle_momentum=False)
        for _ in range(step):
            optimizer.step()
            cycle.step()
        return optimizer.param_groups[0]["lr"]
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "linear":
        return peak * (total - step) / (total - warmup)
    if schedule == "cosine":
        return peak * math.cos(math.pi / 2 * (step - warmup) / (total - warmup)) ** 2
    if schedule == "linear":
        return peak * (total - step) / (total - warmup)
    return peak


# Optimizers, by formula


class Optimizer:
    """Updates a network by the gradients of a loss.

    `slack` bounds for each parameter what rounding may make of it: a small share of its steps, but where the gradient
    is nothing but rounding, as of a bias before batch norm, Adam's whole step, which is nearly the gradient's sign.
    """

    def __init__(self, network, weight_decay=0.0):
        self.count, self.weight_decay = 0, weight_decay
        self.rounding = 0.0
        self.parameters = dict(network.named_parameters())
        self.slack = {name: torch.zeros_like(value) for name, value in self.parameters.items()}
        self.state = {name: {} for name in self.parameters}

    def step(self, loss, lr):
        gradients = torch.autograd.grad(loss, list(self.parameters.values()), retain_graph=True, allow_unused=True)
        gradients = [
            torch.zeros_like(value) if gradient is None else gradient
            for value, gradient in zip(self.parameters.values(), gradients, strict=True)
        ]
        self.count += 1
        rounding = ROUNDING * max(float(gradient.abs().max()) for gradient in gradients)
        self.rounding = max(self.rounding, rounding)
        with torch.no_grad():
            for (name, value), gradient in zip(self.parameters.items(), gradients, strict=True):
                gradient = gradient + self.weight_decay * value
                change = lr * self.direction(self.state[name], gradient)
                self.slack[name] += STEP_TOLERANCE * change.abs().max()
                if isinstance(self, Adam):
                    uncertain = rounding + 2e-4 * gradient.abs().max()
                    self.slack[name] += 3 * lr * (uncertain / gradient.abs()).nan_to_num(0).clamp(max=1)
                value -= change


class Adam(Optimizer):
    """Kingma, Ba, *Adam*, ICLR 2015, algorithm 1."""

    def __init__(self, network, betas, weight_decay=0.0):
        super().__init__(network, weight_decay)
        self.betas = betas

    def direction(self, state, gradient):
        first, second = self.betas
        state["exp_avg"] = first * state.get("exp_avg", 0) + (1 - first) * gradient
        state["exp_avg_sq"] = second * state.get("exp_avg_sq", 0) + (1 - second) * gradient**2
        mean = state["exp_avg"] / (1 - first**self.count)
        square = state["exp_avg_sq"] / (1 - second**self.count)
        return mean / (square.sqrt() + 1e-8)


class SGD(Optimizer):
    """Gradients added up, the former ones at `momentum` times their weight."""

    def __init__(self, network, momentum, weight_decay=0.0):
        super().__init__(network, weight_decay)
        self.momentum = momentum

    def direction(self, state, gradient):
        state["momentum_buffer"] = self.momentum * state.get("momentum_buffer", 0) + gradient
        return state["momentum_buffer"]


# Averages of weights, and sample grids


@torch.no_grad()
def follow(average, network, step, decay, share=0.0):
    """Move the parameters of `average` as the documented moving average does; its buffers are copies.

    At first its half-life is `share` of the steps done, or where that is 0 the usual short warm-up.
    """
    decay = min(decay, 2 ** (-1 / (share * (step + 1))) if share else (1 + step) / (10 + step))
    for mine, live in zip(average.parameters(), network.parameters(), strict=True):
        mine.copy_(decay * mine + (1 - decay) * live)
    for mine, live in zip(average.buffers(), network.buffers(), strict=True):
        mine.copy_(live)


@torch.no_grad()
def measured(network, batches):
    """A copy of `network`, in evaluation mode, with batch norm's statistics averaged over batches of its arguments."""
    network = copy.deepcopy(network).train()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    momenta = [norm.momentum for norm in norms]
    means, variances = [], []
    for batch in batches:
        for norm in norms:
            norm.momentum = 1.0  # the running statistics are this batch's
        network(*batch)
        means.append([norm.running_mean.clone() for norm in norms])
        variances.append([norm.running_var.clone() for norm in norms])
    for index, norm in enumerate(norms):
        norm.running_mean.copy_(torch.stack([batch[index] for batch in means]).mean(0))
        norm.running_var.copy_(torch.stack([batch[index] for batch in variances]).mean(0))
        norm.num_batches_tracked.fill_(len(means))
        norm.momentum = momenta[index]
    return network.eval()


def at_rest(average, batches, settings):
    """A copy of `average` as it is used: with statistics `measured`, or with those that it has."""
    return measured(average, batches) if settings.estimate_batch_norm else copy.deepcopy(average).eval()


def grid(images, columns):
    """Images (N, 3, H, W) in [-1, 1] as one picture, in rows of `columns`, two white pixels around each."""
    levels = ((images + 1) / 2 * 255).round().clamp(0, 255).permute(0, 2, 3, 1).numpy().astype(np.uint8)
    framed = np.pad(levels, ((0, 0), (0, 2), (0, 2), (0, 0)), constant_values=255)
    rows = [np.concatenate(framed[start : start + columns], 1) for start in range(0, len(framed), columns)]
    return np.pad(np.concatenate(rows), ((2, 0), (2, 0), (0, 0)), constant_values=255)


# What a run left, and whether it is what the account says


class Left:
    """The files of a run directory."""

    def __init__(self, folder):
        self.folder = folder
        self.settings = json.loads((folder / "config.json").read_text())["settings"]
        self.lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        self.checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
        self.parts = self.checkpoint["parts"]
        self.weights = load_file(folder / "weights.safetensors")

    def kept(self, step):
        return load_file(self.folder / "kept" / f"{step:07d}.safetensors")

    def picture(self, step, kind="samples"):
        return np.asarray(Image.open(self.folder / kind / f"{step:07d}.png"))


def assert_log(lines, steps, log_every, per_epoch):
    """The lines hold the means of `steps`, one dictionary of values for each, since the line before."""
    due = [step for step in range(1, len(steps) + 1) if step % log_every == 0 or step == len(steps)]
    lines = [line for line in lines if steps[0].keys() <= line.keys()]
    assert [line["step"] for line in lines] == due
    for line, (before, step) in zip(lines, itertools.pairwise([0, *due]), strict=True):
        assert abs(line["epoch"] - step / per_epoch) < 1e-6
        for name in steps[0]:
            mean = sum(float(values[name]) for values in steps[before:step]) / (step - before)
            assert abs(line[name] - mean) <= 1e-5 + 5e-5 * abs(mean), (step, name, line[name], mean)


def assert_close(actual, expected, what, relative, slack=0.0):
    """Tensors are equal but for `relative`, beside the largest element, and `slack`."""
    assert actual.shape == expected.shape, what
    tolerance = relative * expected.double().abs().max() + slack
    excess = (actual.double() - expected.double()).abs() - tolerance
    assert (excess <= 0).all(), (what, float(excess.max()))


def assert_network(state, network, slack, skip=()):
    """The tensors of a file are those of the account's `network`; `slack` as its optimizer has it."""
    expected = network.state_dict()
    assert state.keys() == expected.keys()
    shifted = {f"{norm}.running_mean": bias for norm, bias in biases_before_batch_norm(network)}
    for name in expected.keys() - set(skip):
        relative = 1e-6 if name in slack else TOLERANCE
        assert_close(state[name], expected[name], name, relative, slack.get(shifted.get(name, name), 0.0))


def biases_before_batch_norm(network):
    """Pairs of names: batch norm, and the bias just before it, which moves its running mean and nothing else."""
    for path, module in network.named_modules():
        if isinstance(module, nn.Sequential):
            for (before, layer), (name, norm) in itertools.pairwise(module.named_children()):
                if isinstance(norm, nn.BatchNorm2d) and getattr(layer, "bias", None) is not None:
                    yield f"{path}.{name}", f"{path}.{before}.bias"


def assert_optimizer(state, optimizer):
    """The saved state of an optimizer is the account's, parameter by parameter."""
    assert len(state["state"]) == len(optimizer.state)
    for saved, (name, expected) in zip(state["state"].values(), optimizer.state.items(), strict=True):
        assert saved.get("step", optimizer.count) == optimizer.count, name
        for kind, value in expected.items():
            power = 2 if kind == "exp_avg_sq" else 1
            assert_close(saved[kind], value, (name, kind), power * TOLERANCE, optimizer.rounding**power)


def assert_pictures(actual, expected):
    """Pictures are equal but for values that fall between two levels."""
    difference = np.abs(actual.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


def contrast_part(guidance, clean):
    """What of guidance (N, C, H, W) is parallel to clean images about their mean colours."""
    contrast = clean - clean.flatten(2).mean(2)[:, :, None, None]
    along = torch.einsum("nchw,nchw->n", guidance, contrast) / torch.einsum("nchw,nchw->n", contrast, contrast)
    return along[:, None, None, None] * contrast
