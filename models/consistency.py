"""Few-step diffusion: a student that jumps through each phase of noise levels in one evaluation.

The noise levels are divided into phases by edges, 80 … 0. From anywhere in a phase the student's denoiser D says where
the teacher's sampling path leaves it: at noise level sigma, y becomes D + edge/sigma·(y - D), which is y itself at the
edge. Images are made from edge to edge (Heek, Hoogeboom, Salimans, *Multistep Consistency Models*, 2024; Song et al.,
*Consistency Models*, ICML 2023).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from models.edm import EDM
from models.generator import Sampling
from models.guidance import Denoiser
from runtime.errors import UserError


@dataclass(frozen=True)
class Consistency(EDM):
    """A student's process: the teacher's preconditioning, and the noise levels between its phases, falling to 0.

    Guidance is part of what it learns. Raises UserError for edges that do not fall from sigma_max to 0.
    """

    edges: tuple[float, ...] = (80.0, 6.0, 1.5, 0.4, 0.0)

    default_sampler: ClassVar[str] = "ddim"  # its step with D as the clean image is the jump
    default_guidance: ClassVar[float] = 1.0
    default_clip: ClassVar[bool] = False

    def __post_init__(self) -> None:
        inner = self.edges[1:-1]
        falling = all(high > low for high, low in pairwise(self.edges))
        if len(self.edges) < 2 or self.edges[0] != self.sigma_max or self.edges[-1] != 0 or not falling:
            raise UserError(f"edges {_words(self.edges)}: give noise levels that fall from {self.sigma_max:g} to 0")
        if inner and inner[-1] <= self.sigma_min:
            raise UserError(f"edges {_words(self.edges)}: only the last may be below {self.sigma_min:g}")

    # Training.

    def grid(self, substeps: int) -> tuple[Tensor, Tensor]:
        """The noise levels to train at, rising from sigma_min, and the edge below each; float64 (phases·substeps + 1,).

        Each phase has `substeps` intervals, evenly spaced in sigma^(1 / rho). The first level has no phase: its edge
        is 0, too.
        """
        levels, edges = [self.sigma_min], [0.0]
        for low, high in zip(self.edges[:0:-1], self.edges[-2::-1], strict=True):
            start, end = max(low, self.sigma_min) ** (1 / self.rho), high ** (1 / self.rho)
            levels += [(start + (end - start) * step / substeps) ** self.rho for step in range(1, substeps + 1)]
            edges += [low] * substeps
        return torch.tensor(levels, dtype=torch.float64), torch.tensor(edges, dtype=torch.float64)

    def distillation_loss(
        self,
        student: Denoiser,
        noisy: Tensor,
        labels: Tensor,
        sigma: Tensor,
        next_noisy: Tensor,
        next_sigma: Tensor,
        edge: Tensor,
    ) -> Tensor:
        """How far the student is from jumping from `noisy` to where it jumps from `next_noisy`; one scalar.

        `next_noisy` is `noisy` (N, C, H, W) after the teacher's step from `sigma` (N,) to `next_sigma`, both in the
        phase that ends at `edge`. The gradient is that of the first jump only. Errors are those of the network, in
        which unit variance is the scale at all noise levels.
        """
        sigma, next_sigma, edge = (value.to(noisy)[:, None, None, None] for value in (sigma, next_sigma, edge))
        with torch.no_grad():
            clean = self.denoise(student, next_noisy, next_sigma.flatten(), labels)
            goal = clean + edge / next_sigma * (next_noisy - clean)
            # The clean image with which the jump from `noisy` ends there, and the network's output that means it.
            clean = (goal - edge / sigma * noisy) / (1 - edge / sigma)
            c_skip, c_out, _, _ = self.preconditioning(sigma)
            target = (clean - c_skip * noisy) / c_out
        _, _, c_in, c_noise = self.preconditioning(sigma)
        return mse_loss(student(c_in * noisy, c_noise.flatten(), labels).to(target.dtype), target)

    # Sampling.

    def times(self, sampling: Sampling) -> list[float]:
        """The edges; raises UserError as `check`."""
        self.check(sampling)
        return list(self.edges)

    @property
    def most_steps(self) -> int:
        """One for each phase."""
        return len(self.edges) - 1

    @property
    def snapshot_times(self) -> tuple[float, ...]:
        """The edges."""
        return self.edges

    def check(self, sampling: Sampling) -> None:
        """Raise UserError for anything that the student was not made for."""
        if sampling.is_guided:
            raise UserError("guidance is built into these weights: leave out every setting that begins so")
        if sampling.steps not in (0, self.most_steps):
            raise UserError(f"steps {sampling.steps}: these weights were distilled for {self.most_steps} steps")
        if sampling.sampler is not None or sampling.eta:
            raise UserError("these weights were distilled for steps of their own: leave out sampler and eta")


def _words(edges: tuple[float, ...]) -> str:
    return " ".join(f"{edge:g}" for edge in edges)
