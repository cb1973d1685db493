"""Markup in whatever the report reads: it is shown as text, and nothing of it is executed."""

import json
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np

from report.page import TEMPLATES
from runtime.images import save_png
from tests.faults.commands import call
from tests.report.made_runs import DIGITS, DSN, FACES, write_run, write_scores

KIND = "markup in the report"
# None has a slash, so that all can be names of files; what runs would give the page another title.
MARKUP = {
    "script": "<script>document.title = 'sprung'<",
    "image": "<img src=x onerror=document.title='sprung'>",
    "vector": "<svg onload=document.title='sprung'>",
    "attribute": "\" onmouseover=\"document.title='sprung'\" autofocus onfocus=\"document.title='sprung'",
    "end": "'\"><iframe srcdoc='<script>parent.document.title = 1'>",
    "style": "<style>*{display: none}<",
    "entity": "&lt;script&gt;&#60;img src=x onerror=document.title='sprung'&#62;",
    "code": "`<img src=x onerror=document.title='sprung'>`<b>",
    "fence": "```\n<img src=x onerror=document.title='sprung'>\n```",
    "link": "[x](javascript:document.title='sprung')![x](x)",
    "template": "{{ 7 * 7 }}{% for x in y %}{{ config }}",
    "mathematics": r"$\frac{$ $x_1$ \undefined{",
    "format": "%s {0} {run} \\1 \\g<0>",
    "letters": "ü\u202e\u2028\x07",
}
TAGS = set(re.findall(r"<(\w+)", (TEMPLATES / "report.html.j2").read_text()))


class Elements(HTMLParser):
    """The elements of a page, and what in them could be executed or fetched."""

    def __init__(self, page):
        super().__init__()
        self.dangers, self.counts = [], Counter()
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.counts[tag] += 1
        wild = [name for name, _ in attributes if name.startswith("on") or name in ("srcdoc", "action", "formaction")]
        places = [value for name, value in attributes if name in ("href", "src")]
        wild += [place for place in places if not place.startswith(("#", "data:image/", "data:,"))]
        if tag not in TAGS or wild or max(self.counts["style"], self.counts["script"]) > 1:
            self.dangers.append((tag, *wild))


def hostile_run(root, text, kind):
    """A run whose name, settings, logged names, command, hardware and network are or hold `text`."""
    name = text.replace("\n", " ")
    lines = [(step, {text: 1 / step, "d_loss": 1.0}) for step in (1, 2, 10)]
    settings = {text: text, "networks": text, "name": text, "data": text, "domain": text, "width": 1}
    if kind == "digits":
        folder = write_run(root / f"digits {name}", "acgan28", settings, lines=lines, **DIGITS)
    elif kind == "adapted":
        settings |= {"method": "dsn", "network": text, "source": text, "target": f"{text} too"}
        folder = write_run(root / name / "adapted", "dsn", settings, lines=lines, **DSN)
        write_scores(folder, "dsn", text, f"{text} too", 0.5)
        vote = json.loads((folder / "scores.json").read_text()) | {"scores": {text: {"val": 0.5, "test": 0.5}}}
        (root / f"vote {name}").mkdir()
        (root / f"vote {name}" / "scores.json").write_text(json.dumps(vote))
    else:
        folder = write_run(root / f"other {name}", text, settings, lines=lines, **FACES)
        save_png(folder / f"samples {name}" / f"{name}.png", np.zeros((64, 64, 3), np.uint8))
        for empty in ("damaged", "nothing"):
            (root / f"{empty} {name}").mkdir()
        (root / f"damaged {name}" / "config.json").write_text(text)
        (folder / "curve.json").write_text(text)
    content = json.loads((folder / "config.json").read_text())
    about = {"commit": text, "hardware": text, "commands": [text], "versions": {text: text}}
    (folder / "config.json").write_text(json.dumps(content | about))
    (folder / "networks.txt").write_text(f"{text}\n\n{text * 3}")
    if kind != "adapted":
        (folder / "weights.safetensors").unlink()


def markup_left(page):
    """What a reader of Markdown would take for markup: `page` without its code and what is escaped."""
    left, fence = [], ""
    for line in page.split("\n"):
        mark = re.match(r"(?:> )?(`{3,})", line)
        if mark and not fence:
            fence = mark[1]
        elif fence:
            fence = "" if line.removeprefix("> ").strip() == fence else fence
        else:
            left.append(re.sub(r"\\.|(?<!`)`[^`]+`(?!`)", "", line))
    assert not fence
    return re.findall(r"<.*|`.*|\]\((?!#|figures/).*", "\n".join(left))


KINDS = ("digits", "adapted", "other")


def pytest_generate_tests(metafunc):
    metafunc.parametrize("turn", range(len(KINDS)) if metafunc.config.getoption("--faults") else [0])


def test_markup_is_text(turn, fault, browser, tmp_path, campaign):
    chosen = list(MARKUP) if campaign else ["image", "mathematics", "fence"]
    for number, name in enumerate(chosen):
        hostile_run(tmp_path / "runs", MARKUP[name], KINDS[(number + turn) % len(KINDS)])
    status, err = call("report.build", "--runs", tmp_path / "runs", "--out", tmp_path / "out", "--device", "cpu")
    elements, dangers = [], []
    if not status:
        elements = Elements((tmp_path / "out" / "report.html").read_text()).dangers
        dangers = markup_left((tmp_path / "out" / "report.md").read_text())
    executed = look(browser, tmp_path / "out" / "report.html") if not status else []
    for number, name in enumerate(chosen):
        with fault(KIND, f"{name} in {KINDS[(number + turn) % len(KINDS)]}"):
            assert status == 0 and "Traceback" not in err, err
            assert not elements and not dangers and not executed


def look(browser, page):
    """What is executed or complained of when `page` is opened and everything in it is touched."""
    browser.get(page.as_uri())
    for event in ("mouseover", "focus"):
        touch = f"document.querySelectorAll('*').forEach(one => one.dispatchEvent(new Event('{event}')))"
        browser.execute_script(touch)
    found = [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"]
    if browser.title != "Faces and digits: what was run":
        found.append(browser.title)
    return found + ["script"] * browser.execute_script("return document.scripts.length > 1 || frames.length > 0")
