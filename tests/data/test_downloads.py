import hashlib
import io
import os
import tarfile
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from data import downloads, prepare
from data.downloads import BSDS500, CELEBA, MNIST, SVHN, USPS, Source, fetch
from data.raw_formats import read_photographs
from runtime.errors import UserError

CONTENT = b"some bytes" * 1000


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT at /whole, less of it than announced at /short, and nothing elsewhere."""

    def do_GET(self):
        if self.path not in ("/whole", "/short"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT if self.path == "/whole" else CONTENT[:-1])

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


def test_whole_file_arrives(tmp_path, server):
    md5 = hashlib.md5(CONTENT).hexdigest()
    fetch(Source("a/b.gz", f"{server}/whole", md5), tmp_path)
    assert (tmp_path / "a/b.gz").read_bytes() == CONTENT
    assert os.listdir(tmp_path / "a") == ["b.gz"]


@pytest.mark.parametrize(
    ("page", "md5", "reason"),
    [
        ("whole", "0" * 32, "its md5 sum is .*, not 000"),
        ("short", None, "only 9,999 of 10,000 bytes came"),
        ("absent", None, "HTTP Error 404"),
    ],
)
def test_failed_download_leaves_nothing(tmp_path, server, page, md5, reason):
    with pytest.raises(UserError, match=rf"cannot fetch {server}/{page} \(.*{reason}.*\): put .* at .*b\.gz by hand"):
        fetch(Source("a/b.gz", f"{server}/{page}", md5), tmp_path)
    assert os.listdir(tmp_path / "a") == []


def test_no_server(tmp_path):
    with pytest.raises(UserError, match=r"cannot fetch http://127.0.0.1:9/x .*refused"):
        fetch(Source("b.gz", "http://127.0.0.1:9/x"), tmp_path)


def archive_of(tmp_path, names) -> str:
    with tarfile.open(tmp_path / "bsds.tgz", "w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(PHOTOGRAPH)
            archive.addfile(member, io.BytesIO(PHOTOGRAPH))
    return (tmp_path / "bsds.tgz").as_uri()


def _photograph() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (30, 30)).save(buffer, "JPEG")
    return buffer.getvalue()


PHOTOGRAPH = _photograph()
IMAGES = "BSR/BSDS500/data/images"


def test_photographs_are_unpacked_and_nothing_else(tmp_path, monkeypatch):
    names = [f"{IMAGES}/{part}/1.jpg" for part in ("train", "val", "test")]
    others = [f"{IMAGES}/train/Thumbs.db", "BSR/BSDS500/data/groundTruth/train/1.mat", "../../data/images/up/1.jpg"]
    monkeypatch.setattr(downloads, "BSDS500", source := replace(BSDS500, address=archive_of(tmp_path, names + others)))
    fetch(source, tmp_path / "raw")
    assert len(read_photographs(tmp_path / "raw/BSDS500/images")) == 3
    assert len([path for path in (tmp_path / "raw").rglob("*") if path.is_file()]) == 3


def test_broken_archive_leaves_nothing(tmp_path, monkeypatch):
    address = archive_of(tmp_path, [f"{IMAGES}/train/1.jpg"])
    monkeypatch.setattr(downloads, "BSDS500", source := replace(BSDS500, address=address))
    with pytest.raises(UserError, match=r"bsds\.tgz \(it does not hold BSR/BSDS500"):
        fetch(source, tmp_path / "raw")
    whole = (tmp_path / "bsds.tgz").read_bytes()
    (tmp_path / "bsds.tgz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cannot fetch .*bsds\.tgz .*put the folder BSR/BSDS500/data/images of"):
        fetch(source, tmp_path / "raw")
    assert os.listdir(tmp_path / "raw/BSDS500") == []


def test_download_option_fetches_what_is_missing_only(tmp_path, monkeypatch):
    fetched = []
    monkeypatch.setattr(prepare, "fetch", lambda source, raw: fetched.append(source))
    monkeypatch.setattr(prepare, "prepare_domain", lambda *args: None)
    (tmp_path / "USPS").mkdir()
    (tmp_path / "USPS/usps.bz2").write_text("there")
    prepare.prepare(prepare.Config(tmp_path, tmp_path / "out", download=True))
    assert fetched == [*MNIST, BSDS500, *SVHN, USPS[1]]
    assert not any(source.can_fetch for source in CELEBA)


def test_addresses_and_sums_are_torchvisions():
    # Read rather than imported, which would take seconds.
    folder = Path(find_spec("torchvision").submodule_search_locations[0]) / "datasets"
    theirs = "".join((folder / f"{name}.py").read_text() for name in ("mnist", "svhn", "usps"))
    for source in (*MNIST, *SVHN, *USPS):
        folder, _, name = source.address.rpartition("/")
        assert f'"{source.md5}"' in theirs and folder + "/" in theirs and f'"{name}"' in theirs
