"""What a finished run says is to be done with it: commands that are accepted as they stand."""

import json
import shlex
import sys
from pathlib import Path

import pytest

import train_acgan
import train_adamatch
import train_dann
import train_dcgan
import train_ddpm
import train_vae
from inference import classify_digits, generate_digits, generate_faces
from metrics import adaptation, digits, faces
from runtime.command_line import from_command_line
from training.config import parse_command_line
from training.next_steps import next_steps

DOMAINS = ("--source", "mnistm", "--target", "my digits")
KINDS = [
    (train_dcgan, ("sagan-ema",), generate_faces, faces),
    (train_vae, ("vae",), generate_faces, faces),
    (train_ddpm, ("edm-faces",), generate_faces, faces),
    (train_ddpm, ("edm", "--max-steps", "70"), generate_digits, digits),
    (train_acgan, ("acgan28",), generate_digits, digits),
    (train_dann, ("dann", *DOMAINS), classify_digits, adaptation),
    (train_dann, ("supervised", *DOMAINS[:2]), classify_digits, adaptation),
    (train_adamatch, ("adamatch", *DOMAINS), classify_digits, adaptation),
]


@pytest.mark.parametrize(("script", "words", "maker", "scorer"), KINDS, ids=lambda kind: str(kind)[:30])
def test_commands_are_accepted(script, words, maker, scorer, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [f"{root}/{script.__name__}.py"])
    config = parse_command_line(script.RECIPES, [*words, "--runs", "my runs"])
    made, scored, on = (line.strip().split(" bash ") for line in next_steps(config).splitlines())
    assert [line[0].strip() for line in (made, scored, on)][1:] == ["score", "train on"]

    out = f"outputs/{config.folder.name}"
    for command, module in ((made[1], maker), (scored[1], scorer)):
        script_path, *arguments = shlex.split(command)
        assert Path(script_path).samefile(root / "scripts" / Path(script_path).name)
        if script_path.endswith("python.sh"):
            assert arguments[:2] == ["-m", module.__name__]
            arguments = arguments[2:]
        else:
            assert Path(script_path).stem == module.__name__.removeprefix("inference.")
            arguments = ["--out", *arguments]
        from_command_line(module.Config, arguments)
        assert any(word.startswith((out, f"{config.folder}")) for word in arguments)

    script_path, *arguments = shlex.split(on[1])
    assert Path(script_path).samefile(root / "scripts" / f"{script.__name__}.sh")
    assert arguments[0] == words[0] and "--resume" in arguments
    assert ("--max-steps" in arguments) == bool(config.max_steps)
    (tmp_path / config.folder).mkdir(parents=True)
    (tmp_path / config.folder / "config.json").write_text(config_json(config))
    resumed = parse_command_line(script.RECIPES, arguments)
    assert resumed.folder == config.folder and resumed.data == config.data
    longer = (config.epochs, 2 * config.max_steps) if config.max_steps else (2 * config.epochs, 0)
    assert (resumed.epochs, resumed.max_steps) == longer


def config_json(config):
    """What a run's config.json says of its settings."""
    return json.dumps({"settings": config.to_json()})
