"""Build the data tree from the official downloads: `python -m data.prepare --help`.

What of the following is in the raw folder is prepared:

    RAW/celeba/img_align_celeba/*.jpg, list_eval_partition.txt, list_attr_celeba.txt (optional)   faces
    RAW/MNIST/raw/*-ubyte.gz and RAW/BSDS500/images/{train,val,test}/*.jpg                         mnistm
    RAW/SVHN/{train,test}_32x32.mat                                                                svhn
    RAW/USPS/usps.bz2, usps.t.bz2                                                                  usps
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from data.decoded import read_image
from data.downloads import BSDS500, CELEBA, MNIST, SVHN, USPS, Source, fetch
from data.mnistm import blend
from data.raw_formats import (
    read_celeba_attributes,
    read_celeba_partition,
    read_mnist,
    read_photographs,
    read_svhn,
    read_usps,
)
from data.tree import DOMAIN_ENTRIES, FACE_ENTRIES, is_complete, resize_digits, write_domain, write_faces
from runtime.command_line import run_main
from runtime.errors import UserError
from runtime.settings import AT_LEAST_1, Settings

MNISTM_SEED = 0
SOURCES: dict[str, tuple[Source, ...]] = {"faces": CELEBA, "mnistm": (*MNIST, BSDS500), "svhn": SVHN, "usps": USPS}


@dataclass
class Config(Settings):
    """Build the data tree from the official downloads; parts that are there already are left as they are."""

    raw: Path = Path("datasets/raw")
    """Folder of the official downloads."""
    out: Path = Path("datasets/real")
    """Folder of the data tree."""
    parts: tuple[Literal["faces", "mnistm", "svhn", "usps"], ...] = ()
    """What to prepare; by default everything whose raw data is there."""
    train_count: Annotated[int | None, AT_LEAST_1] = None
    """Take only the first training faces, in this number."""
    val_count: Annotated[int | None, AT_LEAST_1] = None
    """Take only the first validation faces, in this number."""
    download: bool = False
    """First download the missing raw data of the digits; CelebA must be downloaded by hand."""


def prepare(config: Config) -> None:
    """Build the parts asked for, or all whose raw data is there, saying what was missing and what to put where.

    Raises UserError when a part asked for lacks its raw data, when there is nothing to prepare at all, and for
    whatever is wrong with the raw data; parts built before stay.
    """
    parts = list(dict.fromkeys(config.parts or SOURCES))
    absent = [part for part in parts if not _is_there(part, config)]
    missing = {part: _missing(part, config) for part in absent}
    ready = [part for part in absent if not missing[part]]
    for part in absent:
        if missing[part] and config.parts:
            raise UserError(_how_to_get(part, missing[part], config.raw))
        if missing[part]:
            print(_how_to_get(part, missing[part], config.raw))
    if absent == parts and not ready:
        raise UserError(f"nothing to prepare in {config.raw}: give --raw FOLDER with the official downloads")
    for part in ready:
        if part == "faces":
            prepare_faces(config.raw, config.out, config.train_count, config.val_count)
        else:
            prepare_domain(part, config.raw, config.out)


def prepare_faces(raw: Path, out: Path, train_count: int | None = None, val_count: int | None = None) -> None:
    """CelebA → `out/face/{train,val}` (64x64 RGB) and, for the pictures that have them, `attributes.csv`.

    Training and validation are partitions 0 and 1; the counts take the first so many of each. The centred square is
    resized by Lanczos filtering; validation numbering goes on after training.
    """
    celeba = raw / "celeba"
    partition = read_celeba_partition(celeba / "list_eval_partition.txt")
    train = _first(train_count, [name for name, split in partition if split == 0], "--train-count")
    val = _first(val_count, [name for name, split in partition if split == 1], "--val-count")
    sources, pictures = train + val, celeba / "img_align_celeba"
    _check_all_there(pictures, sources)
    attribute_file = celeba / "list_attr_celeba.txt"
    columns, values = read_celeba_attributes(attribute_file) if attribute_file.exists() else ([], {})
    attributes = {index: values[source] for index, source in enumerate(sources) if source in values}

    def face(index: int) -> np.ndarray:
        return read_image(pictures / sources[index], 64, resize=True)

    write_faces(out / "face", face, len(train), len(val), columns, attributes)
    print(f"faces: {len(train):,} training and {len(val):,} validation pictures, {len(attributes):,} with attributes")


def prepare_domain(domain: str, raw: Path, out: Path) -> None:
    """A domain of digits → `out/digits/DOMAIN`: training and test pictures pooled, 28x28, split 64/16/20."""
    if domain == "mnistm":
        digits, labels = _pool(read_mnist(raw / "MNIST" / "raw", part) for part in ("train", "t10k"))
        images = blend(digits, read_photographs(raw / "BSDS500" / "images"), MNISTM_SEED)
    elif domain == "svhn":
        images, labels = _pool(read_svhn(raw / "SVHN" / f"{part}_32x32.mat") for part in ("train", "test"))
    else:
        images, labels = _pool(read_usps(raw / "USPS" / name) for name in ("usps.bz2", "usps.t.bz2"))
    write_domain(out / "digits" / domain, resize_digits(images), labels)
    print(f"{domain}: {len(images):,} pictures in {out / 'digits' / domain}")


def _pool(halves: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    images, labels = zip(*halves, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _first(count: int | None, names: list[str], option: str) -> list[str]:
    if not names:
        raise UserError("CelebA's list_eval_partition.txt has no training or no validation faces: download it again")
    if count is not None and not 1 <= count <= len(names):
        raise UserError(f"{option} {count}: the raw data has {len(names):,} such faces, give 1 to {len(names):,}")
    return names[:count]


def _check_all_there(folder: Path, names: list[str]) -> None:
    absent = sorted(set(names) - set(os.listdir(folder)))
    if absent:
        raise UserError(
            f"{folder} lacks {len(absent):,} of the {len(names):,} pictures listed, the first is {absent[0]}: "
            "unpack img_align_celeba.zip there as a whole"
        )


def _is_there(part: str, config: Config) -> bool:
    """Whether the part is complete already, which is then said."""
    if part != "faces":
        return is_complete(config.out / "digits" / part, DOMAIN_ENTRIES)
    folder = config.out / "face"
    if there := is_complete(folder, FACE_ENTRIES):
        _check_counts(folder, {"train": config.train_count, "val": config.val_count})
    return there


def _check_counts(folder: Path, counts: dict[str, int | None]) -> None:
    """Refuse faces that are there already in another number than is asked for."""
    for split, count in counts.items():
        found = sum(1 for _ in (folder / split).iterdir())
        if count is not None and count != found:
            raise UserError(f"{folder / split} has {found:,} faces, not {count:,}: remove {folder} to build it anew")


def _missing(part: str, config: Config) -> list[Source]:
    """The sources of a part that are not in the raw folder, after fetching them where that is wanted and can be."""
    missing = [source for source in SOURCES[part] if not (config.raw / source.path).exists()]
    if not config.download:
        return missing
    for source in missing:
        if source.can_fetch:
            fetch(source, config.raw)
    return [source for source in missing if not source.can_fetch]


def _how_to_get(part: str, missing: list[Source], raw: Path) -> str:
    fetchable = "give --download, or " if all(source.can_fetch for source in missing) else ""
    return f"no raw data for {part}: {fetchable}put {', '.join(source.remedy(raw) for source in missing)}"


if __name__ == "__main__":
    run_main(prepare, Config)
