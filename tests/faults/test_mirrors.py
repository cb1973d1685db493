"""Mirrors that answer something else than the file, and no network at all: one line, and nothing taken for whole."""

import hashlib
import socket
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

import pytest

from data.downloads import USPS
from data.prepare import SOURCES
from tests.faults.commands import call
from tests.faults.conftest import files_under
from tests.faults.recipes import write_usps

KIND = "mirrors and no network"
PAGE = b"<html><script>location = 'login'</script>Sign in to go on</html>"
STATUSES = {f"/{status}": status for status in (204, 206, 301, 400, 401, 403, 404, 407, 416, 429, 451, 500, 503)}


class Mirror(BaseHTTPRequestHandler):
    """Answers as its path says."""

    def do_GET(self):
        way = "/" + self.path.split("/")[1]
        if way == "/nothing":
            return
        if way == "/noise":
            self.wfile.write(b"\0\xff no HTTP\n" * 10)
            return
        if way == "/loop":
            self.send_response(302)
            self.send_header("Location", self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = self.server.files[self.path.split("/")[-1]]
        self.send_response(STATUSES.get(way, 200))
        body = {"/whole": content, "/cut": content[:-10], "/other": content[::-1], "/empty": b""}.get(way, PAGE)
        lengths = {"/cut": len(content), "/wrong": "many", "/below": -5}
        self.send_header("Content-Length", str(lengths.get(way, len(body))))
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    """The address of a mirror of USPS's files, and their sources with the way to it that is asked for."""
    raw = tmp_path_factory.mktemp("mirrored")
    write_usps(raw)
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        server.files = {path.name: path.read_bytes() for path in (raw / "USPS").iterdir()}
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in server.files.items()}

        def sources(way, host=f"http://127.0.0.1:{server.server_port}"):
            names = [source.path.split("/")[-1] for source in USPS]
            return tuple(
                replace(source, address=f"{host}{way}/{name}", sha256=hashes[name])
                for source, name in zip(USPS, names, strict=True)
            )

        yield sources
        server.shutdown()


def fetch(sources, folder):
    with mock.patch.dict(SOURCES, usps=sources):
        words = ("--raw", folder / "raw", "--out", folder / "out", "--parts", "usps", "--download")
        return call("data.prepare", *words)


def is_one_line(status, err):
    lines = [line for line in err.splitlines() if line and "B/s" not in line]
    return status == 1 and len(lines) == 1 and lines[0].startswith("error: cannot fetch http") and "by hand" in lines[0]


WAYS = ("/page", "/empty", "/other", "/cut", "/wrong", "/below", "/nothing", "/noise", "/loop", *STATUSES)


def test_what_a_mirror_answers_is_not_taken_for_the_file(mirror, fault, tmp_path, monkeypatch, campaign):
    monkeypatch.setenv("no_proxy", "*")
    for way in WAYS if campaign else ("/page", "/cut", "/noise", "/loop"):
        folder = tmp_path / way[1:]
        with fault(KIND, way):
            status, err = fetch(mirror(way), folder)
            assert is_one_line(status, err), err
            assert not [path for path in files_under(folder) if not path.name.endswith(".part")]
            status, err = fetch(mirror("/whole"), folder)
            if status:  # what was left was of another file, which is found at its end: then it begins anew
                assert "its SHA-256 is" in err, err
                status, err = fetch(mirror("/whole"), folder)
            assert status == 0 and (folder / "out" / "digits" / "usps" / "test.csv").exists(), err


def test_no_network(mirror, fault, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    troubles = {
        "no name": socket.gaierror(-3, "Temporary failure in name resolution"),
        "no way": OSError(101, "Network is unreachable"),
        "no answer": TimeoutError("timed out"),
    }
    for name, trouble in troubles.items():
        with fault(KIND, name), mock.patch("socket.create_connection", side_effect=trouble):
            status, err = fetch(mirror("/whole"), tmp_path)
            assert is_one_line(status, err), err
    with fault(KIND, "refused"):
        status, err = fetch(mirror("", "http://127.0.0.1:9"), tmp_path)
        assert is_one_line(status, err), err
    assert not files_under(tmp_path)
