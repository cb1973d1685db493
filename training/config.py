"""The settings every training script shares, and how a command line becomes settings."""

import dataclasses
import json
import re
import sys
import typing
from collections import ChainMap
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from runtime.command_line import documentation, own_first
from runtime.device import Compile, Execution, Precision, choose_execution
from runtime.errors import UserError
from runtime.processes import from_first, join_processes, restarted
from runtime.settings import AT_LEAST_0, AT_LEAST_1, DECAY, OneOf, OnlyWith, Settings, option, type_notes
from training.schedules import Schedule


@dataclass
class TrainConfig(Schedule, Settings):
    """Settings shared by all training scripts; each script adds those of its method."""

    kind: typing.ClassVar[typing.Literal["faces", "vae", "digits", "adaptation"]]
    """What is trained: a generator of faces, a VAE of faces, a generator of digits, or a classifier of digits."""

    RENAMED: typing.ClassVar[dict[str, str]] = {"warmup": "warmup_steps"}
    """Today's names of settings that earlier versions had under others."""

    RETIRED: typing.ClassVar[dict[str, typing.Any]] = {}
    """Settings that earlier versions had, each with the value that left a run as it is made today."""

    recipe: tyro.conf.Suppress[str] = ""
    """Name of the recipe, the first word of the command line."""
    data: Path = Path("datasets/real")
    """The data tree (see scripts/prepare.sh), or any folder of images, of classes or of domains (docs/data.md)."""
    runs: Path = Path("runs")
    """Folder of run directories."""
    name: str = ""
    """Name of the run directory; the recipe's name (and scenario) if empty."""
    resume: bool = False
    """Resume the run of this name from its last checkpoint; its settings are the defaults."""

    epochs: Annotated[int, AT_LEAST_1] = 100
    """Passes over the training data."""
    max_steps: Annotated[int, AT_LEAST_0] = 0
    """Stop after this many steps if --epochs take more (0: no limit)."""
    batch_size: Annotated[int, AT_LEAST_1] = 128
    """Images per step, over all processes."""
    seed: int = 999
    """Seed of initial weights, data order, noise and samples."""
    ema_decay: Annotated[float, DECAY] = 0.999
    """Decay of the exponential moving average (EMA) of the weights, which is sampled and saved (0: none)."""

    skip_bad_updates: Annotated[int, AT_LEAST_0] = 0
    """Skip updates whose gradient is not finite, in at most this many consecutive steps, and log their number (0: such
    a gradient ends the run)."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: Precision = "auto"
    """bf16 (mixed), float32, tf32 (GPUs only), or auto: bf16 where the hardware computes in it."""
    deterministic: bool = False
    """Use deterministic algorithms, so that resuming is exact on a GPU too; slower."""
    channels_last: bool = True
    """Keep images and convolutions in the channels-last memory format."""
    compile: Compile = "off"
    """torch.compile the networks; cuda-graphs also records their kernels as CUDA graphs."""

    log_every: Annotated[int, AT_LEAST_1] = 50
    """Steps between lines of metrics.jsonl, which hold means over these steps."""
    checkpoint_every: Annotated[int, AT_LEAST_1] = 500
    """Steps between checkpoints and weights files."""
    checkpoint_seconds: Annotated[float, AT_LEAST_0] = 0.0
    """Skip scheduled checkpoints that are due fewer seconds than this after the last one (0: skip none)."""
    keep_every: Annotated[int, AT_LEAST_0] = 0
    """Steps between weights files kept under kept/ (0: none)."""

    @property
    def folder(self) -> Path:
        """The run directory."""
        return self.runs / (self.name or self.recipe)

    def execution(self) -> Execution:
        """Where and how the networks run; raises UserError for a device that is not there."""
        return choose_execution(self.device, self.precision, self.channels_last, self.compile, self.deterministic)

    def to_json(self) -> dict:
        """The settings as built-in types."""
        return {key: str(value) if isinstance(value, Path) else value for key, value in vars(self).items()}


@dataclass
class SampleGrids:
    """When a run's sample grids are due."""

    sample_every: Annotated[int, AT_LEAST_1] = 500
    """Steps between sample grids."""
    sample_epochs: Annotated[int, AT_LEAST_0] = 0
    """First epochs after each of which there is a sample grid too (0: none)."""

    def grid_is_due(self, step: int, steps_per_epoch: int) -> bool:
        """Whether a sample grid belongs after so many steps, besides that at the end."""
        epoch, rest = divmod(step, steps_per_epoch)
        return step % self.sample_every == 0 or (rest == 0 and epoch <= self.sample_epochs)


@dataclass
class GeneratorConfig(SampleGrids, TrainConfig):
    """Settings shared by the scripts whose network makes images."""

    size: Annotated[int, OneOf(numbers=(32, 64, 128))] = 64
    """Height and width of the images, 32, 64 (as reported) or 128; others are cropped to the central square and
    resized."""
    channels: Annotated[int, OneOf(numbers=(1, 3))] = 3
    """Channels of the images: 3 for RGB, 1 for gray."""
    estimate_batch_norm: bool = True
    """Re-estimate the batch-norm statistics of the EMA before use, instead of taking the training network's."""


Config = typing.TypeVar("Config", bound=TrainConfig)


# Titles of groups of options, and the settings in each; a script's own are the method's if no name here fits.
GROUPS = {
    "method": ".*",
    "optimizer": "epochs|max_steps|batch_size|[dg]_steps|(.*_)?lr|lr_.*|warmup_.*|halve_.*|(.*_)?optimizer|betas"
    "|momentum|weight_decay|max_gradient_norm|skip_.*|ema_.*",
    "data and augmentation": "data|domain|size|channels|source|target|target_ratio|balanced|flip|augment.*",
    "run": "runs|name|resume|seed|device|precision|deterministic|channels_last|compile"
    "|(log|sample|checkpoint|keep)_every|sample_epochs|checkpoint_seconds",
}


def varied(recipes: dict[str, tuple[str, Config]], variants: dict[str, tuple[str, dict]]) -> dict:
    """Recipes made of others: `variants` maps a name to the recipe that it changes, and the settings in which."""
    return {
        name: (f"{recipe} with {_in_words(settings)}.", dataclasses.replace(recipes[recipe][1], **settings))
        for name, (recipe, settings) in variants.items()
    }


def _in_words(settings: dict[str, typing.Any]) -> str:
    """Settings as a description names them: `g steps 3, bias off`."""
    words = {True: "on", False: "off"}
    return ", ".join(
        f"{name.replace('_', ' ')} {words[value] if isinstance(value, bool) else value}"
        for name, value in settings.items()
    )


def parse_command_line(recipes: dict[str, tuple[str, Config]], arguments: list[str] | None = None) -> Config:
    """The settings of the recipe named first, as changed by the options after it.

    `recipes` maps a name to (description, settings). With `--resume`, or when torchrun has started the processes again,
    the settings saved in the run directory take the recipe's place, so only what is to change (more epochs, say) need
    be given again.
    Raises UserError for settings that cannot work, and for options that do nothing beside the others.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    recipes = {
        name: (description, dataclasses.replace(config, recipe=name)) for name, (description, config) in recipes.items()
    }
    config = _parse(recipes, arguments)
    join_processes(config.device)
    begun = config.folder / "config.json"
    if config.resume or (restarted() and from_first(begun.exists)):
        recipes[config.recipe] = (recipes[config.recipe][0], from_first(lambda: _saved_settings(config)))
        config = dataclasses.replace(_parse(recipes, arguments), resume=True)
    config.check()
    given = {word.split("=")[0].lstrip("-").replace("-", "_") for word in arguments if word.startswith("--")}
    for name, notes in type_notes(type(config)).items():
        for note in notes:
            if given & {name, f"no_{name}"} and isinstance(note, OnlyWith) and not note.acts(config):
                raise UserError(f"{option(name)} acts only with {note}: leave it out")
    return config


def _parse(recipes: dict[str, tuple[str, Config]], arguments: list[str]) -> Config:
    named = {name: recipes[name] for name in arguments[:1] if name in recipes}  # others take time and are not asked for
    options = {name: (about, _grouped(config)) for name, (about, config) in (named or recipes).items()}
    chosen = tyro.extras.overridable_config_cli(options, args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    recipe, *groups = vars(chosen).values()
    return dataclasses.replace(recipes[recipe][1], **ChainMap(*map(vars, groups)))


def _grouped(config: TrainConfig) -> typing.Any:
    """The settings as tyro shows them: a dataclass of one dataclass a group, with the values of `config`."""
    hints = typing.get_type_hints(type(config), include_extras=True)
    documented = documentation(type(config))
    groups: dict[str, list] = {title: [] for title in GROUPS}
    for field in own_first(type(config)):
        if tyro.conf.Suppress in getattr(hints[field.name], "__metadata__", ()):
            continue
        title = [title for title, names in GROUPS.items() if re.fullmatch(names, field.name)][-1]
        kind = Annotated[hints[field.name], tyro.conf.arg(help=documented[field.name])]
        groups[title].append((field.name, kind, dataclasses.field(default=getattr(config, field.name))))
    members = [("recipe", tyro.conf.Suppress[str], dataclasses.field(default=config.recipe))]
    for title, fields in groups.items():
        kind = dataclasses.make_dataclass(title.replace(" ", "_"), fields, frozen=True, namespace={"__doc__": ""})
        members.append((kind.__name__, Annotated[kind, tyro.conf.arg(name=title)], kind()))
    return dataclasses.make_dataclass("Options", members)()


def _saved_settings(config: Config) -> Config:
    """The settings of the run that `config` names, as its config.json has them."""
    path = config.folder / "config.json"
    try:
        settings = dict(json.loads(path.read_text())["settings"])
        recipe = settings["recipe"]
    except FileNotFoundError as error:
        raise UserError(f"no run to resume at {config.folder}: leave out --resume, or give its --name") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}): start anew under another --name") from error
    if recipe != config.recipe:
        raise UserError(f"{config.folder} is a run of {recipe}: give another --name, or that recipe")
    settings = {config.RENAMED.get(name, name): value for name, value in settings.items()}
    if settings.get("halve_every_epochs") or settings.get("halve_every_steps"):
        settings["lr_schedule"] = "halved"  # halving was no schedule of its own once
    for name, value in config.RETIRED.items():
        if settings.get(name, value) != value:
            gone = f"{option(name)} {settings[name]}"
            raise UserError(f"{config.folder} was made with {gone}, which is gone: start anew under another --name")
    kinds = typing.get_type_hints(type(config))
    known = {key: Path(value) if kinds[key] is Path else value for key, value in settings.items() if key in kinds}
    for name, value in known.items():
        if not _fits(value, kinds[name]):
            raise UserError(f"{path} cannot be read ({name} is {value!r}): start anew under another --name")
    tuples = {key: tuple(value) for key, value in known.items() if isinstance(value, list)}
    # Settings younger than the run had their plain defaults there, not what the recipe has made of them since.
    return dataclasses.replace(type(config)(), **known | tuples)


def _fits(value: typing.Any, kind: typing.Any) -> bool:
    """Whether a value read from JSON can be of the type `kind`."""
    parts = typing.get_args(kind)
    match typing.get_origin(kind):
        case None:
            return isinstance(value, (int, float) if kind is float else kind)
        case typing.Literal:
            return value in parts
        case origin if origin is tuple:
            parts = parts[:1] * len(value) if parts[-1] is ... and isinstance(value, list) else parts
            return isinstance(value, list) and len(value) == len(parts) and all(map(_fits, value, parts))
    return any(_fits(value, part) for part in parts)  # a union
