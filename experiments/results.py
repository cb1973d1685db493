"""What runs reached: records of experiments/results/ or of run directories, summarised over their seeds."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from metrics.passport import DEPENDS_ON, basis
from runtime.errors import UserError
from runtime.files import write_atomically
from training.directory import LOCAL_SETTINGS, Run

RESULTS = Path(__file__).parent / "results"
NOT_COMPARED = LOCAL_SETTINGS | {"recipe", "seed", "scores", "confusion", "passport"}
NAMES = {"hog_face_rate": "HOG face rate", "inception_score": "IS", "accuracy": "accuracy", "mse": "MSE"}
OF_FEATURES = {"fid": "FID", "kid": "KID", "frechet_distance": "Fréchet", "precision": "precision", "recall": "recall"}
SETTINGS = ["sampler", "steps", "guidance", "per_class"]  # of a row of sampling.json
SAMPLERS = {"ddpm": "DDPM", "ddim": "DDIM", "heun": "Heun", "dpm++": "DPM-Solver++"}
Record = dict[str, Any]
# `system`, `seed` (of several runs that were averaged before: all of them, and `runs`, their count), `settings`,
# `epochs`, `scores` by name, `spread` (standard deviations, of averaged runs alone), `seconds` of training, `hardware`,
# `commit`, `command`; `measured` (what scores depend on, by name, where it was told); `recipe` where `system` is
# another name; `note` where something is to be said of it.


def record_of(run: Run) -> Record | None:
    """What a run reached, or several that voted; None where nothing was scored."""
    scores: dict[str, float] = {}
    measured: dict[str, str | None] = {}
    for name in ("curve.json", "scores.json", "identities.json", "reconstruction.json"):
        scores |= run.json(name, named_scores) or {}
        measured |= run.json(name, named_bases) or {}
    if not scores:
        return None
    # Runs that voted have no config.json: their scores say what they were.
    settings = dict(run.settings or run.json("scores.json", dict))
    if settings.get("method") == "supervised":
        settings.pop("target", None)  # it only drew a curve
    settings["steps"] = run.config.get("total_steps", settings.get("steps", 0))
    command = (run.config.get("commands") or [""])[0]
    told = {name: basis for name, basis in measured.items() if basis}
    return {
        "system": run.recipe or f"{settings['recipe']} ensemble",
        "seed": settings["seed"],
        "settings": {name: value for name, value in settings.items() if name not in NOT_COMPARED},
        "epochs": round(run.epochs(settings["steps"]), 2) if run.config.get("steps_per_epoch") else None,
        "scores": scores,
        "seconds": (run.seconds or None) if run.config else None,
        "hardware": run.config.get("hardware", ""),
        "commit": run.config.get("commit", "")[:10],
        "command": re.sub(r"^python \S*/| --(data|runs|name) ('[^']*'|\S+)", "", command),
    } | ({"measured": told} if told else {})


def named_scores(content: Any) -> dict[str, float]:
    """The scores of a JSON file of metrics or inference under the names that tables give them.

    Features' scores carry their width or name, FID-768 and recall-dlib say; accuracies of an adaptation their domain
    and split, `svhn test`. Of a curve over kept weights, those of the last.
    """
    if isinstance(content, list):
        return named_scores(content[-1]) if content else {}
    if isinstance(content.get("scores"), dict):
        domains = content["scores"].items()
        return {f"{domain} {split}": value for domain, splits in domains for split, value in splits.items()}
    return {name: content[key] for key, name in _names_of(content).items() if content.get(key) is not None}


def _names_of(content: dict[str, Any]) -> dict[str, str]:
    return NAMES | {key: f"{name}-{content.get('dims')}" for key, name in OF_FEATURES.items()}


def named_bases(content: Any) -> dict[str, str | None]:
    """What each of the `named_scores` depends on, by its passport; None for scores without one, as they were once."""
    if isinstance(content, list):
        return named_bases(content[-1]) if content else {}
    about = content.get("passport")
    if isinstance(content.get("scores"), dict):
        return {name: (about or {}).get(name) for name in named_scores(content)}
    told = {name: basis(about, key) if about else None for key, name in _names_of(content).items()}
    return {name: told[name] for name in named_scores(content)}


def refuse_mixture(records: list[Record]) -> None:
    """Raise UserError where a score of two records was not measured alike, so that they do not compare."""
    first: dict[str, tuple[str, str]] = {}
    for record in records:
        for name, found in record.get("measured", {}).items():
            other, expected = first.setdefault(name, (record["system"], found))
            if found != expected:
                sides = f"{name} of {other} ({expected}) and of {record['system']} ({found})"
                raise UserError(f"{sides} do not compare: score them alike")


def sampling_records(run: Run, varied: str) -> list[Record]:
    """What a run's sampling.json says: means over the seeds of rows that differ in nothing but what is `varied`.

    That is the guidance scale (`guidance`), or the sampler and its steps (`samplers`).
    """
    about = (record_of(run) or {"seed": 0, "settings": {}}) | {"recipe": run.recipe, "measured": {}}
    means = run.json("sampling.json", lambda content: _means_of_sampling(content, varied))
    return [about | record for record in means or []]


def _means_of_sampling(content: dict[str, Any], varied: str) -> list[Record]:
    rows = pd.DataFrame(content["rows"])
    alike = ["sampler", "steps", "per_class"] if varied == "guidance" else ["guidance", "per_class"]
    rows = rows[rows.groupby(alike)[SETTINGS].transform("nunique").max(axis=1) > 1]
    names = _names_of(content) | {"spread": "spread", "seconds_per_1000": "s per 1000"}
    records = []
    for (sampler, steps, guidance, per_class), group in rows.groupby(SETTINGS):
        system = f"guidance {guidance:g}" if varied == "guidance" else f"{SAMPLERS[sampler]}, {steps} steps"
        scores = group.rename(columns=names).filter(names.values()).dropna(axis="columns")
        about = {"system": system, "settings": {"guidance": guidance}, "runs": len(group)}
        if "passport" in content:
            told = content["passport"] | {"count": 10 * per_class}
            keys = {name: key for key, name in names.items() if key in DEPENDS_ON and name in scores}
            about["measured"] = {name: basis(told, key) for name, key in keys.items()}
        records.append(about | {"scores": scores.mean().to_dict(), "spread": scores.std().dropna().to_dict()})
    return sorted(records, key=lambda record: record["scores"]["s per 1000"] if varied == "samplers" else 0)


def load(name: str) -> list[Record]:
    """The committed records of an experiment; raises UserError where there are none."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        raise UserError(f"no results in {path}: make them with `python -m experiments {name} --record`")
    return json.loads(path.read_text())


def save(path: Path, records: Iterable[Record]) -> None:
    """Write records, a line each."""
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    write_atomically(path, f"[\n{lines}\n]\n".encode())


def record(name: str, records: Iterable[Record]) -> None:
    """Write records into the committed ones, in place of those of the same system, settings and seed."""
    records, path = list(records), RESULTS / f"{name}.json"
    old = load(name) if path.exists() else []
    if records:
        save(path, {identity(record): record for record in (*old, *records)}.values())


def summarise(records: list[Record]) -> pd.DataFrame:
    """A line for each system and settings: `mean`, `std`, `n` of each score (columns of two levels), and what is alike.

    Only runs that differ in nothing but their seed are averaged; what is off counts as an option that is not there.
    Raises UserError when two of them have one seed.
    """
    if not records:
        return pd.DataFrame({name: [] for name in ("system", "settings", "n", "mean", "std", "seconds")})
    frame = pd.json_normalize(records, max_level=0)
    frame["key"] = [_key(record) for record in records]
    twice = frame[frame.duplicated(["key", "seed"])]
    if len(twice):
        first = twice.iloc[0]
        raise UserError(f"two runs of {first['system']} have the same settings and seed {first['seed']}: keep one")
    lines = []
    for _, group in frame.groupby("key", sort=False):
        one = group.iloc[0].to_dict()
        scores = pd.DataFrame(group["scores"].tolist())
        line = {"system": one["system"], "settings": one["settings"]}
        line |= {name: one.get(name) for name in ("epochs", "hardware", "note", "command")}
        line |= {"n": scores.count().to_dict(), "mean": scores.mean().to_dict(), "std": scores.std().to_dict()}
        line["seconds"] = group["seconds"].astype(float).mean() if "seconds" in group else None
        if pd.notna(one.get("runs")):  # averaged before
            if len(group) > 1:
                raise UserError(f"{one['system']} has an averaged result beside single ones: keep either")
            line |= {"n": dict.fromkeys(one["scores"], int(one["runs"])), "std": one.get("spread") or {}}
        lines.append(line)
    return pd.DataFrame(lines)


def differing(summary: pd.DataFrame) -> list[str]:
    """The settings in which lines of one system, and of one scenario, differ."""
    settings = pd.DataFrame(summary["settings"].tolist(), dtype=object)
    known = settings.map(lambda value: json.dumps(value if value and value == value else None))  # NaN: not given
    places = [summary["system"], *(known[name] for name in ("source", "target") if name in known)]
    return [name for name in known if (known[name].groupby(places).nunique() > 1).any()]


def identity(record: Record) -> tuple[str, str]:
    """What a record is of: system and settings, and the seed."""
    return _key(record), str(record["seed"])


def _key(record: Record) -> str:
    settings = {name: value for name, value in record["settings"].items() if value not in (None, False, 0, "", "off")}
    return json.dumps([record["system"], settings], sort_keys=True)
