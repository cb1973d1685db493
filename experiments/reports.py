"""The five course reports: every system of each with its own settings, in every scenario that it shows."""

from collections.abc import Callable, Iterator

from experiments.adaptation import bounds, ensemble
from experiments.digits import generator
from experiments.faces import gan, vae
from experiments.rows import ADAPTATION, FACES, Row

SEED = 1


def report_000() -> Iterator[Row]:
    """DCGAN, ACGAN at 28x28, and DANN on its discriminator."""
    yield gan("dcgan")
    yield generator("acgan28")
    yield from adapted("dann-acgan", ("mnistm-usps", "svhn-mnistm", "usps-svhn"))


def report_001() -> Iterator[Row]:
    """DCGAN with two generator updates and with one, ACGAN at 64x64, DANN at 64x64 and at 28x28, there with a vote."""
    for recipe in ("dcgan-2g", "dcgan-1g", "dcgan-1g-plain"):
        yield gan(recipe)
    yield generator("acgan64")
    yield from adapted("dann64", ("mnistm-usps", "svhn-mnistm"))
    yield from adapted("dann28", ("usps-svhn",))
    yield adaptation("dann28-no-dropout", "usps-svhn")
    yield from ensemble(seed=SEED)


def report_002() -> Iterator[Row]:
    """DCGAN trained long, PixelShuffle, the context U-Net, DANN with an optimizer of its own for the domains."""
    yield gan("dcgan-long")
    yield gan("pixelshuffle")
    yield generator("context-unet")
    yield from adapted("dann32", ("mnistm-svhn", "mnistm-usps"))


def report_003() -> Iterator[Row]:
    """DCGAN trained briefly, the VAE, DANN with a fixed lambda, and DSN."""
    yield Row("dcgan-short", scores=FACES)
    yield vae()
    for scenario, full in (("usps-mnistm", 50), ("mnistm-svhn", 50), ("svhn-usps", 100)):
        yield from adapted("dann-cnn", (scenario,), full=f"--epochs {full}")
    yield adaptation("dann-cnn-wide", "mnistm-svhn")
    for scenario, full in (("usps-mnistm", 100), ("mnistm-svhn", 50), ("svhn-usps", 100)):
        yield adaptation("dsn-report", scenario, full=f"--epochs {full}")


def report_004() -> Iterator[Row]:
    """DCGAN and SAGAN, the attention U-Net, DANN on a LeNet."""
    yield gan("dcgan")
    yield gan("sagan")
    yield generator("attention-unet")
    yield from adapted("dann-lenet", ("mnistm-svhn", "mnistm-usps"))


def adapted(recipe: str, scenarios: tuple[str, ...], full: str = "") -> Iterator[Row]:
    """DANN of a report in its scenarios, and the two bounds of each on the same network."""
    domains = tuple(dict.fromkeys(domain for scenario in scenarios for domain in scenario.split("-")))
    for domain in domains:
        yield from bounds(f"supervised-{recipe}", domains=(domain,), short=short_of(domain), seed=SEED)
    for scenario in scenarios:
        yield adaptation(recipe, scenario, full)


def adaptation(recipe: str, scenario: str, full: str = "") -> Row:
    """An adaptation of a report in one scenario; on CPUs in a few epochs of the source."""
    source, target = scenario.split("-")
    options = f"--source {source} --target {target}"
    return Row(recipe, options, scores=ADAPTATION, full=full, short=short_of(source), seed=SEED)


def short_of(source: str) -> str:
    """Options for some 1,000 steps on any source: USPS and SVHN have an eighth and a seventh of MNIST-M's images."""
    return f"--epochs {3 if source == 'mnistm' else 20}"


REPORTS: dict[str, Callable[[], Iterator[Row]]] = {
    "000": report_000,
    "001": report_001,
    "002": report_002,
    "003": report_003,
    "004": report_004,
}


def reports_of(recipe: str) -> list[str]:
    """The reports that have a recipe, 000 to 004."""
    return [report for report, rows in REPORTS.items() if any(row.recipe == recipe for row in rows())]
