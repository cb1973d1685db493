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

from data import prepare
from data.downloads import BSDS500, CELEBA, MNIST, SVHN, USPS, Source, fetch
from data.raw_formats import read_photographs
from runtime.errors import UserError

CONTENT = b"some bytes" * 1000


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT at /whole, less of it than announced at /short, both in parts if asked; a page at /page."""

    def do_GET(self):
        if self.path not in ("/whole", "/short", "/page"):
            self.send_error(404)
            return
        content = b"<html>Sign in to go on</html>" if self.path == "/page" else CONTENT
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:-1] if self.path == "/short" else content[start:])

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


SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_whole_file_arrives(tmp_path, server):
    fetch(Source("a/b.gz", f"{server}/whole", SHA256), tmp_path)
    assert (tmp_path / "a/b.gz").read_bytes() == CONTENT
    assert os.listdir(tmp_path / "a") == ["b.gz"]


@pytest.mark.parametrize("came", [1, 9_999, 10_000])
def test_a_download_that_broke_off_goes_on(tmp_path, server, came):
    (tmp_path / ".b.gz.part").write_bytes(CONTENT[:came])
    fetch(Source("b.gz", f"{server}/whole", SHA256), tmp_path)
    assert (tmp_path / "b.gz").read_bytes() == CONTENT
    assert os.listdir(tmp_path) == ["b.gz"]


@pytest.mark.parametrize(
    ("page", "reason", "left"),
    [
        ("page", "its SHA-256 is .*, not", []),
        ("short", "only 9,999 of 10,000 bytes came", [".b.gz.part"]),
        ("absent", "HTTP Error 404", []),
    ],
)
def test_failed_download_is_not_taken_for_whole(tmp_path, server, page, reason, left):
    with pytest.raises(UserError, match=rf"cannot fetch {server}/{page} \(.*{reason}.*\): .*put .* at .*b\.gz by hand"):
        fetch(Source("a/b.gz", f"{server}/{page}", SHA256), tmp_path)
    assert os.listdir(tmp_path / "a") == left


def test_what_broke_off_is_not_mixed_with_another_file(tmp_path, server):
    (tmp_path / ".b.gz.part").write_bytes(b"other")
    with pytest.raises(UserError, match="its SHA-256 is"):
        fetch(Source("b.gz", f"{server}/whole", SHA256), tmp_path)
    fetch(Source("b.gz", f"{server}/whole", SHA256), tmp_path)
    assert (tmp_path / "b.gz").read_bytes() == CONTENT


def test_no_server(tmp_path):
    with pytest.raises(UserError, match=r"cannot fetch http://127.0.0.1:9/x .*refused"):
        fetch(Source("b.gz", "http://127.0.0.1:9/x"), tmp_path)


def archive_of(tmp_path, names) -> Source:
    """BSDS500, fetched from an archive of one photograph under `names`."""
    with tarfile.open(tmp_path / "bsds.tgz", "w:gz") as members:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(PHOTOGRAPH)
            members.addfile(member, io.BytesIO(PHOTOGRAPH))
    return archive(tmp_path)


def archive(tmp_path):
    content = (tmp_path / "bsds.tgz").read_bytes()
    address = (tmp_path / "bsds.tgz").as_uri()
    return replace(BSDS500, address=address, sha256=hashlib.sha256(content).hexdigest())


def _photograph() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (30, 30)).save(buffer, "JPEG")
    return buffer.getvalue()


PHOTOGRAPH = _photograph()
IMAGES = "BSR/BSDS500/data/images"


def test_photographs_are_unpacked_and_nothing_else(tmp_path):
    names = [f"{IMAGES}/{part}/1.jpg" for part in ("train", "val", "test")]
    others = [f"{IMAGES}/train/Thumbs.db", "BSR/BSDS500/data/groundTruth/train/1.mat", "../../data/images/up/1.jpg"]
    fetch(archive_of(tmp_path, names + others), tmp_path / "raw")
    assert len(read_photographs(tmp_path / "raw/BSDS500/images")) == 3
    assert len([path for path in (tmp_path / "raw").rglob("*") if path.is_file()]) == 3


def test_broken_archive_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match=r"bsds\.tgz \(it does not hold BSR/BSDS500"):
        fetch(archive_of(tmp_path, [f"{IMAGES}/train/1.jpg"]), tmp_path / "raw")
    whole = (tmp_path / "bsds.tgz").read_bytes()
    (tmp_path / "bsds.tgz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cannot fetch .*bsds\.tgz .*put the folder BSR/BSDS500/data/images of"):
        fetch(archive(tmp_path), tmp_path / "raw")
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


def test_addresses_are_torchvisions_and_every_file_has_a_sum():
    # Read rather than imported, which would take seconds.
    folder = Path(find_spec("torchvision").submodule_search_locations[0]) / "datasets"
    theirs = "".join((folder / f"{name}.py").read_text() for name in ("mnist", "svhn", "usps"))
    for source in (*MNIST, *SVHN, *USPS):
        folder, _, name = source.address.rpartition("/")
        assert folder + "/" in theirs and f'"{name}"' in theirs
    sums = {source.sha256 for source in (*MNIST, *SVHN, *USPS, BSDS500)}
    assert len(sums) == 9 and all(len(bytes.fromhex(digest)) == 32 for digest in sums)
