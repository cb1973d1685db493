"""Markup in the names of runs, attributes and uploaded files: the demo page shows it as text."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from selenium.webdriver.common.by import By

from inference.attributes import directions_file
from inference.uploads import MOST_BYTES
from models import NETWORKS
from models.weights import save_weights
from tests.faults.test_markup import MARKUP
from tests.inference.test_demo import NETWORKS_OF, WITH_GRADIO, opened

KIND = "markup in the demo"
IN_SCRIPT = "</script><script>document.title='sprung'</script>"  # a name of an attribute may have slashes


def write_networks(root, names):
    """Weights of every kind that the page needs: classifiers of runs with these names, a VAE with such attributes."""
    files = []
    for kind in ("digits", "faces", "vae", *names):
        network, arguments = NETWORKS_OF.get(kind, NETWORKS_OF["before"])
        torch.manual_seed(0)
        files.append(root / kind / "weights.safetensors")
        save_weights(files[-1], NETWORKS[network](**arguments), network, arguments, {})
    attributes = {name: np.ones(6, np.float16) for name in (*names, IN_SCRIPT)}
    np.savez(directions_file(root / "vae" / "weights.safetensors"), **attributes)
    return files


def executed(page):
    """Whether anything but the page itself was or could be at work, once every element is touched."""
    for event in ("mouseover", "focus"):
        touch = f"document.querySelectorAll('*').forEach(one => one.dispatchEvent(new Event('{event}')))"
        page.browser.execute_script(touch)
    foreign = "[onmouseover], [onerror], [onload], [onfocus], iframe, a[href^=javascript]"
    return page.browser.title != "Faces and digits" or bool(page.browser.find_elements(By.CSS_SELECTOR, foreign))


def text_of(page, selector):
    """All text in the elements of a selector, spaces left out: the browser changes them."""
    texts = [one.get_attribute("textContent") for one in page.browser.find_elements(By.CSS_SELECTOR, selector)]
    return "".join("".join(texts).split())


@WITH_GRADIO
def test_markup_is_text_in_the_demo(fault, browser, tmp_path, campaign):
    if not campaign:
        pytest.skip("bash scripts/test.sh --faults opens the page")
    names = {kind: text.replace("\n", " ") for kind, text in MARKUP.items()}
    (tmp_path / "uploads").mkdir()
    with opened(browser, write_networks(tmp_path / "runs", names.values())) as page:
        page.click("Adaptation")
        shown, done = text_of(page, ".said"), executed(page)
        for kind, name in names.items():
            with fault(KIND, f"{kind} in a run's name"):
                assert "".join(name.split()) in shown and not done
        page.click("VAE")
        page.browser.find_element(By.CSS_SELECTOR, "input[aria-label=Attribute]").click()
        listed = page.until(lambda: text_of(page, "[role=option]"))
        for kind, name in (*names.items(), ("script's end", IN_SCRIPT)):
            with fault(KIND, f"{kind} in an attribute's name"):
                assert "".join(name.split()) in listed and not executed(page)
        for number, (kind, name) in enumerate(names.items()):
            upload = tmp_path / "uploads" / f"{name}.png"
            Image.new("RGB", (28, 28), (10 * number, 0, 0)).save(upload)
            with fault(KIND, f"{kind} in a file's name"):
                page.upload("face-file", str(upload))
                page.until(lambda: page.browser.find_elements(By.CSS_SELECTOR, "#face-file button[aria-label='Clear']"))
                page.click("Encode and decode")
                page.picture("pair")
                assert not executed(page)
                page.browser.find_element(By.CSS_SELECTOR, "#face-file button[aria-label='Clear']").click()
            upload.write_bytes(b"\0" * (MOST_BYTES + 1))
            with fault(KIND, f"{kind} in the name of a file that is too large"):
                page.upload("face-file", str(upload))
                page.message("exceed the maximum allowed size")
                assert not executed(page)
        shutil.rmtree(tmp_path / "uploads")
