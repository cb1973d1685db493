"""What the reports say they saw: each claim as two systems and the score in which they should differ."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from experiments.rows import ADAPTATION, DIGITS, FACES, RECONSTRUCTIONS, Row, variants

SEEDS = (1, 2)
USPS_SVHN, MNISTM_SVHN = "--source usps --target svhn", "--source mnistm --target svhn"
VAE = (*RECONSTRUCTIONS, *FACES)

# The systems that claims speak of: recipe, scenario and length, and the commands that score it.
SYSTEMS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    # 100,000 of our faces; batches of 256 take as many steps.
    **{name: (name, "--epochs 8", FACES) for name in ("dcgan-2g", *variants("dcgan-2g"), "dcgan", "sagan")},
    **{name: (name, "--epochs 16", FACES) for name in ("pixelshuffle", *variants("pixelshuffle"))},
    **{f"dcgan-short, {epochs} epochs": ("dcgan-short", f"--epochs {epochs}", FACES) for epochs in (5, 10)},
    **{f"vae, {epochs} epochs": ("vae", f"--epochs {epochs}", VAE) for epochs in (5, 15)},
    **{name: (name, "--epochs 8", DIGITS) for name in ("acgan28", *variants("acgan28"))},
    **{f"acgan64, {epochs} epochs": ("acgan64", f"--epochs {epochs}", DIGITS) for epochs in (3, 15)},
    **{name: (name, "--epochs 3", DIGITS) for name in variants("context-unet")},
    "context-unet-w32, 9 epochs": ("context-unet-w32", "--epochs 9", DIGITS),
    "dann28": ("dann28", f"{USPS_SVHN} --epochs 20", ADAPTATION),
    "dann28-no-dropout": ("dann28-no-dropout", f"{USPS_SVHN} --epochs 20", ADAPTATION),
    "dann64": ("dann64", f"{USPS_SVHN} --epochs 5", ADAPTATION),
    **{name: (name, f"{MNISTM_SVHN} --epochs 3", ADAPTATION) for name in ("dann-cnn", "dann-cnn-wide")},
    **{name: (name, f"{MNISTM_SVHN} --epochs 2", ADAPTATION) for name in ("dsn-report", *variants("dsn-report"))},
}


class Claim(NamedTuple):
    """A system that should score better than another."""

    report: str
    text: str
    better: str
    worse: str
    score: str
    alike: bool = False
    """The report saw no difference."""


CLAIMS = (
    Claim("001", "DCGAN needs its initial weights and stem", "dcgan-1g", "dcgan-1g-plain", "FID-768"),
    Claim("001", "two updates of G for one of D help", "dcgan-2g", "dcgan-1g", "FID-768"),
    Claim("001", "three updates of G break D", "dcgan-2g", "dcgan-3g", "FID-768"),
    Claim("001", "ReLU in G beats LeakyReLU in both", "dcgan-2g", "dcgan-2g-leaky", "FID-768"),
    Claim("001", "Adam for G with SGD for D fails", "dcgan-2g", "dcgan-2g-sgd", "FID-768"),
    Claim("001", "mirrored images change little", "dcgan-2g-flip", "dcgan-2g", "FID-768", alike=True),
    Claim("001", "a scalar label does not work", "acgan28", "acgan28-scalar", "accuracy"),
    Claim("001", "ACGAN at 64x64 collapses near epoch 15", "acgan64, 3 epochs", "acgan64, 15 epochs", "accuracy"),
    Claim("001", "USPS → SVHN: a small network beats a large one", "dann28", "dann64", "svhn test"),
    Claim("001", "USPS → SVHN: dropout helps", "dann28", "dann28-no-dropout", "svhn test"),
    Claim("002", "PixelShuffle needs SN and SGD", "pixelshuffle", "pixelshuffle-adam", "FID-768"),
    Claim("002", "T = 1000 beats T = 500", "context-unet-w32-t1000", "context-unet-w32", "FID-768"),
    Claim("002", "a larger U-Net is better", "context-unet-w64", "context-unet-w32", "FID-768"),
    Claim("002", "longer training is better", "context-unet-w32, 9 epochs", "context-unet-w32", "FID-768"),
    Claim("002", "a larger w gives cleaner digits", "guidance 8", "guidance 2", "accuracy"),
    Claim("002", "and less varied ones", "guidance 2", "guidance 8", "spread"),
    Claim("003", "VAE: reconstructions get better in training", "vae, 15 epochs", "vae, 5 epochs", "MSE"),
    Claim("003", "while samples get worse", "vae, 5 epochs", "vae, 15 epochs", "FID-768"),
    Claim(
        "003",
        "DCGAN: 5 and 10 epochs look alike",
        "dcgan-short, 10 epochs",
        "dcgan-short, 5 epochs",
        "FID-768",
        alike=True,
    ),
    Claim("003", "MNIST-M → SVHN: more features are better", "dann-cnn-wide", "dann-cnn", "svhn test"),
    Claim("003", "DSN does not train above lr 0.01", "dsn-report", "dsn-report-fast", "svhn test"),
    Claim("004", "SAGAN beats DCGAN", "sagan", "dcgan", "FID-768"),
)


def rows() -> Iterator[Row]:
    """Every system, two seeds each; what guidance does is measured by the digits' experiment."""
    for seed in SEEDS:
        for system, (recipe, options, scores) in SYSTEMS.items():
            yield Row(recipe, options, scores=scores, seed=seed, system=system)


def verdict(difference: float, spread: float, alike: bool) -> str:
    """Whether the one system is better than the other by more than both spreads together, as a claim has it.

    `difference` is positive where the better one is better; `spread` is NaN where a system has one run alone.
    """
    if math.isnan(spread):
        return "one run each"
    if abs(difference) <= spread:
        return "seen" if alike else "within the spread"
    return "seen" if difference > 0 and not alike else "not seen"
