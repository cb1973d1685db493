"""What to do with a finished run: the commands that generate or classify, score and resume, ready to be copied."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from data.digits import DIGITS, SIZE, picture_folder
from training.config import TrainConfig

SCRIPTS = Path(__file__).parents[1] / "scripts"


def next_steps(config: TrainConfig, classes: Sequence[str] = DIGITS) -> str:
    """Commands, each after what it does, for the run of `config`; the course's classifier scores 28x28 digits alone."""
    run, name = config.folder, config.folder.name
    weights, out = run / "weights.safetensors", Path("outputs") / name
    module = ("python.sh", "-m")
    if config.kind == "adaptation":
        domain = config.target or config.source
        pictures = config.data / "digits" / domain / "data"
        if tuple(classes) != DIGITS:
            pictures = picture_folder(config.data, domain)
        table = out.with_name(f"{name}.csv")
        made = ("classify", *module, "inference.classify_digits", "--weights", weights)
        made += ("--images", pictures, "--csv", table)
        scored = (*module, "metrics.adaptation", run)
    elif config.kind == "digits":
        made = ("generate", "generate_digits.sh", out, "--weights", weights)
        scored = (*module, "metrics.digits", out, "--classifier", "Classifier.pth")
        scored += ("--reference", config.data / "digits" / config.domain)
        if tuple(classes) != DIGITS or getattr(config, "size", SIZE) not in (0, SIZE):
            scored = ()
    else:
        tree = config.data / "face" / "val"
        made = ("generate", "generate_faces.sh", out, "--weights", weights)
        scored = (*module, "metrics.faces", out, "--reference", tree if tree.is_dir() else config.data)
    longer = ("--max-steps", 2 * config.max_steps) if config.max_steps else ("--epochs", 2 * config.epochs)
    script = f"{Path(sys.argv[0]).stem}.sh"
    resumed = (script, config.recipe, "--runs", config.runs, "--name", name, "--resume", *longer)
    commands = {made[0]: made[1:], "score": scored, "train on": resumed}
    return "\n".join(f"  {what:<10}{_command(*words)}" for what, words in commands.items() if words)


def _command(script: str, *words: object) -> str:
    """A script of ours with its arguments, as it is called from the working folder."""
    return shlex.join(["bash", os.path.relpath(SCRIPTS / script), *map(str, words)])
