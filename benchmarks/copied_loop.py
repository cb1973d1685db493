"""The loops that everyone copies, as a yardstick: eager float32, a DataLoader that decodes PNG files.

Run by `python -m benchmarks NAME`; `python -m benchmarks.copied_loop NAME DATA BATCH WARM_UP STEPS` prints seconds.
Networks, batch and optimizers are those of the recipe NAME; what is done with them follows the public programs.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from data.decoded import image_names
from data.digits import read_labels
from data.faces import face_folder
from models import NETWORKS

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Batches = Iterator[tuple[Tensor, Tensor]]


NORMALISE = [transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))]
WEAK = [transforms.RandomAffine(10, (0.1, 0.1))]
STRONG = [*WEAK, transforms.RandAugment()]


class Pictures(Dataset):
    """Labelled pictures the way tutorials read them: decoded, resized and normalised anew for every batch.

    With `views`, lists of transforms, each is seen so often, one after the other in a tensor (views, 3, H, W).
    """

    def __init__(self, files: list[Path], labels: list[int], size: int, views: Sequence[list] = ()):
        self.files, self.labels, self.views = files, labels, views
        fit = [transforms.Resize(size), transforms.CenterCrop(size)]
        self.transforms = [transforms.Compose([*fit, *view, *NORMALISE]) for view in views or [[]]]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.open(self.files[index]).convert("RGB")
        seen = [transform(picture) for transform in self.transforms]
        return torch.stack(seen) if self.views else seen[0], self.labels[index]


def batches(pictures: Pictures, batch_size: int) -> Batches:
    """Batches without end, by two worker processes."""
    loader = DataLoader(pictures, batch_size, shuffle=True, num_workers=2, drop_last=True)
    while True:
        for images, labels in loader:
            yield images.to(DEVICE), labels.to(DEVICE)


def faces(data: Path, batch_size: int) -> Batches:
    """Faces, with labels that say nothing."""
    folder = face_folder(data)
    names = image_names(folder)
    return batches(Pictures([folder / name for name in names], [0] * len(names), 64), batch_size)


def digits(data: Path, batch_size: int, domain: str = "mnistm", views: Sequence[list] = ()) -> Batches:
    """Digits of a domain and their labels."""
    table = data / "digits" / domain / "train.csv"
    names, labels = read_labels(table)
    files = [table.parent / "data" / name for name in names]
    return batches(Pictures(files, labels.tolist(), 28, views), batch_size)


def minimise(loss: Tensor, optimizer: torch.optim.Optimizer) -> float:
    """One update; reading the loss, as tutorials do to print it, waits for the device."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def dcgan(data: Path, batch_size: int) -> Callable[[], None]:
    """PyTorch's DCGAN tutorial."""
    real_images = faces(data, batch_size)
    g, d = NETWORKS["dcgan-generator"]().to(DEVICE), NETWORKS["dcgan-discriminator"]().to(DEVICE)
    g_optimizer, d_optimizer = (torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (g, d))
    criterion = nn.BCEWithLogitsLoss()

    def step() -> None:
        real, _ = next(real_images)
        ones, zeros = torch.ones(len(real), 1, device=DEVICE), torch.zeros(len(real), 1, device=DEVICE)
        fake = g(torch.randn(len(real), 100, device=DEVICE))
        minimise(criterion(d(real), ones) + criterion(d(fake.detach()), zeros), d_optimizer)
        minimise(criterion(d(fake), ones), g_optimizer)

    return step


def vae(data: Path, batch_size: int) -> Callable[[], None]:
    """PyTorch's example of a VAE."""
    images, network = faces(data, batch_size), NETWORKS["vae"]().to(DEVICE)
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)

    def step() -> None:
        real, _ = next(images)
        restored, mean, log_variance = network(real, torch.randn(len(real), network.latent_size, device=DEVICE))
        divergence = -0.5 * torch.mean(1 + log_variance - mean.pow(2) - log_variance.exp())
        minimise(F.mse_loss(restored, real) + 1e-4 * divergence, optimizer)

    return step


def acgan28(data: Path, batch_size: int) -> Callable[[], None]:
    """The ACGAN of PyTorch-GAN's kind."""
    real_images = digits(data, batch_size)
    g, d = NETWORKS["acgan28-generator"]().to(DEVICE), NETWORKS["acgan28-discriminator"]().to(DEVICE)
    g_optimizer, d_optimizer = (torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (g, d))
    criterion = nn.BCEWithLogitsLoss()

    def step() -> None:
        real, labels = next(real_images)
        ones, zeros = torch.ones(len(real), 1, device=DEVICE), torch.zeros(len(real), 1, device=DEVICE)
        wanted = torch.randint(0, 10, (len(real),), device=DEVICE)
        fake = g(torch.randn(len(real), g.latent_size, device=DEVICE), wanted)
        (real_source, real_class), (fake_source, _) = d(real), d(fake.detach())
        d_loss = criterion(real_source, ones) + criterion(fake_source, zeros) + F.cross_entropy(real_class, labels)
        minimise(d_loss, d_optimizer)
        fake_source, fake_class = d(fake)
        minimise(criterion(fake_source, ones) + F.cross_entropy(fake_class, wanted), g_optimizer)

    return step


def context_unet(data: Path, batch_size: int) -> Callable[[], None]:
    """The conditional DDPM on MNIST that the reports' networks go back to."""
    images, network = digits(data, batch_size), NETWORKS["context-unet"]().to(DEVICE)
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    alpha_bar = (1 - torch.linspace(1e-4, 0.02, 500, device=DEVICE)).cumprod(0)

    def step() -> None:
        real, labels = next(images)
        times = torch.randint(1, 500, (len(real),), device=DEVICE)
        noise = torch.randn_like(real)
        level = alpha_bar[times][:, None, None, None]
        noisy = level.sqrt() * real + (1 - level).sqrt() * noise
        minimise(F.mse_loss(network(noisy, times / 500, labels), noise), optimizer)

    return step


def dann(data: Path, batch_size: int) -> Callable[[], None]:
    """The DANN of Python re-implementations: source and target by turns."""
    sources, targets = digits(data, batch_size), digits(data, batch_size, "usps")
    network = NETWORKS["dann32"]().to(DEVICE)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)

    def step() -> None:
        (source, labels), (target, _) = next(sources), next(targets)
        zeros, ones = torch.zeros(len(source), 1, device=DEVICE), torch.ones(len(target), 1, device=DEVICE)
        classes, domains = network(source, 0.5)
        loss = F.cross_entropy(classes, labels) + F.binary_cross_entropy_with_logits(domains, zeros)
        _, domains = network(target, 0.5)
        minimise(loss + F.binary_cross_entropy_with_logits(domains, ones), optimizer)

    return step


def adamatch(data: Path, batch_size: int) -> Callable[[], None]:
    """AdaMatch's PyTorch re-implementation: weak and strong views by torchvision, twice as many of the target."""
    sources = digits(data, batch_size, views=(WEAK, STRONG))
    targets = digits(data, 2 * batch_size, "usps", (WEAK, STRONG))
    network = NETWORKS["dann32"](width=32).classifier.to(DEVICE)
    optimizer = torch.optim.AdamW(network.parameters(), 1.5e-3, weight_decay=0.01)

    def step() -> None:
        (source, labels), (target, _) = next(sources), next(targets)
        source, target = source.transpose(0, 1).flatten(0, 1), target.transpose(0, 1).flatten(0, 1)
        together, of_target = network(torch.cat([source, target])).split([len(source), len(target)])
        alone = network(source)
        weak, strong = torch.lerp(alone, together, torch.rand_like(alone)).chunk(2)
        target_weak, target_strong = of_target.chunk(2)
        with torch.no_grad():
            known, guessed = weak.softmax(1), target_weak.softmax(1)
            guessed = guessed * known.mean(0) / guessed.mean(0)
            confidence, pseudo_labels = (guessed / guessed.sum(1, keepdim=True)).max(1)
            accepted = confidence >= 0.9 * known.max(1).values.mean()
        loss = (F.cross_entropy(weak, labels) + F.cross_entropy(strong, labels)) / 2
        minimise(loss + (F.cross_entropy(target_strong, pseudo_labels, reduction="none") * accepted).mean(), optimizer)

    return step


LOOPS = {
    "dcgan": dcgan,
    "vae": vae,
    "acgan28": acgan28,
    "context-unet": context_unet,
    "dann": dann,
    "adamatch": adamatch,
}


def main(name: str, data: Path, batch_size: int, warm_up: int, steps: int) -> None:
    """Train for `warm_up` and then `steps` steps, and print the seconds of the latter."""
    step = LOOPS[name](data, batch_size)
    for _ in range(warm_up):
        step()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
