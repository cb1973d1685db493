"""Learning rates as functions of the step alone, so that a resumed run needs no state of them."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from runtime.errors import UserError
from runtime.settings import AT_LEAST_0, OnlyWith

HALVED = OnlyWith("lr_schedule", values=("halved",))
WARMED_UP = OnlyWith("lr_schedule", values=("constant", "halved", "linear", "cosine", "fixmatch", "annealed"))


@dataclass
class Schedule:
    """How learning rates change over a run."""

    lr_schedule: Literal["constant", "halved", "linear", "cosine", "fixmatch", "annealed", "one-cycle"] = "constant"
    """Learning-rate schedule, as a factor at the share p of the run: linear and cosine decay to 0, fixmatch
    cos(7 pi p / 16), annealed 1 / (1 + 10 p)^0.75; halved every --halve-every-epochs or -steps; one-cycle rises over
    30 % of the run, then decays."""
    warmup_steps: Annotated[int, AT_LEAST_0, WARMED_UP] = 0
    """Steps of linear warm-up before the schedule; one-cycle has its own."""
    halve_every_epochs: Annotated[int, AT_LEAST_0, HALVED] = 0
    """Epochs between halvings of the learning rate, of the schedule halved."""
    halve_every_steps: Annotated[int, AT_LEAST_0, HALVED] = 0
    """Steps between halvings of the learning rate, instead of epochs."""

    def check(self) -> None:
        """Raise UserError for settings that cannot work together."""
        if self.lr_schedule == "halved" and bool(self.halve_every_epochs) == bool(self.halve_every_steps):
            raise UserError("--lr-schedule halved needs --halve-every-epochs or --halve-every-steps")

    def learning_rate(self, peak: float, step: int, total: int, steps_per_epoch: int) -> float:
        """The learning rate of step `step`, counted from 0, of `total`; `peak` is the highest.

        After a linear warm-up: cosine decays along half a wave (Loshchilov, Hutter, *SGDR*, ICLR 2017, section 3),
        fixmatch to a fifth (Sohn et al., *FixMatch*, NeurIPS 2020, section 2.3), annealed as in Ganin et al.,
        *Domain-Adversarial Training of Neural Networks*, JMLR 2016, section 5.2.2.
        """
        if self.lr_schedule == "one-cycle":
            return one_cycle(peak, step, total)
        if step < self.warmup_steps:
            return peak * (step + 1) / self.warmup_steps
        done, total = step - self.warmup_steps, total - self.warmup_steps
        match self.lr_schedule:
            case "halved":
                return peak * 0.5 ** (done // (self.halve_every_steps or self.halve_every_epochs * steps_per_epoch))
            case "linear":
                return peak * (1 - done / total)
            case "cosine":
                return half_wave(peak, 0.0, done / total)
            case "fixmatch":
                return peak * math.cos(7 * math.pi * (done / total) / 16)
            case "annealed":
                return peak / (1 + 10 * (done / total)) ** 0.75
        return peak


def one_cycle(peak: float, step: int, total: int) -> float:
    """From peak/25 to `peak` over the first 30 % of the steps, then to peak/250000, along half waves.

    Smith, Topin, *Super-Convergence*, 2018, section 3; constants and shape are those of
    torch.optim.lr_scheduler.OneCycleLR, whose cycle of momentum is left out.
    """
    top = 0.3 * total - 1
    if step <= top:
        return half_wave(peak / 25, peak, step / top)
    return half_wave(peak, peak / 25e4, (step - top) / (total - 1 - top))


def half_wave(start: float, end: float, fraction: float) -> float:
    """From `start` at fraction 0 to `end` at fraction 1, along half a cosine wave."""
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2
