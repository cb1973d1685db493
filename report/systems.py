"""The systems that the five course reports describe, under the names of their recipes, with what was reported."""

from dataclasses import dataclass

from report.runs import Run

FACES, VAES, DIGITS, ADAPTATION, OTHER = "faces", "vae", "digits", "adaptation", "other"


@dataclass(frozen=True)
class System:
    """A recipe of a training script."""

    recipe: str
    kind: str
    script: str
    """The script under scripts/ that trains it."""
    reported: tuple[tuple[str, dict[str, str]], ...] = ()
    """Of each report that has it: the report's name, and its scores by the name of their column."""


SYSTEMS = (
    System("dcgan", FACES, "train_dcgan", (("000", {"FID-2048": "27", "Inception score": "2.06"}),)),
    System("dcgan-2g", FACES, "train_dcgan", (("001", {"FID-2048": "25.38", "Inception score": "2.03"}),)),
    System("dcgan-long", FACES, "train_dcgan", (("002-A", {"FID-2048": "23.72", "HOG face rate": "91.3 %"}),)),
    System("dcgan-short", FACES, "train_dcgan"),
    System("pixelshuffle", FACES, "train_dcgan", (("002-B", {"FID-2048": "35.30", "HOG face rate": "94.6 %"}),)),
    System("sagan", FACES, "train_dcgan"),
    System("r3gan", FACES, "train_dcgan"),
    System("projected", FACES, "train_dcgan"),
    System("projected-pixel", FACES, "train_dcgan"),
    System("vae", VAES, "train_vae", (("003-1", {"reconstruction MSE": "0.0027 to 0.0038"}),)),
    System("acgan28", DIGITS, "train_acgan", (("000", {"accuracy": "90 %"}),)),
    System("acgan64", DIGITS, "train_acgan", (("001", {"accuracy": "88.1 %"}),)),
    System("context-unet", DIGITS, "train_ddpm", (("002", {"accuracy": "99.6 %"}),)),
    System("attention-unet", DIGITS, "train_ddpm"),
    System("edm", DIGITS, "train_ddpm"),
    System("supervised", ADAPTATION, "train_dann"),
    System("dann", ADAPTATION, "train_dann"),
    System("dann-mcc", ADAPTATION, "train_dann"),
    System("dann-alternating", ADAPTATION, "train_dann"),
    System("dann-fixed-alpha", ADAPTATION, "train_dann"),
    System("dsn", ADAPTATION, "train_dsn"),
    System("dsn-report", ADAPTATION, "train_dsn"),
    System("adamatch", ADAPTATION, "train_adamatch"),
)


def kind_of(run: Run) -> str:
    """Which problem a run is about; a recipe of a later version is known by its settings where it can be."""
    for system in SYSTEMS:
        if system.recipe == run.recipe:
            return system.kind
    return ADAPTATION if "method" in run.settings else OTHER


def of_kind(runs: list[Run], *kinds: str) -> list[Run]:
    """The runs that are about one of these problems."""
    return [run for run in runs if kind_of(run) in kinds]


def without_run(runs: list[Run], *kinds: str) -> list[System]:
    """The systems of these problems that none of the runs trained."""
    trained = {run.recipe for run in runs}
    return [system for system in SYSTEMS if system.kind in kinds and system.recipe not in trained]


def training_command(system: System, source: str = "mnistm", target: str = "usps") -> str:
    """The command that trains `system`."""
    domains = {
        "supervised": f" --source {source}",
        ADAPTATION: f" --source {source} --target {target}",
    }
    return f"bash scripts/{system.script}.sh {system.recipe}" + domains.get(system.recipe, domains.get(system.kind, ""))


def discriminator_of(run: Run) -> tuple[str, dict] | None:
    """Name in models.NETWORKS and arguments of what was trained beside the network that a run's weights hold.

    That is a GAN's discriminator of pixels, or the whole network whose classifier was kept; None if there is no other.
    """
    settings = run.settings
    if settings.get("discriminator") == "features":
        return None
    width = {"width": settings.get("width", 0)}
    match settings.get("networks") or settings.get("method"):
        case "dcgan":
            return "dcgan-discriminator", width | {"bias": settings["bias"]}
        case "pixelshuffle":
            return "dcgan-discriminator", width | {"spectral_norm": True}
        case "sagan" | "acgan28" | "acgan64" as networks:
            return f"{networks}-discriminator", width
        case "fastgan":
            return "r3gan-discriminator", width
        case "dsn":
            return "dsn", width | {"network": settings["network"]}
        case "dann":
            return settings["network"], width
    return None
