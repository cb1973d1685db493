"""What networks answer, kept as numbers in `outputs.npz`; `PYTHONPATH=. python tests/golden/make.py` makes it anew.

Do that after a change that is meant to change answers, a new network or new shipped weights say, and look at the names
that it prints: they are those whose numbers changed.

Of every network in models.NETWORKS, narrow and with weights drawn here, the file holds the outputs in evaluation and in
training mode, the lengths of its gradients and its buffers after the latter, and the lengths of its initial weights; of
every shipped weights file, the outputs; of every augmentation, the images. Long outputs are thinned out evenly. All in
float32 on a CPU with one thread.
"""

import inspect
import io
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from data.augment import AUGMENTATIONS, DRAWS, augment_by_turns
from models import NETWORKS
from models.digit_classifiers import DigitClassifier
from models.samplers import DiffusionModel
from models.vae import VAE
from models.weights import load_weights
from runtime.files import write_atomically

PATH = Path(__file__).with_name("outputs.npz")
SHIPPED = Path(__file__).parents[2] / "weights"
SMALL = {"latent_size": 8, "width": 8}
KEPT = 100  # numbers of each output


def small_network(name: str) -> nn.Module:
    """The network of this name, narrow; its initial weights are those of seed 0."""
    torch.manual_seed(0)
    build = NETWORKS[name]
    if name == "autoguided":
        return build({"width": 8}, {"width": 4})
    if name == "ensemble":
        return build("dann32", 2, width=8)
    known = inspect.signature(build).parameters
    width = 16 if name.endswith("unet") else 8  # group norm then has groups of several channels
    return build(**{key: value for key, value in (SMALL | {"width": width}).items() if key in known})


@torch.no_grad()
def draw_weights(network: nn.Module) -> None:
    """Give `network` weights that hide nothing: no scale of 1, no bias and no attention's weight of 0."""
    draws = torch.Generator().manual_seed(1)
    for name, value in network.named_parameters():
        noise = torch.randn(value.shape, generator=draws)
        if value.ndim > 1:
            value.copy_(noise * (2 / value[0].numel()) ** 0.5)
        else:
            value.copy_(noise / 5 + (0 if name.endswith("bias") else 1))
    for module in network.modules():
        if hasattr(module, "parametrizations"):  # spectral norm finds the new weights' singular vectors by use
            module.train()
            for _ in range(20):
                assert module.weight is not None
    for name, value in network.named_buffers():
        if name.endswith("running_var") or "deviation" in name:
            value.copy_(torch.rand(value.shape, generator=draws) + 0.5)
        elif name.endswith("running_mean") or name.startswith("prior_"):
            value.copy_(torch.randn(value.shape, generator=draws) / 3)


def draw_inputs(name: str, network: nn.Module) -> tuple[Tensor, ...]:
    """Arguments of the forward pass of the network of this name."""
    draws = torch.Generator().manual_seed(2)

    def images(size: int) -> Tensor:
        coarse = torch.rand(4, 3, 7, 7, generator=draws) * 2 - 1
        return nn.functional.interpolate(coarse, (size, size), mode="bilinear")

    labels = torch.tensor([3, 0, 9, 7])
    if name.endswith("-generator"):
        latents = torch.randn(4, network.latent_size, generator=draws)
        return (latents, labels) if network.classes else (latents,)
    if name.endswith("-discriminator"):
        return (images(28 if name.startswith("acgan28") else 64),)
    if isinstance(network, DigitClassifier):
        return (images(28),)
    if isinstance(network, DiffusionModel):
        labels = torch.tensor([3, -1, 9, 0]) if network.classes else None
        return images(network.image_size), torch.tensor([0.05, 0.4, 0.7, 1.0]), labels
    if name == "vae":
        return images(64), torch.randn(4, network.latent_size, generator=draws)
    return images(28), torch.tensor(0.7)  # DANN and DSN: half source, half target, and lambda


def outputs_of(network: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """All tensors that the network makes of its inputs."""
    outputs = network(*inputs)
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    if isinstance(network, VAE):
        noise = torch.randn(4, *network.latent_shape, generator=torch.Generator().manual_seed(3))
        outputs.append(network.generate(noise))
    return outputs


def thinned(values: Tensor) -> np.ndarray:
    """At most KEPT numbers of a tensor, evenly over it."""
    values = values.detach().flatten()
    stride = -(-len(values) // KEPT)
    return values[:: stride + (stride > 1 and stride % 2 == 0)].numpy()  # an odd stride comes by every column


def lengths(tensors: list[Tensor]) -> np.ndarray:
    """The root mean square of each."""
    return torch.stack([value.detach().float().square().mean().sqrt() for value in tensors]).numpy()


def answers(name: str) -> dict[str, np.ndarray]:
    """All that is kept of the network of this name."""
    network = small_network(name)
    kept = {f"{name}/initial": lengths(list(network.parameters()))}
    draw_weights(network)
    inputs = draw_inputs(name, network)
    for number, output in enumerate(outputs_of(network.eval(), inputs)):
        kept[f"{name}/evaluation/{number}"] = thinned(output)

    torch.manual_seed(4)  # of dropout
    outputs = outputs_of(network.train(), inputs)
    sum(output.square().mean() for output in outputs).backward()
    gradients = [torch.zeros(1) if value.grad is None else value.grad for value in network.parameters()]
    kept[f"{name}/gradients"] = lengths(gradients)
    if buffers := list(network.buffers()):
        kept[f"{name}/buffers"] = lengths(buffers)
        for number, output in enumerate(outputs):
            kept[f"{name}/training/{number}"] = thinned(output)
    return kept


def shipped_answers(path: Path) -> dict[str, np.ndarray]:
    """What the network of a weights file answers, and which it is."""
    with torch.no_grad():
        network, _ = load_weights(path, nn.Module)
        name = network_name(path)
        outputs = outputs_of(network, draw_inputs(name, network))
    return {f"weights/{path.stem}/{number}": thinned(output) for number, output in enumerate(outputs)}


def network_name(path: Path) -> str:
    """The network that a weights file names."""
    with safe_open(path, "pt") as file:
        return file.metadata()["network"]


def augmented(name: str) -> dict[str, np.ndarray]:
    """What the augmentation of this name makes of images."""
    draws = torch.Generator().manual_seed(5)
    images = torch.rand(4, 3, 28, 28, generator=draws) * 2 - 1
    images = augment_by_turns(images, torch.rand(4, DRAWS, generator=draws), AUGMENTATIONS[name])
    return {f"augmentation/{name}/{index}": thinned(image) for index, image in enumerate(images)}


def make() -> dict[str, np.ndarray]:
    """All answers, by name."""
    kept = {}
    for name in NETWORKS:
        kept |= answers(name)
    for name in AUGMENTATIONS:
        kept |= augmented(name)
    for path in sorted(SHIPPED.glob("*.safetensors")):
        kept |= shipped_answers(path)
    return kept


def close(answer: np.ndarray, kept: np.ndarray | None) -> bool:
    """Whether two answers are equal but for rounding, which is a matter of the largest number."""
    if kept is None or answer.shape != kept.shape:
        return False
    return np.allclose(answer, kept, rtol=0, atol=1e-4 * np.abs(kept).max() + 1e-7)


if __name__ == "__main__":
    torch.set_num_threads(1)
    new, old = make(), dict(np.load(PATH)) if PATH.exists() else {}
    changed = [name for name in new.keys() | old.keys() if name not in new or not close(new[name], old.get(name))]
    print("\n".join(sorted(changed)) or "no answer changed")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: new[name] if name in changed else old[name] for name in new})
    write_atomically(PATH, buffer.getvalue())
