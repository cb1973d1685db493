"""Digits on request: ACGANs and diffusion models."""

from collections.abc import Iterator
from typing import Any

from experiments import runs
from experiments.results import SAMPLERS
from experiments.rows import DIGITS, SAMPLING, Row, scripts, variants
from models.generator import DEFAULT, Sampling
from models.samplers import Process
from runtime.settings import option

# The epochs of MNIST-M that a CPU does in one to three hours, of the reports' recipes, which are longer.
EPOCHS = {"acgan28": 10, "acgan64": 3, "context-unet": 14, "attention-unet": 9}
EQUAL = "--max-steps 1200"  # 153,600 images, over which the learning rate falls to 0
# Ours are sampled with strong guidance, the reports' as inference does by default: with 002's w = 1.
GUIDED = dict.fromkeys(("context-unet-64", "attention-unet-24"), Sampling("dpm++", steps=20, guidance=8))
# Of the ablation, 17 evaluations; discrete times are guided at the same ratios of noise to image.
OF_EDM = Sampling("dpm++", steps=12, guidance=5, guidance_parallel=0, clip=True)
AS_EDM = Sampling("dpm++", steps=10, guidance=5, guidance_interval=(0.24, 0.95), guidance_parallel=0, clip=True)
GUIDED |= dict.fromkeys(("edm-epsilon", "edm-v"), AS_EDM)


def rows() -> Iterator[Row]:
    """Every generator of digits, one training each; on one network what guidance and samplers do."""
    for recipe, script in scripts().items():
        made_by_itself = script in ("train_acgan.py", "train_ddpm.py") and recipe not in variants()
        if made_by_itself and runs.kind_of_recipe(recipe) == runs.DIGITS:
            yield generator(recipe, SAMPLING if recipe == "context-unet-64" else ())


def ablation_rows() -> Iterator[Row]:
    """`edm` at one number of images, whole and with one part changed."""
    for recipe in ("edm", *variants("edm")):
        yield Row(recipe, EQUAL, scores=scores_of(GUIDED.get(recipe, OF_EDM)))


def generator(recipe: str, scores: tuple[str, ...] = ()) -> Row:
    """A generator of digits at its own length, or at the one for CPUs; `scores` are commands besides the usual."""
    short = f"--epochs {EPOCHS[recipe]}" if recipe in EPOCHS else ""
    return Row(recipe, scores=scores_of(sampling_of(recipe), *scores), short=short)


def scores_of(sampling: Sampling, *others: str) -> tuple[str, ...]:
    """The commands that generate digits with this setting and score them, `others` in between."""
    make, score = DIGITS
    for setting, value in vars(sampling).items():
        if value != getattr(DEFAULT, setting):
            numbers = value if isinstance(value, tuple) else [value]
            make += " ".join(["", option(setting), *map(str, numbers)])
    return make, *others, score


def sampling_of(recipe: str) -> Sampling:
    """The setting with which the digits of a generator's row are generated, and so scored."""
    return GUIDED.get(recipe, DEFAULT)


def in_words(process: Process, sampling: Sampling) -> str:
    """A setting of sampling: sampler, steps and guidance scale, of a distilled network the steps alone."""
    steps = f"{len(process.times(sampling)) - 1} steps"
    if process.default_guidance == 1:  # distilled: guidance is built in
        return steps
    guidance = process.default_guidance if sampling.guidance is None else sampling.guidance
    return f"{SAMPLERS[sampling.sampler or process.default_sampler]}, {steps}, guidance {guidance:g}"


def of_sample_grids(settings: dict[str, Any]) -> str:
    """How a training script with these settings samples its grids, in brackets; nothing where it has no choice."""
    if "sample_steps" not in settings:
        return ""
    return f" ({SAMPLERS['dpm++']}, {settings['sample_steps']} steps, guidance {settings['guidance']:g})"
