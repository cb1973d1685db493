"""The page in headless Chromium: readable, in light and dark and on a phone, and everything in it works."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

DESKTOP, PHONE = 1280, 390

# The lowest contrast of any text with what lies behind it (WCAG 2.2, section 1.4.3), and the text; and the smallest.
CONTRAST = """
    const luminance = colour => {
        const parts = colour.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255);
        const linear = parts.map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const behind = element => {
        const colour = getComputedStyle(element).backgroundColor;
        return colour.startsWith('rgba') ? behind(element.parentElement) : colour;
    };
    const found = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode, element = text.parentElement;
        if (!text.data.trim() || !element.checkVisibility() || element.closest('script')) continue;
        const style = getComputedStyle(element);
        const [dark, light] = [luminance(style.color), luminance(behind(element))].sort((a, b) => a - b);
        found.push([(light + 0.05) / (dark + 0.05), parseFloat(style.fontSize), text.data.trim()]);
    }
    return found;
"""
# What automatic checks of accessibility look for: elements without a name, ids twice, headings that leave one out.
FAULTS = """
    const all = selector => [...document.querySelectorAll(selector)], faults = [];
    const name = one => [one.textContent, one.ariaLabel, one.alt, one.querySelector('img')?.alt].join('').trim();
    for (const one of all('a, button, input, img, summary, [role], nav')) if (!name(one)) faults.push(one.outerHTML);
    const ids = all('[id]').map(one => one.id);
    if (new Set(ids).size < ids.length) faults.push('an id twice');
    const levels = all('h1, h2, h3, h4').map(heading => Number(heading.tagName[1]));
    if (levels.filter(level => level === 1).length !== 1 || levels[0] !== 1) faults.push('not one h1 at the top');
    levels.forEach((level, at) => { if (level > levels[at - 1] + 1) faults.push(`an h${level} without one above`) });
    if (!document.documentElement.lang || !document.title) faults.push('no language or no title');
    for (const one of all('th')) if (!one.scope) faults.push('a th without scope');
    return faults;
"""


@pytest.fixture
def page(report, browser, request):
    """Open the report in a window of a width, as a phone's may be narrower than any of the system's, light or dark."""

    def open_page(width, scheme="light"):
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
        browser.get((report / "report.html").as_uri())
        ready = "return [...document.images].every(image => image.complete)"
        WebDriverWait(browser, 60).until(lambda browser: browser.execute_script(ready))
        browser.execute_script("document.documentElement.style.scrollBehavior = 'auto'")
        return browser

    return open_page


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_everything_loads_and_fits_and_the_contents_lead_there(page, width):
    """No console error, nothing from outside, nothing wider than the window, every entry of the contents jumps."""
    browser = page(width)
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"] == []
    asked = browser.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
    assert [name for name in asked if not name.startswith("data:")] == []
    widths = browser.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert len(widths) > 25 and min(widths) > 0
    inner, scroll = browser.execute_script("return [innerWidth, document.scrollingElement.scrollWidth]")
    assert inner == width and scroll <= inner
    opened = "document.querySelectorAll('main details').forEach(one => one.open = true)"
    assert browser.execute_script(f"{opened}; return document.scrollingElement.scrollWidth") <= inner

    jumps = """
        return [...document.querySelectorAll('nav a')].map(link => {
            link.click();
            const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
            return target ? [link.textContent, target.getBoundingClientRect().top, scrollY] : [link.textContent];
        })"""
    places = browser.execute_script(jumps)
    assert len(places) > 15 and all(len(place) == 3 for place in places)
    end = browser.execute_script("return document.scrollingElement.scrollHeight - innerHeight")
    assert all(abs(top) < 70 or (scrolled >= end - 1 and top < 800) for _, top, scrolled in places)
    assert len({place[2] for place in places}) > 10


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(page, scheme, width):
    browser = page(width, scheme)
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    texts = browser.execute_script(CONTRAST)
    assert len(texts) > 300
    assert min(texts)[0] >= 4.5, min(texts)
    assert min(size for _, size, _ in texts) >= 12
    shrunk = "return [...document.querySelectorAll('.chart img')].map(one => one.width / one.getAttribute('width'))"
    assert min(browser.execute_script(shrunk)) > 0.8  # lettering stays legible: charts scroll on a phone


def test_nothing_is_without_a_name(page):
    assert page(DESKTOP).execute_script(FAULTS) == []


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_the_contents_follow_the_scroll(page, width):
    browser = page(width)
    current = "return document.querySelector('nav [aria-current]').textContent"
    assert browser.execute_script(current) == "Runs"
    browser.execute_script("document.getElementById('loss-curves').scrollIntoView()")
    WebDriverWait(browser, 5).until(lambda browser: browser.execute_script(current) == "Loss curves")
    nav = browser.find_element(By.TAG_NAME, "nav")
    top, bottom = browser.execute_script(
        "const r = arguments[0].getBoundingClientRect(); return [r.top, r.bottom]", nav
    )
    assert 0 <= top < 20 and bottom <= 800  # it is still there
    link = browser.execute_script("return document.querySelector('nav [aria-current]').getBoundingClientRect().bottom")
    if width == DESKTOP:
        assert top < link < bottom
    else:
        assert nav.text == "Contents: Loss curves" and bottom < 60
        nav.find_element(By.TAG_NAME, "summary").click()
        nav.find_element(By.LINK_TEXT, "Runs").click()
        assert browser.execute_script("return document.getElementById('runs').getBoundingClientRect().top") < 70
        assert nav.find_element(By.TAG_NAME, "a").is_displayed() is False


def look_of(image):
    """What the browser shows of an image, float (64, 64)."""
    with Image.open(BytesIO(image.screenshot_as_png)) as shown:
        return np.asarray(shown.convert("L").resize((64, 64)), float)


def test_grids_of_two_methods_stand_side_by_side_where_there_is_room(page):
    grids = """
        return [...document.querySelectorAll('figure')].filter(one => one.textContent.includes('the first 32 faces'))
            .map(one => [...one.querySelectorAll('img, figcaption')].map(part => part.getBoundingClientRect()))"""
    (a, a_caption), (b, b_caption) = page(DESKTOP).execute_script(grids)
    assert a["top"] == b["top"] and a["right"] < b["left"] and a["width"] == pytest.approx(b["width"], abs=1)
    for picture, caption in ((a, a_caption), (b, b_caption)):
        assert caption["top"] >= picture["bottom"] and caption["left"] <= picture["left"]
        assert picture["right"] - 1 <= caption["right"] and picture["width"] > 350
    (a, a_caption), (b, _) = page(PHONE).execute_script(grids)
    assert b["top"] > a_caption["bottom"] > a["bottom"] and a["left"] == b["left"]


@pytest.mark.parametrize("alt", ["same noise vectors over the training, as a film", "reverse process as a film"])
def test_a_slider_goes_through_a_film(page, alt):
    browser = page(DESKTOP)
    figure = browser.find_element(By.XPATH, f"//figure[contains(@class, 'film')][.//img[contains(@alt, '{alt}')]]")
    image, slider, output = (figure.find_element(By.TAG_NAME, tag) for tag in ("img", "input", "output"))
    last = output.text
    frames, width, height, shown = browser.execute_script(
        "const [image, slider] = arguments;"
        "return [Number(slider.max) + 1, image.naturalWidth, image.naturalHeight, image.width / image.height]",
        *(image, slider),
    )
    assert frames >= 2 and height % frames == 0 and shown == pytest.approx(width / height * frames, rel=0.01)
    looks = [look_of(image)]
    slider.send_keys(Keys.HOME)
    looks.append(look_of(image))
    assert output.text != last and slider.get_attribute("aria-valuetext") == output.text
    slider.send_keys(Keys.END)
    assert output.text == last
    assert abs(look_of(image) - looks[0]).mean() < 2 < 4 < abs(looks[1] - looks[0]).mean()


def test_tables_sort(page):
    browser = page(DESKTOP)
    table = browser.find_element(By.TAG_NAME, "table")

    def cells(column):
        texts = "return [...arguments[0].tBodies[0].rows].map(row => row.cells[arguments[1]].textContent)"
        return browser.execute_script(texts, table, column)

    names = [name.text for name in table.find_elements(By.TAG_NAME, "th")]
    order, epochs = cells(0), names.index("epochs")
    button = table.find_elements(By.CSS_SELECTOR, "thead button")
    button[epochs].click()
    assert cells(epochs) == sorted(cells(epochs), key=float) and cells(0) != order
    assert table.find_element(By.CSS_SELECTOR, "[aria-sort=ascending]").text.startswith("epochs")
    button[epochs].click()
    assert cells(epochs) == sorted(cells(epochs), key=float, reverse=True)
    button[0].click()
    assert cells(0) == sorted(order) and len(table.find_elements(By.CSS_SELECTOR, "[aria-sort]")) == 1


def test_tables_sort_by_number_and_unit_and_leave_empty_cells_last(page):
    browser = page(DESKTOP)
    cells = ["4.4 h", "", "51 min", "10 s", "–", "1,200 s"]
    fill = """
        const body = document.querySelector('tbody'), row = body.rows[0];
        body.replaceChildren(...arguments[0].map(text => {
            const one = row.cloneNode(true); one.cells[1].textContent = text; return one; }));
        document.querySelectorAll('thead button')[1].click();
        return [...body.rows].map(one => one.cells[1].textContent)"""
    assert browser.execute_script(fill, cells) == ["10 s", "1,200 s", "51 min", "4.4 h", "", "–"]
    assert browser.execute_script(fill, ["98.3 ± 0.2", "9.5", "-1"]) == ["98.3 ± 0.2", "9.5", "-1"]  # now descending


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_a_picture_is_enlarged_and_made_small_again(page, width):
    browser = page(width)
    dialog = browser.find_element(By.TAG_NAME, "dialog")
    for kind in ("chart", "film"):
        figure = browser.find_element(By.CSS_SELECTOR, f"figure.{kind}")
        before = figure.find_element(By.TAG_NAME, "img").size["width"]
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", figure)
        figure.find_element(By.TAG_NAME, "button").click()
        large = dialog.find_element(By.TAG_NAME, "img")
        assert dialog.is_displayed() and large.size["width"] >= 1.02 * before, kind
        if kind == "film":
            dialog.find_element(By.TAG_NAME, "input").send_keys(Keys.HOME)
            assert dialog.find_element(By.TAG_NAME, "output").text != figure.find_element(By.TAG_NAME, "output").text
            dialog.send_keys(Keys.ESCAPE)
        else:
            large.click()
        assert not dialog.is_displayed()
