"""Run directories written by hand, of every kind that the report knows."""

import json
import shutil

import numpy as np
import torch

from metrics import tsne
from models import NETWORKS
from models.weights import save_weights
from runtime.images import image_grid, save_png
from training.provenance import printout

FACES = {"steps_per_epoch": 5, "network": "dcgan-generator", "arguments": {"latent_size": 4, "width": 1}}
DIGITS = {"steps_per_epoch": 5, "network": "acgan28-generator", "arguments": {"latent_size": 4, "width": 1}}
UNET = {"steps_per_epoch": 5, "network": "context-unet", "arguments": {"width": 8, "steps": 10}}
VAE = {"steps_per_epoch": 5, "network": "vae", "arguments": {"latent_size": 8, "width": 1}}
DSN = {"steps_per_epoch": 5, "network": "dsn-classifier", "arguments": {"network": "dann-lenet", "width": 4}}


def write_run(folder, recipe, settings, network, arguments, lines, grids=(), steps_per_epoch=5):
    """A run directory of ten steps; `grids` are (columns, size) of its two sample grids."""
    folder.mkdir(parents=True)
    config = {"recipe": recipe, "seed": 1, "total_steps": 10, "steps_per_epoch": steps_per_epoch}
    config |= {"settings": {"seed": 1, "batch_size": 8, **settings}, "commands": [f"python train.py {recipe}"]}
    (folder / "config.json").write_text(json.dumps(config))
    log = [{"step": step, "epoch": step / 5, "seconds": float(step), **values} for step, values in lines]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    torch.manual_seed(0)
    layers = NETWORKS[network](**arguments)
    (folder / "networks.txt").write_text(printout({"network": layers}))
    save_weights(folder / "weights.safetensors", layers, network, arguments, {})
    random = np.random.default_rng(0)
    for step in (5, 10) if grids else ():
        columns, size = grids
        pictures = random.integers(0, 256, (columns**2, size, size, 3), np.uint8)
        save_png(folder / "samples" / f"{step:07d}.png", image_grid(pictures, columns))
    return folder


def write_scores(folder, method, source, target, accuracy):
    content = {"recipe": method, "method": method, "network": "dann-lenet", "width": 4, "source": source}
    content |= {"target": target, "augment": "off", "seed": 1, "steps": 5}
    content |= {"scores": {"b": {"val": accuracy, "test": accuracy}}}
    content |= {"confusion": {domain: {"split": "test", "matrix": np.eye(10).tolist()} for domain in "ab"}}
    (folder / "scores.json").write_text(json.dumps(content))


def write_runs(root, faces, digits, adapted):
    """A run of each kind under `root`, and copies of the run directories `adapted` in a folder of their own."""
    losses = [(step, {"d_loss": 1 / step, "g_loss": step / 5}) for step in range(1, 11)]
    settings = {"networks": "dcgan", "width": 1, "bias": False, "data": str(faces)}
    folder = write_run(root / "dcgan", "dcgan", settings, lines=losses, grids=(8, 64), **FACES)
    point = {"step": 10, "epochs": 2.0, "dims": 768, "fid": 0.5, "kid": None, "hog_face_rate": 0.25}
    (folder / "curve.json").write_text(json.dumps([point | {"step": 5, "epochs": 1.0, "fid": 0.75}, point]))

    losses = [(step, {"mse": 1 / step, "kl": step / 5}) for step in range(1, 11)]
    losses += [(10, {"val_mse": 0.0123})]
    vae = write_run(root / "vae", "vae", {"data": str(faces)}, lines=losses, grids=(8, 64), **VAE)
    random = np.random.default_rng(0)
    np.savez(
        vae / "latents.npz",
        names=np.array([f"{number}.png" for number in range(60)]),
        latents=random.standard_normal((60, 8)).astype(np.float16),
        deviations=np.linspace(0.1, 1, 8, dtype=np.float32),
        attribute_names=np.array(["Smiling", "Hat"]),
        attributes=random.integers(-1, 2, (60, 2)).astype(np.int8),
    )

    settings = {"networks": "acgan28", "width": 1, "domain": "a", "data": str(digits)}
    losses = [(step, {"d_loss": 1.0, "g_loss": 1.0, "real_accuracy": step / 10}) for step in range(1, 11)]
    folder = write_run(root / "acgan28", "acgan28", settings, lines=losses, grids=(10, 28), **DIGITS)
    score = {"pictures": 10, "missing": 0, "accuracy": 0.625, "by_class": [1.0] * 10}
    (folder / "scores.json").write_text(json.dumps(score))

    losses = [(step, {"loss": 1 / step, "lr": 0.1}) for step in range(1, 11)]
    unet = write_run(root / "context-unet", "context-unet", settings, lines=losses, **UNET)
    scores = {"accuracy": 0.5, "spread": 0.1, "fid": 1.0, "recall": 0.2, "seconds_per_1000": 3.0}
    row = {"sampler": "dpm++", "steps": 5, "guidance": 2.0, "per_class": 1, "seed": 1} | scores
    rows = [row | {"guidance": scale} for scale in (1.0, 2.0, 10.0)]
    rows += [row | {"per_class": 2, "seed": seed, "accuracy": 0.4 + seed / 10} for seed in (1, 2)]
    rows += [row | {"per_class": 2, "sampler": "ddim"}]
    (unet / "sampling.json").write_text(json.dumps({"dims": 64, "real_spread": 0.2, "rows": rows}))

    for source, name in zip(adapted, ("supervised1", "dann1", "dann2"), strict=True):
        shutil.copytree(source, root / "sweep" / name)
    tsne.main(tsne.Config((vae, root / "sweep" / "dann1"), device="cpu"))
    write_scores(root / "sweep" / "supervised1", "supervised", "a", "", 0.25)
    write_scores(root / "sweep" / "dann1", "dann", "a", "b", 0.5)
    settings = {"method": "dsn", "network": "dann-lenet", "width": 4, "source": "a", "target": "b", "data": str(digits)}
    losses = [(step, {"class_loss": 1.0, "domain_loss": 1.0, "mask_rate": 0.5}) for step in range(1, 11)]
    write_run(root / "sweep" / "dsn", "dsn", settings, lines=losses, grids=(8, 32), **DSN)
