"""The official downloads: where each lies in the raw folder, where it comes from, and fetching it."""

import hashlib
import os
import tarfile
import zlib
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.request import Request, urlopen

from tqdm import tqdm

from data.raw_formats import BSDS500_FOLDERS
from data.tree import building
from runtime.errors import UserError


@dataclass(frozen=True)
class Source:
    """A file or folder of the raw data: `path`, its place under the raw folder, and `address`, where it comes from.

    `md5` is that of the official file. `inside` says which part of what lies at the address is meant, where it is
    not all. `can_fetch` tells whether a program can fetch it.
    """

    path: str
    address: str
    md5: str | None = None
    inside: str = ""
    can_fetch: bool = True

    def remedy(self, raw: Path) -> str:
        """What a person should put where: "ADDRESS at PLACE"."""
        return f"{self.inside + ' of ' if self.inside else ''}{self.address} at {raw / self.path}"


_MNIST_ADDRESS = "https://ossci-datasets.s3.amazonaws.com/mnist"
_USPS_ADDRESS = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass"
_SVHN_ADDRESS = "http://ufldl.stanford.edu/housenumbers"
_CELEBA_ADDRESS = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"

# Addresses and md5 sums are those of torchvision.datasets.
MNIST = tuple(
    Source(f"MNIST/raw/{name}", f"{_MNIST_ADDRESS}/{name}", md5)
    for name, md5 in (
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    )
)
USPS = (
    Source("USPS/usps.bz2", f"{_USPS_ADDRESS}/usps.bz2", "ec16c51db3855ca6c91edd34d0e9b197"),
    Source("USPS/usps.t.bz2", f"{_USPS_ADDRESS}/usps.t.bz2", "8ea070ee2aca1ac39742fdd1ef5ed118"),
)
SVHN = (
    Source("SVHN/train_32x32.mat", f"{_SVHN_ADDRESS}/train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
    Source("SVHN/test_32x32.mat", f"{_SVHN_ADDRESS}/test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
)
BSDS500 = Source(
    "BSDS500/images",
    "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/BSR_bsds500.tgz",
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
    """Fetch `source` to its place in `raw`, where it appears whole and with the right md5 sum or not at all.

    Raises UserError, naming the address and what to do instead, when it cannot be fetched, is cut short or is not
    the official file.
    """
    place = raw / source.path
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        md5 = _download(source.address, temporary)
        if source.md5 and md5 != source.md5:
            raise ValueError(f"its md5 sum is {md5}, not {source.md5}")
        if source is BSDS500:
            _unpack_photographs(temporary, place)
        else:
            temporary.replace(place)
    except (OSError, HTTPException, ValueError, EOFError, zlib.error, tarfile.TarError) as error:
        raise UserError(f"cannot fetch {source.address} ({error}): put {source.remedy(raw)} by hand") from error
    finally:
        temporary.unlink(missing_ok=True)


def _download(address: str, path: Path) -> str:
    """Save what lies at `address` to `path` under a progress bar; returns its md5 sum."""
    digest, received = hashlib.md5(usedforsecurity=False), 0
    request = Request(address, headers={"User-Agent": "Mozilla/5.0 (faces-and-digits)"})
    with urlopen(request, timeout=60) as response, open(path, "wb") as file:
        expected = int(response.headers.get("Content-Length") or 0)
        with tqdm(desc=address, total=expected or None, unit="B", unit_scale=True, disable=None) as bar:
            while chunk := response.read(1 << 20):
                file.write(chunk)
                digest.update(chunk)
                received += len(chunk)
                bar.update(len(chunk))
    if expected and received != expected:
        raise ValueError(f"only {received:,} of {expected:,} bytes came")
    return digest.hexdigest()


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
