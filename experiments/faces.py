"""Faces: every GAN of the reports at one number of images, ours at their own lengths, and the VAEs."""

from collections.abc import Iterator

from experiments import runs
from experiments.rows import FACES, IDENTITIES, RECONSTRUCTIONS, Row, scripts, variants

EPOCHS = 25  # of the 12,698 faces at hand: what two CPU cores do in less than an hour
EQUAL = "--epochs 8"  # about 100,000 images
OURS = ("dcgan-ema", "sagan-ema")  # recipes of a length that CPUs bear


def rows() -> Iterator[Row]:
    """All GANs, and the diffusion model, one seed each."""
    for recipe in scripts():
        if runs.kind_of_recipe(recipe) == runs.FACES and recipe not in variants():
            yield gan(recipe)


def ablation_rows() -> Iterator[Row]:
    """The relativistic recipes at one number of images, whole and with one part changed."""
    for recipe in ("projected", "projected-pixel", "r3gan", *variants("r3gan")):
        yield Row(recipe, EQUAL, scores=IDENTITIES)


def vae_rows() -> Iterator[Row]:
    """The VAEs, scored by their reconstructions and by their samples."""
    yield vae()
    for recipe in ("vae-ema", "vae-pca"):
        yield Row(recipe, scores=(*RECONSTRUCTIONS, *FACES))


def vae() -> Row:
    """The report's VAE at its own length, or at one for CPUs."""
    return Row("vae", scores=(*RECONSTRUCTIONS, *FACES), short=f"--epochs {EPOCHS}")


def gan(recipe: str) -> Row:
    """A generator of faces at its own length, or at the one of all on CPUs."""
    return Row(recipe, scores=FACES, short="" if recipe in OURS else f"--epochs {EPOCHS}")
