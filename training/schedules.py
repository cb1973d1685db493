"""Learning rates as functions of the step alone, so that going on after a stop needs no state."""

import math
from typing import Literal

LearningRateSchedule = Literal["constant", "linear", "cosine", "one-cycle"]
AdaptationSchedule = Literal["constant", "annealed", "cosine", "fixmatch"]


def learning_rate(peak: float, schedule: LearningRateSchedule, step: int, total: int, warmup: int = 0) -> float:
    """The learning rate of step `step`, counted from 0, of `total`; `peak` is the highest.

    constant, linear and cosine rise linearly to `peak` over the first `warmup` steps; linear then falls to 0 along a
    line, cosine along half a wave (Loshchilov, Hutter, *SGDR*, ICLR 2017, section 3). one-cycle rises from peak/25 to
    `peak` over the first 30 % of the steps and falls to peak/250000, along half waves (Smith, Topin,
    *Super-Convergence*, 2018, section 3; constants and shape are those of torch.optim.lr_scheduler.OneCycleLR, whose
    cycle of momentum is left out).
    """
    if schedule == "one-cycle":
        top = 0.3 * total - 1
        if step <= top:
            return half_wave(peak / 25, peak, step / top)
        return half_wave(peak, peak / 25e4, (step - top) / (total - 1 - top))
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "constant":
        return peak
    done = (step - warmup) / (total - warmup)
    return peak * (1 - done) if schedule == "linear" else half_wave(peak, 0.0, done)


def half_wave(start: float, end: float, fraction: float) -> float:
    """From `start` at fraction 0 to `end` at fraction 1, along half a cosine wave."""
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2


def learning_rate_after(progress: float, peak: float, schedule: AdaptationSchedule) -> float:
    """The learning rate after the share `progress` of the run, at first `peak`.

    annealed falls as 1 / (1 + 10 p)^0.75 (Ganin et al., *Domain-Adversarial Training of Neural Networks*, JMLR 2016,
    section 5.2.2), cosine to 0 along half a wave, fixmatch as cos(7 pi p / 16), to a fifth (Sohn et al., *FixMatch*,
    NeurIPS 2020, section 2.3).
    """
    match schedule:
        case "annealed":
            return peak / (1 + 10 * progress) ** 0.75
        case "cosine":
            return half_wave(peak, 0.0, progress)
        case "fixmatch":
            return peak * math.cos(7 * math.pi * progress / 16)
    return peak
