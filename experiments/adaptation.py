"""Adaptation of digit classifiers: all pairs of domains, with their two bounds, over three seeds."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

from experiments.rows import ADAPTATION, MEAN, VOTE, Row, variants

DOMAINS = ("mnistm", "svhn", "usps")
SEEDS = (1, 2, 3)
AUGMENTED = {1000: ("off", "mixed"), 2000: ("mixed",)}  # by steps


def rows() -> Iterator[Row]:
    """DANN, DANN with minimum class confusion and DSN, at two lengths, plain and with data augmentation."""
    for seed in SEEDS:
        for steps, augmentations in AUGMENTED.items():
            for augment in augmentations:
                options = f"--augment {augment} --max-steps {steps}"
                yield from bounds("supervised-augmented", options, system="supervised", seed=seed)
                yield from pairs("dann-augmented", options, seed=seed)
                if augment != "off":
                    yield from pairs("dann-mcc", options, seed=seed)
                if steps == 1000:
                    yield from pairs("dsn-augmented", options, seed=seed)


def adamatch_rows() -> Iterator[Row]:
    """AdaMatch, with the EMA as teacher too, whose seeds also vote, and bounds with the same settings."""
    for seed in SEEDS:
        yield from bounds("supervised-adamatch", system="supervised", seed=seed)
        yield from pairs("adamatch", seed=seed)
        yield from pairs("adamatch-teacher", seed=seed)
    for row in pairs("adamatch-teacher", seed=SEEDS[0]):
        yield vote_of([replace(row, seed=seed) for seed in SEEDS], MEAN)


def ablation_rows() -> Iterator[Row]:
    """AdaMatch in 1,000 steps, without and with the EMA as teacher, each whole and with one part changed."""
    for seed in SEEDS:
        for source in ("mnistm", "usps"):
            options = f"--source {source} --target svhn --max-steps 1000"
            for whole in ("adamatch", "adamatch-teacher"):
                for recipe in (whole, *variants(whole)):
                    yield Row(recipe, options, scores=ADAPTATION, seed=seed)


def bounds(recipe: str, options: str = "", domains: tuple[str, ...] = DOMAINS, **about: Any) -> Iterator[Row]:
    """Supervised runs, scored on all domains: source-only baselines, and upper bounds on their own domain."""
    for domain in domains:
        yield Row(recipe, f"--source {domain} {options}".strip(), scores=ADAPTATION, **about)


def pairs(recipe: str, options: str = "", **about: Any) -> Iterator[Row]:
    """An adaptation of all ordered pairs of domains."""
    for source, target in permutations(DOMAINS, 2):
        yield Row(recipe, f"--source {source} --target {target} {options}".strip(), scores=ADAPTATION, **about)


def ensemble(**about: Any) -> Iterator[Row]:
    """Report 001's four variants of a network, USPS → SVHN, and their vote."""
    domains = "--source usps --target svhn"
    voters = [Row(recipe, domains, scores=ADAPTATION, **about) for recipe in ("dann28", *variants("dann28"))]
    yield from voters
    yield vote_of(voters)


def vote_of(voters: Sequence[Row], scores: tuple[str, ...] = VOTE) -> Row:
    """The vote of the runs of several rows, in the scenario of the first, whose name it bears."""
    return replace(voters[0], scores=scores, system=f"{voters[0].recipe} ensemble", voters=tuple(voters))
