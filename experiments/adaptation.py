"""Adaptation of digit classifiers: all pairs of domains, with their two bounds, over three seeds."""

from collections.abc import Iterator
from itertools import permutations

from experiments.rows import ADAPTATION, VOTE, Row

DOMAINS = ("mnistm", "svhn", "usps")
SEEDS = (1, 2, 3)
# One set of settings for all rows, chosen by the sources' own validation accuracies.
SETTINGS = "--batch-size 64 --lr-schedule fixmatch --weight-decay 0.01 --ema-decay 0.998 --epochs 1000"
SETTINGS += " --checkpoint-every 1000 --sample-every 1000"
ADVERSARIAL = f"{SETTINGS} --lr 1e-3 --domain-weight 0.1"
SMALL = "--network dann32 --width 32"
AUGMENTED = {1000: ("off", "mixed"), 2000: ("mixed",)}  # by steps
VARIANTS = ("dann28", "dann28-kernel5", "dann28-strided", "dann28-wide")
# Parts of AdaMatch, and how each is left out.
PARTS = {
    "strong augmentation": "--augment weak",
    "balanced classes": "--no-balanced",
    "interpolation": "--no-interpolation",
    "alignment": "--no-alignment",
    "relative threshold": "--no-relative-threshold",
    "pseudo-labels": "--pseudo-weight 0",
    "ramp": "--pseudo-ramp 0",
    "EMA": "--ema-decay 0",
}


def rows() -> Iterator[Row]:
    """DANN, DANN with minimum class confusion and DSN, at two lengths, plain and with data augmentation."""
    for seed in SEEDS:
        for steps, augmentations in AUGMENTED.items():
            for augment in augmentations:
                options = f"--augment {augment} --max-steps {steps}"
                yield from bounds(f"{SMALL} {options}", seed, common=f"{SETTINGS} --lr 1e-3")
                for recipe in ("dann", "dann-mcc", "dsn"):
                    if (recipe, steps) != ("dsn", 2000) and (recipe, augment) != ("dann-mcc", "off"):
                        common = f"{ADVERSARIAL} --adversarial-start 0.3" if recipe == "dsn" else ADVERSARIAL
                        yield from pairs(recipe, f"{SMALL} {options}", seed, common=common)
        for augment in AUGMENTED[1000]:
            yield from ensemble("dann", f"--augment {augment} --max-steps 1000", seed, common=ADVERSARIAL)


def adamatch_rows() -> Iterator[Row]:
    """AdaMatch, and its bounds with the same augmentation, steps and settings."""
    for seed in SEEDS:
        options = f"{SMALL} --balanced --augment rough --max-steps 3000"
        yield from bounds(options, seed, common=f"{SETTINGS} --lr 1.5e-3")
        yield from pairs("adamatch", SMALL, seed)


def ablation_rows() -> Iterator[Row]:
    """AdaMatch in 1,000 steps, whole and without each of its parts."""
    for seed in SEEDS:
        for source in ("mnistm", "usps"):
            options = f"--source {source} --target svhn {SMALL} --max-steps 1000"
            yield Row("adamatch", options, scores=ADAPTATION, seed=seed)
            for part, switch in PARTS.items():
                yield Row("adamatch", f"{options} {switch}", scores=ADAPTATION, seed=seed, system=f"without {part}")


def bounds(options: str, seed: int, domains: tuple[str, ...] = DOMAINS, **about: str) -> Iterator[Row]:
    """Supervised runs, scored on all domains: source-only baselines, and upper bounds on their own domain."""
    for domain in domains:
        yield Row("supervised", f"--source {domain} {options}", scores=ADAPTATION, seed=seed, **about)


def pairs(recipe: str, options: str, seed: int, **about: str) -> Iterator[Row]:
    """An adaptation of all ordered pairs of domains."""
    for source, target in permutations(DOMAINS, 2):
        yield Row(recipe, f"--source {source} --target {target} {options}", scores=ADAPTATION, seed=seed, **about)


def ensemble(recipe: str, options: str, seed: int, **about: str) -> Iterator[Row]:
    """Report 001's four variants of a network, USPS → SVHN, and their vote."""
    domains = f"--source usps --target svhn {options}"
    voters = tuple(
        Row(recipe, f"{domains} --network {network}", scores=ADAPTATION, seed=seed, system=network, **about)
        for network in VARIANTS
    )
    yield from voters
    yield Row(recipe, domains, scores=VOTE, seed=seed, system="dann28 ensemble", voters=voters, **about)
