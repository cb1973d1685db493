"""What the reports say they saw: each claim as two systems and the score in which they should differ."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from experiments.rows import ADAPTATION, DIGITS, FACES, RECONSTRUCTIONS, Row

SEEDS = (1, 2)
STEPS_OF_FACES = "--epochs 8"  # 100,000 of our faces
USPS_SVHN, MNISTM_SVHN = "--source usps --target svhn", "--source mnistm --target svhn"
ONE_UPDATE = "--g-steps 1"

# The systems that claims speak of: recipe, options, and the commands that score it.
SYSTEMS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "two updates of G": ("dcgan-2g", STEPS_OF_FACES, FACES),
    "one update of G": ("dcgan-2g", f"{ONE_UPDATE} {STEPS_OF_FACES}", FACES),
    "three updates of G": ("dcgan-2g", f"--g-steps 3 {STEPS_OF_FACES}", FACES),
    "linear stem, default init": ("dcgan-2g", f"{ONE_UPDATE} --linear-stem --no-dcgan-init {STEPS_OF_FACES}", FACES),
    "LeakyReLU in G too": ("dcgan-2g", f"--leaky-generator {STEPS_OF_FACES}", FACES),
    "SGD for D": ("dcgan-2g", f"--d-optimizer sgd {STEPS_OF_FACES}", FACES),
    "mirrored images": ("dcgan-2g", f"--flip {STEPS_OF_FACES}", FACES),
    "pixelshuffle": ("pixelshuffle", "--epochs 16", FACES),  # of 256 images: as many steps
    "pixelshuffle without SN and SGD": (
        "pixelshuffle",
        "--no-spectral-norm --d-optimizer adam --d-lr 1e-4 --epochs 16",
        FACES,
    ),
    "dcgan": ("dcgan", STEPS_OF_FACES, FACES),
    "sagan": ("sagan", STEPS_OF_FACES, FACES),
    "dcgan, 5 epochs": ("dcgan-short", "--epochs 5", FACES),
    "dcgan, 10 epochs": ("dcgan-short", "", FACES),
    "vae, 5 epochs": ("vae", "--epochs 5", (*RECONSTRUCTIONS, *FACES)),
    "vae, 15 epochs": ("vae", "--epochs 15", (*RECONSTRUCTIONS, *FACES)),
    "acgan28": ("acgan28", "--epochs 8", DIGITS),
    "acgan28, scalar label": ("acgan28", "--scalar-label --epochs 8", DIGITS),
    "acgan64, 3 epochs": ("acgan64", "--epochs 3", DIGITS),
    "acgan64, 15 epochs": ("acgan64", "--epochs 15", DIGITS),
    "context U-Net": ("context-unet", "--width 32 --epochs 3", DIGITS),
    "context U-Net, T = 1000": ("context-unet", "--width 32 --epochs 3 --diffusion-steps 1000", DIGITS),
    "context U-Net, twice as wide": ("context-unet", "--width 64 --epochs 3", DIGITS),
    "context U-Net, thrice as long": ("context-unet", "--width 32 --epochs 9", DIGITS),
    "dann28": ("dann28", f"{USPS_SVHN} --epochs 20", ADAPTATION),
    "dann28 without dropout": ("dann28-no-dropout", f"{USPS_SVHN} --epochs 20", ADAPTATION),
    "dann64 (larger)": ("dann64", f"{USPS_SVHN} --epochs 5", ADAPTATION),
    "dann-cnn, 512": ("dann-cnn", f"{MNISTM_SVHN} --epochs 3", ADAPTATION),
    "dann-cnn, 2048": ("dann-cnn-wide", f"{MNISTM_SVHN} --epochs 3", ADAPTATION),
    "dsn-report": ("dsn-report", f"{MNISTM_SVHN} --epochs 2", ADAPTATION),
    "dsn-report at lr 0.03": ("dsn-report", f"{MNISTM_SVHN} --lr 0.03 --epochs 2", ADAPTATION),
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
    Claim("001", "DCGAN needs its initial weights and stem", "one update of G", "linear stem, default init", "FID-768"),
    Claim("001", "two updates of G for one of D help", "two updates of G", "one update of G", "FID-768"),
    Claim("001", "three updates of G break D", "two updates of G", "three updates of G", "FID-768"),
    Claim("001", "ReLU in G beats LeakyReLU in both", "two updates of G", "LeakyReLU in G too", "FID-768"),
    Claim("001", "Adam for G with SGD for D fails", "two updates of G", "SGD for D", "FID-768"),
    Claim("001", "mirrored images change little", "mirrored images", "two updates of G", "FID-768", alike=True),
    Claim("001", "a scalar label does not work", "acgan28", "acgan28, scalar label", "accuracy"),
    Claim("001", "ACGAN at 64x64 collapses near epoch 15", "acgan64, 3 epochs", "acgan64, 15 epochs", "accuracy"),
    Claim("001", "USPS → SVHN: a small network beats a large one", "dann28", "dann64 (larger)", "svhn test"),
    Claim("001", "USPS → SVHN: dropout helps", "dann28", "dann28 without dropout", "svhn test"),
    Claim("002", "PixelShuffle needs SN and SGD", "pixelshuffle", "pixelshuffle without SN and SGD", "FID-768"),
    Claim("002", "T = 1000 beats T = 500", "context U-Net, T = 1000", "context U-Net", "FID-768"),
    Claim("002", "a larger U-Net is better", "context U-Net, twice as wide", "context U-Net", "FID-768"),
    Claim("002", "longer training is better", "context U-Net, thrice as long", "context U-Net", "FID-768"),
    Claim("002", "a larger w gives cleaner digits", "guidance 8", "guidance 2", "accuracy"),
    Claim("002", "and less varied ones", "guidance 2", "guidance 8", "spread"),
    Claim("003", "VAE: reconstructions get better in training", "vae, 15 epochs", "vae, 5 epochs", "MSE"),
    Claim("003", "while samples get worse", "vae, 5 epochs", "vae, 15 epochs", "FID-768"),
    Claim("003", "DCGAN: 5 and 10 epochs look alike", "dcgan, 10 epochs", "dcgan, 5 epochs", "FID-768", alike=True),
    Claim("003", "MNIST-M → SVHN: more features are better", "dann-cnn, 2048", "dann-cnn, 512", "svhn test"),
    Claim("003", "DSN does not train above lr 0.01", "dsn-report", "dsn-report at lr 0.03", "svhn test"),
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
