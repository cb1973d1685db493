"""The official downloads: where each lies in the raw folder, where it comes from, and fetching it."""

import hashlib
import tarfile
import zlib
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tqdm import tqdm

from data.raw_formats import BSDS500_FOLDERS
from data.tree import building
from runtime.errors import UserError
from runtime.files import lock_folder


@dataclass(frozen=True)
class Source:
    """A file or folder of the raw data: `path`, its place under the raw folder, and `address`, where it comes from.

    `sha256` is that of the official file. `inside` says which part of what lies at the address is meant, where it is
    not all. `can_fetch` tells whether a program can fetch it.
    """

    path: str
    address: str
    sha256: str = ""
    inside: str = ""
    can_fetch: bool = True

    def remedy(self, raw: Path) -> str:
        """What a person should put where: "ADDRESS at PLACE"."""
        return f"{self.inside + ' of ' if self.inside else ''}{self.address} at {raw / self.path}"


_MNIST_ADDRESS = "https://ossci-datasets.s3.amazonaws.com/mnist"
_USPS_ADDRESS = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass"
_SVHN_ADDRESS = "http://ufldl.stanford.edu/housenumbers"
_CELEBA_ADDRESS = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"

# Addresses are those of torchvision.datasets.
MNIST = tuple(
    Source(f"MNIST/raw/{name}", f"{_MNIST_ADDRESS}/{name}", sha256)
    for name, sha256 in (
        ("train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        ("train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        ("t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        ("t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    )
)
USPS = tuple(
    Source(f"USPS/{name}", f"{_USPS_ADDRESS}/{name}", sha256)
    for name, sha256 in (
        ("usps.bz2", "3771e9dd6ba685185f89867b6e249233dd74652389f263963b3b741e994b034f"),
        ("usps.t.bz2", "a9c0164e797d60142a50604917f0baa604f326e9a689698763793fa5d12ffc4e"),
    )
)
SVHN = tuple(
    Source(f"SVHN/{name}", f"{_SVHN_ADDRESS}/{name}", sha256)
    for name, sha256 in (
        ("train_32x32.mat", "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8"),
        ("test_32x32.mat", "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b"),
    )
)
BSDS500 = Source(
    "BSDS500/images",
    "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/BSR_bsds500.tgz",
    "97e49d31764f3912f0c4122707d53062ac9e783ba0f095e447a4d53c1a41af8e",
    inside="the folder BSR/BSDS500/data/images",
)
CELEBA = (
    Source("celeba/img_align_celeba", _CELEBA_ADDRESS, inside="the unpacked Img/img_align_celeba.zip", can_fetch=False),
    Source(
        "celeba/list_eval_partition.txt",
        _CELEBA_ADDRESS,
        inside="Eval/list_eval_partition.txt (and, for attributes, Anno/list_attr_celeba.txt)",
        can_fetch=False,
    ),
)


def fetch(source: Source, raw: Path) -> None:
    """Fetch `source` to its place in `raw`, where it appears whole and with the right SHA-256 or not at all.

    What was fetched before the connection broke off stays beside it, hidden, and the next call goes on from there.
    Raises UserError, naming the address and what to do instead, when it cannot be fetched, is cut short, is not the
    official file, or another process is fetching into the same folder.
    """
    place = raw / source.path
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = lock_folder(place.parent)
    part = place.with_name(f".{place.name}.part")
    try:
        _download(source.address, part)
    except (OSError, HTTPException, ValueError) as error:
        remedy = f"run this again to go on, or put {source.remedy(raw)} by hand"
        raise UserError(f"cannot fetch {source.address} ({error}): {remedy}") from error
    try:
        with open(part, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 != source.sha256:
            raise ValueError(f"its SHA-256 is {sha256}, not {source.sha256}")
        if source.path == BSDS500.path:
            _unpack_photographs(part, place)
        else:
            part.replace(place)
    except (OSError, ValueError, EOFError, zlib.error, tarfile.TarError) as error:
        raise UserError(f"cannot fetch {source.address} ({error}): put {source.remedy(raw)} by hand") from error
    finally:
        part.unlink(missing_ok=True)
        del lock


def _download(address: str, path: Path) -> None:
    """Save what lies at `address` to `path`, going on where a former call broke off, under a progress bar.

    Raises OSError, HTTPException or ValueError when less came than was announced.
    """
    received = path.stat().st_size if path.exists() else 0
    headers = {"User-Agent": "Mozilla/5.0 (faces-and-digits)"} | ({"Range": f"bytes={received}-"} if received else {})
    try:
        response = urlopen(Request(address, headers=headers), timeout=60)
    except HTTPError as error:
        if error.code == 416 and received:  # nothing is left to come
            return
        raise
    with response:
        if response.status != 206:  # the whole file, whatever was asked for
            received = 0
        expected = received + int(response.headers.get("Content-Length") or 0)
        with open(path, "r+b" if received else "wb") as file:
            file.seek(received)
            with tqdm(desc=address, total=expected, initial=received, unit="B", unit_scale=True, disable=None) as bar:
                while chunk := response.read(1 << 20):
                    file.write(chunk)
                    bar.update(len(chunk))
            received = file.tell()
    if received < expected:
        raise ValueError(f"only {received:,} of {expected:,} bytes came")


def _unpack_photographs(archive: Path, images: Path) -> None:
    """Write the photographs of BSDS500's archive to `images/{train,val,test}`, leaving out everything else."""
    with tarfile.open(archive) as members, building(images) as folder:
        for part in BSDS500_FOLDERS:
            (folder / part).mkdir()
        for member in members:
            path = PurePosixPath(member.name)
            if member.isfile() and path.match("data/images/*/*.jpg") and path.parent.name in BSDS500_FOLDERS:
                (folder / path.parent.name / path.name).write_bytes(members.extractfile(member).read())
        if not all(any((folder / part).iterdir()) for part in BSDS500_FOLDERS):
            raise ValueError("it does not hold BSR/BSDS500/data/images/{train,val,test}/*.jpg")
