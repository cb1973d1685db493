"""From data to a report in one process: `tests/faults/elsewhere.py FOLDER`; prints each command and its status."""

import sys
from pathlib import Path

import torch
from commands import call
from recipes import small, write_data, write_pictures


def main(folder):
    torch.set_num_threads(1)
    data, runs = folder / "data", folder / "runs"
    write_data(data)
    write_pictures(folder / "pictures")
    weights, pictures = runs / "ein Lauf" / "weights.safetensors", folder / "pictures"
    adapted = runs / "übertragen" / "weights.safetensors"
    labels = ("--weights", adapted, "--images", pictures, "--csv", folder / "labels.csv")
    commands = [
        ("train_acgan", *small("train_acgan", "acgan28", data, runs, "ein Lauf"), "--precision", "auto"),
        ("train_dann", *small("train_dann", "dann-lenet", data, runs, "übertragen")),
        ("inference.generate_digits", "--weights", weights, "--out", folder / "out", "--per-class", 1),
        ("inference.classify_digits", *labels),
        ("metrics.digits", pictures, "--classifier", adapted, "--json", folder / "scores.json"),
        ("metrics.adaptation", runs / "übertragen", "--data", data),
        ("report.build", "--runs", runs, "--out", folder / "report"),
    ]
    for command, *words in commands:
        status, err = call(command, *words)
        lines = [line for line in err.splitlines() if line and "img/s" not in line]
        print(command, status, *lines, sep="|", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
