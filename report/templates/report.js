"use strict";
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// The contents follow the scroll: the entry of the last heading above a line near the top is the current one.
const contents = document.querySelector("nav");
const entries = all("a", contents).map(link => [link, document.getElementById(link.hash.slice(1))]);
const narrow = matchMedia("(max-width: 70rem)");
function follow() {
  const passed = entries.filter(([, heading]) => heading.getBoundingClientRect().top < 72);
  const current = (passed.at(-1) ?? entries[0])[0];
  if (current.hasAttribute("aria-current")) return;
  entries.forEach(([link]) => link.removeAttribute("aria-current"));
  current.setAttribute("aria-current", "true");
  contents.scrollTop = current.offsetTop - contents.offsetTop - contents.clientHeight / 2;
  if (narrow.matches) contents.querySelector("summary span").textContent = ": " + current.textContent;
}
const fold = () => { contents.querySelector("details").open = !narrow.matches; };
narrow.addEventListener("change", fold);
addEventListener("scroll", () => requestAnimationFrame(follow), { passive: true });
contents.addEventListener("click", event => { if (event.target.closest("a")) fold(); });
fold();
follow();

// Tables sort by the column whose name is pressed: by number, in its unit of time, otherwise as text; empty cells last.
const seconds = { s: 1, min: 60, h: 3600, d: 86400 };
function value(row, column) {
  const text = row.cells[column].textContent.trim();
  const number = text.match(/^[-+]?\d[\d,]*\.?\d*/);
  const unit = text.match(/^\S+ (s|min|h|d)$/);
  return number ? Number(number[0].replaceAll(",", "")) * (unit ? seconds[unit[1]] : 1) : text;
}
function compare(a, b) {
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(b, "en", { numeric: true });
}
function sort(name) {
  const rows = all("tbody tr", name.closest("table"));
  const way = name.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  all("[aria-sort]", name.parentNode).forEach(other => other.removeAttribute("aria-sort"));
  name.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
  const blank = row => ["", "–"].includes(value(row, name.cellIndex));
  const order = (a, b) => blank(a) - blank(b) || way * compare(value(a, name.cellIndex), value(b, name.cellIndex));
  rows.sort(order).forEach(row => row.parentNode.append(row));
}

// A picture is pressed to enlarge it, and once more to have it small again; its slider goes along.
const dialog = document.querySelector("dialog");
function enlarge(figure) {
  dialog.replaceChildren(figure.cloneNode(true));
  all("input", dialog).forEach(slider => { slider.value = figure.querySelector("input").value; });
  dialog.showModal();
}
document.addEventListener("click", event => {
  if (event.target === dialog || event.target.closest("dialog button")) dialog.close();
  else if (event.target.closest("figure button")) enlarge(event.target.closest("figure"));
  else if (event.target.closest("th button")) sort(event.target.closest("th"));
});

// A slider shows one frame of a film: the window moves over the strip.
document.addEventListener("input", ({ target: slider }) => {
  const figure = slider.closest("figure"), title = slider.dataset.titles.split("|")[slider.value];
  figure.querySelector("img").style.setProperty("--at", `${100 * slider.value / slider.max}%`);
  figure.querySelector("output").textContent = title;
  slider.setAttribute("aria-valuetext", title);
});
