"""What to do with a finished run: the commands that generate or classify, score and resume, ready to be copied."""

import os
import shlex
import sys
from pathlib import Path

from training.config import TrainConfig

SCRIPTS = Path(__file__).parents[1] / "scripts"


def next_steps(config: TrainConfig) -> str:
    """Three commands, each after what it does, for the run of `config`."""
    run, name = config.folder, config.folder.name
    weights, out = run / "weights.safetensors", Path("outputs") / name
    module = ("python.sh", "-m")
    if config.kind == "adaptation":
        pictures = config.data / "digits" / (config.target or config.source) / "data"
        table = out.with_name(f"{name}.csv")
        made = ("classify", *module, "inference.classify_digits", "--weights", weights)
        made += ("--images", pictures, "--csv", table)
        scored = (*module, "metrics.adaptation", run)
    elif config.kind == "digits":
        made = ("generate", "generate_digits.sh", out, "--weights", weights)
        scored = (*module, "metrics.digits", out, "--classifier", "Classifier.pth")
        scored += ("--reference", config.data / "digits" / config.domain)
    else:
        tree = config.data / "face" / "val"
        made = ("generate", "generate_faces.sh", out, "--weights", weights)
        scored = (*module, "metrics.faces", out, "--reference", tree if tree.is_dir() else config.data)
    longer = ("--max-steps", 2 * config.max_steps) if config.max_steps else ("--epochs", 2 * config.epochs)
    resumed = (
        f"{Path(sys.argv[0]).stem}.sh",
        config.recipe,
        "--runs",
        config.runs,
        "--name",
        name,
        "--resume",
        *longer,
    )
    commands = {made[0]: made[1:], "score": scored, "train on": resumed}
    return "\n".join(f"  {what:<10}{_command(*words)}" for what, words in commands.items())


def _command(script: str, *words: object) -> str:
    """A script of ours with its arguments, as it is called from the working folder."""
    return shlex.join(["bash", os.path.relpath(SCRIPTS / script), *map(str, words)])
