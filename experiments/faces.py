"""Faces: every GAN at one number of images, and the VAE."""

from collections.abc import Iterator

from experiments.rows import FACES, RECONSTRUCTIONS, Row, scripts

EPOCHS = 25  # of the 12,698 faces at hand: what two CPU cores do in less than an hour


def rows() -> Iterator[Row]:
    """All GANs, one seed each."""
    for recipe, script in scripts().items():
        if script == "train_dcgan.py":
            yield gan(recipe)


def vae_rows() -> Iterator[Row]:
    """The VAE, scored by its reconstructions and by its samples."""
    yield Row("vae", scores=(*RECONSTRUCTIONS, *FACES), short="--epochs 16", report="003")


def gan(recipe: str, report: str = "") -> Row:
    """A GAN at its own length, or at the one of all on CPUs."""
    short = "" if recipe == "dcgan-short" and report else f"--epochs {EPOCHS}"
    return Row(recipe, scores=FACES, short=short, report=report)
