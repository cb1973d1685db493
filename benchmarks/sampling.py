"""Digits per second, ours and by the loop that everyone copies, in turns: `python -m benchmarks.sampling`.

Both sample `context-unet` at the report's size, with random weights, as time does not depend on them: we by 20 guided
steps of DPM-Solver++, each two evaluations, in the precision that the hardware computes in; the copied loop by 500
plain ancestral steps in float32. Accuracy by sampler is in docs/digits.md.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from inference.sampling import noise_of
from models import NETWORKS
from models.context_unet import ContextUNet
from models.generator import Sampling
from runtime.command_line import run_main
from runtime.device import OnDevice, choose_execution
from runtime.seeds import image_seeds
from runtime.settings import AT_LEAST_1

GUIDED = Sampling("dpm++", 20, 2.0)


@dataclass
class Config(OnDevice):
    """Time guided sampling and the copied loop in turns."""

    images: Annotated[int, AT_LEAST_1] = 10
    """Digits at once."""
    copied_steps: Annotated[int, AT_LEAST_1] = 10
    """Of the copied loop's 500 steps, which are alike, so many are timed."""
    turns: Annotated[int, AT_LEAST_1] = 3
    """Turns of each."""


@torch.no_grad()
def ancestral(network: ContextUNet, x: Tensor, labels: Tensor, steps: int) -> Tensor:
    """The first `steps` of DDPM's algorithm 2, from x (N, C, H, W), as public programs have it."""
    total = network.diffusion.steps
    beta = torch.cat([torch.zeros(1), torch.linspace(1e-4, 0.02, total)]).to(x.device)
    alpha_bar = (1 - beta).cumprod(0)
    for t in range(total, total - steps, -1):
        noise = network(x, torch.full(labels.shape, t / total, device=x.device), labels)
        x = (x - beta[t] / (1 - alpha_bar[t]).sqrt() * noise) / (1 - beta[t]).sqrt()
        x = x + beta[t].sqrt() * torch.randn_like(x)
    return x


def seconds(work: Callable[[], Tensor]) -> float:
    """How long one call of `work` takes; what it returns is read."""
    start = time.perf_counter()
    work().sum().item()
    return time.perf_counter() - start


def main(config: Config) -> None:
    """Take turns and print seconds per 1,000 digits and their ratio."""
    execution = choose_execution(config.device)
    network = execution.place(NETWORKS["context-unet"]().eval())
    labels = torch.arange(config.images, device=execution.device) % network.classes
    draw_noise = noise_of(network, image_seeds(0, range(config.images)), execution)
    noise, of_all_steps = draw_noise(), network.diffusion.steps / config.copied_steps

    @torch.inference_mode()
    def ours() -> Tensor:
        with execution.autocast():
            return network.sample(draw_noise, labels, GUIDED)

    ours()  # warms up
    ratios, per_1000 = [], 1000 / config.images
    for turn in range(config.turns):
        own = per_1000 * seconds(ours)
        copied = per_1000 * of_all_steps * seconds(lambda: ancestral(network, noise, labels, config.copied_steps))
        ratios.append(copied / own)
        said = f"ours {own:.0f} s per 1,000 digits ({execution.precision}), copied {copied:.0f} s"
        print(f"turn {turn + 1}: {said}, ratio {ratios[-1]:.1f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.1f}, from {min(ratios):.1f} to {max(ratios):.1f}")


if __name__ == "__main__":
    run_main(main, Config)
