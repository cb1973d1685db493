"""Installation without a network, or from an index that answers something else: one line, and nothing half-made."""

import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import venv
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest

KIND = "installation"
WHEEL = "toy_package-1.0-py3-none-any.whl"
LOGIN = b"<html><script>location = 'login'</script>Sign in to go on</html>"


def toy_wheel():
    """A package of one empty module, as an index offers it."""
    about, buffer = "toy_package-1.0.dist-info", io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as wheel:
        wheel.writestr("toy_package.py", "")
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: toy-package\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    return buffer.getvalue()


class Index(BaseHTTPRequestHandler):
    """An index of one package: the first part of the address says what goes wrong."""

    content = toy_wheel()
    asked = threading.Event()

    def do_GET(self):
        _, way, *_, name = self.path.rstrip("/").split("/")
        wrong = {"page": LOGIN, "cut": self.content[:-10], "other": self.content[::-1], "empty": b""}.get(way)
        body, length = self.content if wrong is None else wrong, None
        if name != WHEEL:
            digest = hashlib.sha256(b"other" if way == "hash" else self.content).hexdigest()
            body = LOGIN if way == "login" else f'<a href="{name}/{WHEEL}#sha256={digest}">{WHEEL}</a>'.encode()
        elif way in ("cut", "stalled"):
            length = len(self.content)
        self.send_response({"missing": 404, "broken": 500, "forbidden": 403}.get(way, 200))
        self.send_header("Content-Type", "text/html" if name != WHEEL else "application/zip")
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        if name == WHEEL and way == "stalled":
            self.asked.set()
            threading.Event().wait(5)
            return
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def index():
    """The address of the index, but for what is to go wrong."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def checkout(root, tmp_path):
    """The scripts and requirements of a repository that needs one small package, and its .venv with nothing but pip."""
    checkout = tmp_path / "a clone"
    (checkout / "scripts").mkdir(parents=True)
    for name in ("install.sh", "python.sh"):
        shutil.copy(root / "scripts" / name, checkout / "scripts")
    (checkout / "requirements.txt").write_text("# what is needed\ntoy-package==1.0\n")
    venv.create(checkout / ".venv")
    packages = next((checkout / ".venv").glob("lib/*/site-packages"))
    for path in Path(find_spec("pip").origin).parents[1].glob("pip*"):
        (packages / path.name).symlink_to(path)
    return checkout


def command(checkout, script, *words, index):
    """A script of the checkout, and how it is to be started: nothing but `index` is asked."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0", "PIP_NO_CACHE_DIR": "1", "PIP_TIMEOUT": "10"}
    environment |= {"PIP_INDEX_URL": f"{index}/simple", "PYTHON": sys.executable, "no_proxy": "*"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return {"args": ["bash", checkout / "scripts" / script, *words], "env": environment, "cwd": checkout, **pipes}


def try_it(checkout, index):
    """Install, and use what is installed; gives the end of the one and of the other."""
    installed = subprocess.run(**command(checkout, "install.sh", index=index))
    return installed, subprocess.run(**command(checkout, "python.sh", "-c", "import toy_package", index=index))


def assert_not_taken_for_whole(checkout, installed, used):
    """Both end in our line; of the installation it is the last one, below what pip says."""
    script = checkout / "scripts" / "install.sh"
    assert installed.returncode == 1, installed
    last = f"named by PIP_INDEX_URL, run bash {script} requirements.txt again"
    assert installed.stderr.splitlines()[-1].startswith("error: requirements.txt was not installed, for the reason ")
    assert installed.stderr.splitlines()[-1].endswith(last) and "Traceback" not in installed.stderr
    assert (used.returncode, used.stderr) == (1, f"error: the packages are not installed: run bash {script}\n")


def assert_whole(installed, used):
    assert installed.returncode == 0 and used.returncode == 0, installed.stderr + used.stderr


def test_an_index_that_fails(fault, checkout, index, campaign):
    """One after another into the same .venv, as somebody would try; once it has succeeded, nothing is asked again."""
    nobody = "http://127.0.0.1:9"
    ways = ("login", "page", "cut", "hash", "other", "empty", "missing", "broken", "forbidden", "nobody")
    for way in ways if campaign else ("login",):
        with fault(KIND, way):
            assert_not_taken_for_whole(checkout, *try_it(checkout, nobody if way == "nobody" else f"{index}/{way}"))
    with fault(KIND, "whole at last"):
        assert_whole(*try_it(checkout, f"{index}/whole"))
        again, used = try_it(checkout, nobody)
        assert_whole(again, used)
        assert again.stdout == ""
    if campaign:
        with fault(KIND, "a later one fails"):
            (checkout / "requirements.txt").write_text("toy-package==1.0\nanother-package\n")
            assert_not_taken_for_whole(checkout, *try_it(checkout, f"{index}/missing"))
            (checkout / "requirements.txt").write_text("toy-package==1.0\n")
            assert_whole(*try_it(checkout, nobody))  # all of it is there


def test_an_installation_that_is_killed(fault, checkout, index, campaign):
    """While it downloads; and while it puts pip into .venv, of which only the first files are there then."""
    if not campaign:
        pytest.skip("bash scripts/test.sh --faults kills installations")
    with fault(KIND, "killed while it downloads"):
        killed = subprocess.Popen(**command(checkout, "install.sh", index=f"{index}/stalled"), start_new_session=True)
        assert Index.asked.wait(60)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
        used = subprocess.run(**command(checkout, "python.sh", "-c", "import toy_package", index=index))
        assert (used.returncode, used.stderr.count("\n")) == (1, 1) and "packages are not installed" in used.stderr
        assert_whole(*try_it(checkout, f"{index}/whole"))
    with fault(KIND, "killed while .venv is made"):
        shutil.rmtree(checkout / ".venv")
        venv.create(checkout / ".venv")
        pip = next((checkout / ".venv").glob("lib/*/site-packages")) / "pip"
        pip.mkdir()
        (pip / "__init__.py").touch()
        assert_whole(*try_it(checkout, f"{index}/whole"))
