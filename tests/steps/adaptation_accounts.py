"""What the tests of the adaptation scripts share: a data tree, and in plain torch what a run does with it.

Data order, augmentation, optimizer, schedules, average and validation are written out anew. Only the networks of
`models` and the augmentation itself are called as they are; both have tests of their own.
"""

import copy
import csv
import hashlib
import importlib
import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.functional import interpolate

from data.augment import AUGMENTATIONS, augment_by_turns
from models import NETWORKS
from training.config import parse_command_line

SCRIPTS = {
    **dict.fromkeys(("supervised", "dann", "dann32", "dann-cnn", "dann-mcc"), "train_dann"),
    **dict.fromkeys(("dsn", "dsn-report"), "train_dsn"),
    "adamatch": "train_adamatch",
}
SOURCE, TARGET = "glyphs", "signs"
BATCH = 8


class Split(NamedTuple):
    """Pictures uint8 (N, 28, 28, 3) and labels (N,), in the order of their table."""

    images: np.ndarray
    labels: np.ndarray


Domains = dict[str, dict[str, Split]]


def domains() -> Domains:
    """Random patches with noise: 21 pictures to learn from in the source, 19 in the target, and others to validate.

    Batches of 8 then end their first epoch after two steps. Some classes are rare, others missing; no two classes of
    a validation split are equally frequent, so that its accuracy tells what was predicted.
    """
    random = np.random.default_rng(0)
    validation = np.repeat(np.arange(10), np.arange(10))
    tables = {
        (SOURCE, "train"): np.array([0] * 8 + [1] * 5 + [2] * 3 + [4, 4, 5, 7, 8]),
        (SOURCE, "val"): validation,
        (TARGET, "train"): np.arange(19) % 10,
        (TARGET, "val"): 9 - validation[::2],
    }
    found: Domains = {SOURCE: {}, TARGET: {}}
    for (domain, split), labels in tables.items():
        tint = random.integers(0, 60, 3) if domain == TARGET else 0
        coarse = (random.integers(30, 170, (len(labels), 4, 4, 3)) + tint).repeat(7, 1).repeat(7, 2)
        images = (coarse + random.integers(-25, 26, coarse.shape)).astype(np.uint8)
        found[domain][split] = Split(images, random.permutation(labels))
    return found


def write_tree(root: Path, domains: Domains) -> Path:
    """Write the data tree of these domains; the tables are not in the order of the pictures' names."""
    for domain, splits in domains.items():
        folder = root / "digits" / domain
        (folder / "data").mkdir(parents=True)
        count = sum(len(split.labels) for split in splits.values())
        numbers = iter(np.random.default_rng(1).permutation(count))
        for name, split in splits.items():
            rows = [(f"{next(numbers):05d}.png", label) for label in split.labels]
            for (file, _), image in zip(rows, split.images, strict=True):
                Image.fromarray(image).save(folder / "data" / file)
            with open(folder / f"{name}.csv", "w", newline="") as table:
                csv.writer(table).writerows([("image_name", "label"), *rows])
    return root


def train(recipe: str, tree: Path, runs: Path, *options) -> Path:
    """Run the script of this recipe at a small size in this process, every step logged; gives the run directory."""
    script = importlib.import_module(SCRIPTS[recipe])
    words = [recipe, "--data", tree, "--runs", runs, "--source", SOURCE, "--target", TARGET, "--batch-size", BATCH]
    words += ["--device", "cpu", "--precision", "float32", "--log-every", 1, *options]
    config = parse_command_line(script.RECIPES, list(map(str, words)))
    script.main(config)
    return config.folder


def seed_of(seed: int, *stream: str | int) -> int:
    """The seed of the stream of this name: 63 bits of the SHA-256 of "seed/name/…"."""
    digest = hashlib.sha256("/".join(str(part) for part in (seed, *stream)).encode()).digest()
    return int.from_bytes(digest[:8], "big") // 2


def draws(seed: int, *stream: str | int) -> torch.Generator:
    """The generator of the stream of this name."""
    return torch.Generator().manual_seed(seed_of(seed, *stream))


def shuffled(split: Split, generator: torch.Generator, balanced: bool) -> list[int]:
    """The order of an epoch: a permutation; or in rounds one picture of each class, in an order drawn for the round."""
    order = torch.randperm(len(split.labels), generator=generator).tolist()
    if not balanced:
        return order
    of_class = [[index for index in order if split.labels[index] == label] for label in np.unique(split.labels)]
    rounds = math.ceil(len(order) / len(of_class))
    places = torch.rand(rounds, len(of_class), generator=generator).argsort(1).tolist()
    in_rounds = [of_class[place][turn % len(of_class[place])] for turn in range(rounds) for place in places[turn]]
    return in_rounds[: len(order)]


def batch_indices(split: Split, size: int, number: int, seed: int, *stream: str, balanced: bool = False) -> list[int]:
    """Which pictures the batch of this number holds; what does not fill a batch at an epoch's end is left out."""
    per_epoch = len(split.labels) // size
    order = shuffled(split, draws(seed, *stream, "order", number // per_epoch), balanced)
    return order[number % per_epoch * size :][:size]


def pixels(images: np.ndarray) -> Tensor:
    """Images (N, 3, H, W) in [-1, 1] of uint8 (N, H, W, 3)."""
    return torch.from_numpy(images.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2)


def augmented(images: Tensor, kinds: list, seed: int, domain: str, number: int) -> Tensor:
    """Views of batch `number` of a domain, one kind after the other, by the numbers drawn for it."""
    uniform = torch.rand(len(kinds), len(images), 18, generator=draws(seed, "augment", domain, number))
    return torch.cat([augment_by_turns(images, *view) for view in zip(uniform, kinds, strict=True)])


def source_batch(
    domains: Domains, number: int, seed: int, kinds: list, balanced: bool = False
) -> tuple[Tensor, Tensor]:
    """Views of the source's batch `number`, and its labels (n,)."""
    split = domains[SOURCE]["train"]
    indices = batch_indices(split, BATCH, number, seed, balanced=balanced)
    return augmented(pixels(split.images[indices]), kinds, seed, "source", number), torch.tensor(split.labels[indices])


def target_batch(domains: Domains, number: int, seed: int, kinds: list, size: int = BATCH) -> Tensor:
    """Views of the target's batch `number`."""
    split = domains[TARGET]["train"]
    indices = batch_indices(split, size, number, seed, "target")
    return augmented(pixels(split.images[indices]), kinds, seed, "target", number)


def kind(name: str) -> tuple:
    """What the pictures of a batch undergo by turns at this level of augmentation."""
    return AUGMENTATIONS[name]


def resized(images: Tensor, size: int) -> Tensor:
    """Images (N, 3, size, size), bilinear, pixels' centres kept in place."""
    return interpolate(images, (size, size), mode="bilinear") if images.shape[-1] != size else images


def seeded_network(seed: int, name: str, **arguments) -> nn.Module:
    """The network as a run of this seed begins with it, in training mode."""
    torch.manual_seed(seed_of(seed, "weights"))
    return NETWORKS[name](**arguments).to(memory_format=torch.channels_last).train()


def seed_step(seed: int, step: int) -> None:
    """Seed what dropout draws from, as every step does anew."""
    torch.manual_seed(seed_of(seed, "step", step, 0))


def without_statistics(module: nn.Module, inputs: Tensor) -> Tensor:
    """`module` of `inputs` in training mode, its batch norm leaving the running statistics as they are."""
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    return torch.func.functional_call(module, buffers, (inputs,))


def learning_rate(peak: float, schedule: str, progress: float) -> float:
    """The learning rate after the share `progress` of the run."""
    return {
        "constant": peak,
        "annealed": peak * (1 + 10 * progress) ** -0.75,
        "cosine": peak * (1 + math.cos(math.pi * progress)) / 2,
        "fixmatch": peak * math.cos(7 * math.pi * progress / 16),
    }[schedule]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean of -log p of the labels (n,), p the softmax of logits (n, K)."""
    log_p = logits - logits.logsumexp(1, keepdim=True)
    return -log_p[range(len(labels)), labels].mean()


def binary_cross_entropy(logits: Tensor) -> Tensor:
    """Mean of -log p of the domains, the first half source (1 - sigmoid), the second target (sigmoid)."""
    source, target = logits.flatten().chunk(2)
    return (torch.log1p(source.exp()).sum() + torch.log1p((-target).exp()).sum()) / len(logits)


def minimum_class_confusion(logits: Tensor) -> Tensor:
    """The mean over classes of what a class shares with the others, temperature 2.5 (Jin et al., *Minimum Class
    Confusion for Versatile Domain Adaptation*, ECCV 2020, equations 2 to 7).
    """
    scaled = logits / 2.5
    p = scaled.exp() / scaled.exp().sum(1, keepdim=True)
    entropies = -(p * p.log()).sum(1).detach()
    weights = len(p) * (1 + torch.exp(-entropies)) / (1 + torch.exp(-entropies)).sum()
    correlation = torch.einsum("ij,i,ik->jk", p, weights, p)
    confusion = correlation / correlation.sum(1, keepdim=True)
    return (confusion.sum() - confusion.trace()) / len(confusion)


def lambda_ramp(progress: float) -> float:
    """Share of lambda in force after the share `progress` of the run (DANN, section 5.2.2)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


class AdamW:
    """Adam with decoupled weight decay, betas 0.9 and 0.999, epsilon 1e-8, by its formulas."""

    def __init__(self, parameters: list[nn.Parameter], weight_decay: float = 0.0):
        self.parameters, self.weight_decay = list(parameters), weight_decay
        self.lr, self.count, self.travelled = 0.0, 0, 0.0
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]

    def minimise(self, loss: Tensor, lr: float) -> None:
        """One step down the gradient of `loss`."""
        gradients = torch.autograd.grad(loss, self.parameters)
        self.lr, self.count, self.travelled = lr, self.count + 1, self.travelled + lr
        with torch.no_grad():
            for value, gradient, mean, square in zip(self.parameters, gradients, self.means, self.squares, strict=True):
                mean.copy_(0.9 * mean + 0.1 * gradient)
                square.copy_(0.999 * square + 0.001 * gradient**2)
                unbiased, scale = mean / (1 - 0.9**self.count), (square / (1 - 0.999**self.count)).sqrt()
                value.copy_(value - lr * self.weight_decay * value - lr * unbiased / (scale + 1e-8))


def averaged(average: nn.Module | None, network: nn.Module, decay: float, step: int) -> nn.Module:
    """The average after step `step`: d · average + (1 - d) · network, d = min(decay, (1 + step) / (10 + step)).

    Buffers are the network's; without an average so far, the network's weights.
    """
    following = copy.deepcopy(network).eval()
    if average is not None:
        d = min(decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for new, old in zip(following.parameters(), average.parameters(), strict=True):
                new.copy_(d * old + (1 - d) * new)
    return following


def measure_batch_norm(network: nn.Module, forward: Callable[[Tensor], object], batches: list[Tensor]) -> None:
    """Set the running statistics to the means over `batches` of each batch's mean and variance, dropout being off."""
    network.train()
    seen: dict[nn.Module, list] = {}
    hooks = []
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.eval()
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            seen[module] = []
            hooks.append(module.register_forward_pre_hook(lambda norm, inputs: seen[norm].append(inputs[0])))
    with torch.no_grad():
        for batch in batches:
            forward(batch)
        for norm, inputs in seen.items():
            if inputs:
                features = [batch.transpose(0, 1).flatten(1) for batch in inputs]
                norm.running_mean.copy_(torch.stack([batch.mean(1) for batch in features]).mean(0))
                norm.running_var.copy_(torch.stack([batch.var(1) for batch in features]).mean(0))
                norm.num_batches_tracked.fill_(len(inputs))
    for hook in hooks:
        hook.remove()
    network.eval()


@torch.no_grad()
def validate(classify: Callable[[Tensor], Tensor], domains: Domains) -> dict[str, float]:
    """The shares of both domains' validation pictures that get their label."""
    scores = {}
    for key, domain in (("source", SOURCE), ("target", TARGET)):
        split = domains[domain]["val"]
        scores[f"{key}_accuracy"] = float((classify(pixels(split.images)).argmax(1).numpy() == split.labels).mean())
    return scores


def check_log(folder: Path, steps: list[dict[str, float]], scores: dict[str, float]) -> None:
    """Compare what each step logged, and the scores of the last."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    logged = [line for line in lines if "class_loss" in line]
    assert [line["step"] for line in logged] == list(range(1, len(steps) + 1))
    for line, expected in zip(logged, steps, strict=True):
        for name, value in expected.items():
            assert abs(line[name] - float(value)) <= 2e-6 + 1e-5 * abs(float(value)), (line["step"], name)
    recorded = {name: value for name, value in lines[-1].items() if name.endswith("accuracy")}
    assert recorded == {name: round(value, 6) for name, value in scores.items()}


def check_networks(folder: Path, networks: dict[str, nn.Module], optimizers: dict[str, AdamW]) -> None:
    """Compare every tensor of checkpoint.pt: the networks and the optimizers of these names, and no others."""
    parts = torch.load(folder / "checkpoint.pt", weights_only=True)["parts"]
    assert parts.keys() == networks.keys() | optimizers.keys()
    travelled = max(optimizer.travelled for optimizer in optimizers.values())
    for name, network in networks.items():
        check_tensors(parts[name], network, travelled)
    for name, optimizer in optimizers.items():
        (group,) = parts[name]["param_groups"]
        assert math.isclose(group["lr"], optimizer.lr, rel_tol=1e-6)
        assert group["weight_decay"] == optimizer.weight_decay
        steepest = max(mean.abs().max() for mean in optimizer.means)
        states = [parts[name]["state"][number] for number in group["params"]]
        for place, (state, *expected) in enumerate(zip(states, optimizer.means, optimizer.squares, strict=True)):
            assert state["step"] == optimizer.count
            for key, value, largest in zip(("exp_avg", "exp_avg_sq"), expected, (steepest, steepest**2), strict=True):
                errors = (state[key] - value).abs()
                assert errors.max() <= 0.05 * largest, (name, place, key)
                assert errors.mean() <= 0.03 * value.abs().mean() + 1e-5 * largest, (name, place, key)


def check_weights(folder: Path, classifier: nn.Module, name: str, arguments: dict, optimizer: AdamW) -> None:
    """Compare weights.safetensors, which is to hold `NETWORKS[name](**arguments)`."""
    with safe_open(folder / "weights.safetensors", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dictionary
        metadata = file.metadata()
    assert metadata["network"] == name and json.loads(metadata["arguments"]) == arguments
    check_tensors(tensors, classifier, optimizer.travelled)


def check_tensors(state: dict[str, Tensor], network: nn.Module, travelled: float) -> None:
    """Compare a network's parameters and buffers, and no others.

    Adam makes as much of small gradients as of large ones, so of their rounding errors too, and a rounding error may
    choose another pixel of a maximum: an element may be off by three tenths of the way that it can have `travelled`,
    a tensor by a hundredth in the mean.
    A bias before batch norm has the gradient 0 and moves by rounding errors alone, and the running mean with it: these
    are only to lie within that way.
    """
    expected = network.state_dict()
    assert state.keys() == expected.keys()
    loose = unlearnable(network)
    for name, value in expected.items():
        errors = (state[name].double() - value.double()).abs() - (
            3e-4 if "running" in name else 3e-5
        ) * value.double().abs()
        most, mean = (3, 3) if name in loose else (0.3, 0.01)
        assert errors.max() <= 2e-6 + most * travelled, (name, errors.max().item() / travelled)
        assert errors.mean() <= 1e-6 + mean * travelled, (name, errors.mean().item() / travelled)


def unlearnable(network: nn.Module) -> set[str]:
    """The names of the biases right before batch norm, and of the running means that they go into."""
    names = set()
    for prefix, module in network.named_modules():
        if isinstance(module, nn.Sequential):
            layers = list(module.named_children())
            for (number, layer), (norm_number, norm) in pairwise(layers):
                if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) and getattr(layer, "bias", None) is not None:
                    names |= {f"{prefix}.{number}.bias", f"{prefix}.{norm_number}.running_mean"}
    return names


def check_target_labels_unused(recipe: str, tree: Path, folder: Path, *options) -> None:
    """Compare two runs, bit for bit, that differ in the target's labels: only its accuracy may differ."""
    changed = domains()
    for name, split in changed[TARGET].items():
        changed[TARGET][name] = Split(split.images, (split.labels + 1) % 10)
    runs = [
        train(recipe, root, folder / name, *options)
        for name, root in (("as it is", tree), ("relabelled", write_tree(folder / "tree", changed)))
    ]
    one, other = (torch.load(run / "checkpoint.pt", weights_only=True)["parts"] for run in runs)
    assert one.keys() == other.keys()
    for name in ("network", "average"):
        assert all(torch.equal(value, other[name][key]) for key, value in one[name].items())
    logs = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in runs]
    for line, again in zip(*logs, strict=True):
        differing = {key for key in line if line[key] != again[key]} - {"seconds"}
        assert differing <= {"target_accuracy"}
