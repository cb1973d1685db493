"""Faces: every GAN of the reports at one number of images, ours at their own lengths, and the VAEs."""

from collections.abc import Iterator

from experiments import runs
from experiments.rows import FACES, IDENTITIES, RECONSTRUCTIONS, Row, scripts

EPOCHS = 25  # of the 12,698 faces at hand: what two CPU cores do in less than an hour
EQUAL = "--epochs 8"  # about 100,000 images
# Parts of the relativistic recipes, and how each is changed or left out.
PARTS = {
    "features": ("projected", ""),
    "features and pixels": ("projected-pixel", ""),
    "pixels": ("r3gan", ""),
    "pixels, R1 alone": ("r3gan", "--r2 0"),
    "pixels, no penalty": ("r3gan", "--r1 0 --r2 0"),
    "pixels, cross-entropy": ("r3gan", "--loss bce"),
    "pixels, DCGAN's networks": (
        "dcgan",
        "--loss relativistic --r1 1 --r2 1 --augment --flip --latent-size 128 --batch-size 64 --betas 0 0.99"
        " --ema-decay 0.998 --ema-share 0.05 --estimate-batch-norm",
    ),
    "pixels, no augmentation": ("r3gan", "--no-augment"),
    "pixels, EMA of fixed length": ("r3gan", "--ema-share 0 --ema-decay 0.999"),
    "pixels, no EMA": ("r3gan", "--ema-decay 0"),
}
OURS = ("dcgan-ema", "sagan-ema")  # recipes of a length that CPUs bear


def rows() -> Iterator[Row]:
    """All GANs, and the diffusion model, one seed each."""
    for recipe in scripts():
        if runs.kind_of_recipe(recipe) == runs.FACES:
            yield gan(recipe)


def ablation_rows() -> Iterator[Row]:
    """The relativistic recipes at one number of images, whole and with one part changed."""
    for system, (recipe, options) in PARTS.items():
        yield Row(recipe, f"{options} {EQUAL}".strip(), scores=IDENTITIES, system=system)


def vae_rows() -> Iterator[Row]:
    """The VAEs, scored by their reconstructions and by their samples."""
    yield vae()
    yield Row("vae-ema", scores=(*RECONSTRUCTIONS, *FACES))
    yield Row("vae-pca", scores=(*RECONSTRUCTIONS, *FACES))


def vae() -> Row:
    """The report's VAE at its own length, or at one for CPUs."""
    return Row("vae", scores=(*RECONSTRUCTIONS, *FACES), short=f"--epochs {EPOCHS}")


def gan(recipe: str) -> Row:
    """A generator of faces at its own length, or at the one of all on CPUs."""
    return Row(recipe, scores=FACES, short="" if recipe in OURS else f"--epochs {EPOCHS}")
