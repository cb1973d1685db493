"""The page to play with, by clicking in a browser: each tab gives its pictures, what cannot work a message."""

import socket
import subprocess
import sys
from contextlib import contextmanager
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from inference import demo
from inference.api import find_weights
from inference.attributes import directions_file
from inference.demo_networks import SOURCES, load_networks
from inference.uploads import MOST_BYTES, drawn_digit, read_upload
from models import NETWORKS
from models.weights import save_weights
from runtime.errors import UserError
from tests.conftest import ROOT

NETWORKS_OF = {
    "digits": ("context-unet", {"width": 8, "steps": 4}),
    "faces": ("dcgan-generator", {"latent_size": 8, "width": 4}),
    "vae": ("vae", {"latent_size": 6, "width": 4}),
    "before": ("dann-lenet-classifier", {"width": 4}),
    "after": ("dann-lenet-classifier", {"width": 4}),
    "critic": ("dcgan-discriminator", {"width": 4}),
}
WITH_GRADIO = pytest.mark.skipif(not find_spec("gradio"), reason="gradio is not installed: requirements-demo.txt")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights files, by kind, of untrained networks; the VAE's with a direction."""
    folder = tmp_path_factory.mktemp("weights")
    files = {}
    for number, (kind, (name, arguments)) in enumerate(NETWORKS_OF.items()):
        torch.manual_seed(number)
        files[kind] = folder / f"{kind}.safetensors"
        save_weights(files[kind], NETWORKS[name](**arguments), name, arguments, {})
    np.savez(directions_file(files["vae"]), Smiling=np.ones(6, np.float16))
    return files


def test_every_kind_takes_the_place_of_the_shipped_one(weights):
    networks = load_networks((weights["vae"], weights["before"], weights["after"]), "cpu")
    assert networks.autoencoder.network.latent_size == 6 and list(networks.directions) == ["Smiling"]
    assert list(networks.classifiers["Your classifiers"]) == ["before", "after"]
    assert networks.faces.about["recipe"] == "edm-faces"


def test_shipped_classifiers_stand_by_the_domain_whose_labels_they_had():
    networks = load_networks((), "cpu")
    expected = {
        f"Trained with labels of {title}": ["before adaptation"] * find_weights(source).is_file()
        + [f"after adaptation to {target}" for target in SOURCES.values() if target != title]
        for source, title in SOURCES.items()
    }
    assert {row: list(names) for row, names in networks.classifiers.items()} == expected
    assert {"Smiling", "Eyeglasses"} < networks.directions.keys()


def test_weights_of_another_kind_end_in_a_line(weights, tmp_path, error_of):
    for names, message in (
        (("critic",), "makes nothing by itself: give weights of a generator, a VAE or a classifier"),
        (("faces", "faces"), "are both of the kind faces: give one of them"),
    ):
        files = tuple(weights[name] for name in names)
        assert message in error_of(lambda files=files: load_networks(files, "cpu"))
    assert "no such weights file" in error_of(lambda: load_networks((tmp_path / "none",)))


def test_without_gradio_a_line_says_how_to_get_it(error_of, monkeypatch):
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    line = error_of(lambda: demo.main(demo.Config()))
    assert line == "error: gradio is not installed: run bash scripts/demo.sh, which installs it"


def test_what_is_drawn_is_centred_as_mnist_is():
    layer = np.zeros((280, 280, 4), np.uint8)
    layer[30:230, 10:50, 3] = 255  # a one, far to the left
    digit = drawn_digit([layer])
    rows, columns = np.nonzero(digit[..., 0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 23, 12, 15)
    with pytest.raises(UserError, match="nothing is drawn yet"):
        drawn_digit([np.zeros((280, 280, 4), np.uint8)])


def write_uploads(folder):
    """Files as people may give them, by name."""
    red = Image.new("RGB", (80, 40), "red")
    red.save(folder / "red.png")
    red.save(folder / "moving.gif", save_all=True, append_images=[Image.new("RGB", (80, 40), "blue")])
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(folder / "glass.png")
    (folder / "text.png").write_text("no picture")
    (folder / "large.png").write_bytes(b"\0" * (MOST_BYTES + 1))
    return {path.stem: str(path) for path in folder.iterdir()}


def test_uploads_are_read_or_refused(tmp_path):
    files, said = write_uploads(tmp_path), []
    assert (read_upload(files["red"], 28, said.append) == [255, 0, 0]).all() and said == []
    assert (read_upload(files["glass"], 64, said.append) == np.full((64, 64, 3), 255)).all()
    assert np.allclose(read_upload(files["moving"], 28, said.append), [255, 0, 0], atol=3)
    assert said == ["What is transparent became white.", "Only the first picture of the animation is used."]
    for name, message in (("text", "no picture could be read"), ("large", "larger than 20 MB")):
        with pytest.raises(UserError, match=message):
            read_upload(files[name], 28, said.append)


@WITH_GRADIO
def test_a_port_in_use_ends_in_a_line(weights, error_of):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        files = tuple(weights[kind] for kind in ("digits", "faces", "vae", "before"))
        line = error_of(lambda: demo.main(demo.Config(files, port=port, device="cpu")))
    assert line == f"error: port {port} cannot be used: give another --port"


class Page:
    """The page in a browser."""

    def __init__(self, browser):
        self.browser, self.shown = browser, {}

    def until(self, condition):
        return WebDriverWait(self.browser, 120, ignored_exceptions=[StopIteration]).until(lambda _: condition())

    def click(self, text):
        def button():
            found = self.browser.find_elements(By.TAG_NAME, "button")
            return next(one for one in found if one.text.strip() == text and one.is_displayed())

        self.browser.execute_script("arguments[0].click()", self.until(button))

    def picture(self, name):
        """Width and height of the picture that comes to be shown at a place, another than was there."""
        script = "const one = document.querySelector(arguments[0]); return one && one.complete ? one.src : null"

        def new():
            source = self.browser.execute_script(script, f"#{name} img")
            return source if source != self.shown.get(name) else None

        self.shown[name] = self.until(new)
        size = "const one = document.querySelector(arguments[0]); return [one.naturalWidth, one.naturalHeight]"
        return tuple(self.browser.execute_script(size, f"#{name} img"))

    def upload(self, name, file):
        self.browser.find_element(By.CSS_SELECTOR, f"#{name} input[type=file]").send_keys(file)

    def message(self, text):
        """Wait for a message in the page with this text, and close all."""
        script = "return [...document.querySelectorAll('.toast-body')].map(one => one.textContent).join()"
        self.until(lambda: text in self.browser.execute_script(script))
        self.browser.execute_script("document.querySelectorAll('.toast-close').forEach(one => one.click())")


@contextmanager
def opened(browser, files):
    """The page of `inference.demo` with these weights, open in the browser."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "inference.demo", "--port", port, "--device", "cpu", "--weights", *files]
    server = subprocess.Popen(list(map(str, words)), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == f"the page is at http://127.0.0.1:{port}; Ctrl-C ends it\n"
        browser.get(f"http://127.0.0.1:{port}")
        yield Page(browser)
        loaded = browser.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
        assert loaded and {name.split("/")[2] for name in loaded} == {f"127.0.0.1:{port}"}
        browser.get("about:blank")
        browser.get_log("browser")  # read: what it says of canvases is no concern of other pages
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def page(weights, browser):
    with opened(browser, [path for kind, path in weights.items() if kind != "critic"]) as page:
        yield page


@WITH_GRADIO
def test_digits(page):
    page.click("Draw digits")
    assert page.picture("digits") == (5 * 88 + 4, 3 * 88 + 4)
    page.click("Show how it is made")
    assert page.picture("frame") == (288, 288)
    slider = page.browser.find_element(By.CSS_SELECTOR, "#at input[type=range]")
    assert slider.get_attribute("max") == "4"
    move = "arguments[0].value = 3; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))"
    page.browser.execute_script(move, slider)
    assert page.picture("frame") == (288, 288)


@WITH_GRADIO
def test_faces(page):
    page.click("Faces")
    page.click("Draw 16 faces")
    assert page.picture("faces") == (8 * 132 + 4, 2 * 132 + 4)
    page.click("Walk")
    assert page.picture("walk") == (8 * 132 + 4, 136)


@WITH_GRADIO
def test_vae(page, tmp_path):
    files = write_uploads(tmp_path)
    page.click("VAE")
    page.click("Encode and decode")
    sizes = {"pair": (2 * 260 + 4, 264), "along": (7 * 132 + 4, 136), "between": (8 * 132 + 4, 136)}
    assert {name: page.picture(name) for name in sizes} == sizes
    for name, message in (("text", "no picture could be read"), ("glass", "became white"), ("moving", "first picture")):
        page.upload("face-file", files[name])
        page.until(lambda name=name: name in page.browser.find_element(By.ID, "face-file").text)
        page.click("Encode and decode")
        page.message(message)
        page.browser.find_element(By.CSS_SELECTOR, "#face-file button[aria-label='Clear']").click()
    page.upload("face-file", files["large"])
    page.message("exceed the maximum allowed size")


@WITH_GRADIO
def test_adaptation(page, tmp_path):
    files = write_uploads(tmp_path)
    page.click("Adaptation")
    page.click("Ask the classifiers")
    page.message("nothing is drawn yet")
    canvas = page.until(lambda: page.browser.find_element(By.CSS_SELECTOR, "#drawing canvas"))
    page.browser.find_element(By.CSS_SELECTOR, "#drawing button[aria-label='Brush']").click()
    stroke = ActionChains(page.browser).move_to_element_with_offset(canvas, 0, -60).click_and_hold()
    stroke.move_by_offset(0, 60).move_by_offset(0, 60).release().perform()
    page.click("Ask the classifiers")
    assert page.picture("seen") == (148, 148)
    said = [one.text for one in page.browser.find_elements(By.CLASS_NAME, "said")]
    assert [text.split()[0] for text in said] == ["before", "after"] and all(text.count("%") == 3 for text in said)
    page.upload("digit-file", files["red"])
    page.until(lambda: "red" in page.browser.find_element(By.ID, "digit-file").text)
    page.click("Ask the classifiers")
    assert page.picture("seen") == (148, 148)
