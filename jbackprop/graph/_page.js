"use strict";
const parts = JSON.parse(document.getElementById("data").textContent);
const opened = parts.length > 1 && location.hash.startsWith("#open");  // each call written out, or one node
const data = parts[Number(opened)];
const figure = document.querySelectorAll(".figure")[Number(opened)];
document.querySelectorAll(".figure").forEach(other => { other.hidden = other !== figure; });
const steps = data.steps;
const find = id => document.getElementById(id);
const values = new Map(steps.flatMap((step, k) => "value" in step ? [[step.value, k + 1]] : []));
const edges = new Map(steps.flatMap((step, k) => "edge" in step ? [[step.edge, k + 1]] : []));
const backward = values.size;
const scalar = /^text$/i;
let at = 0;
let kept = null;  // what was last clicked stays in the panel until the next step

for (const text of figure.querySelectorAll("text.gradient")) text.dataset.final = text.textContent;

function showValue(node, number) {
  const shown = (values.get(number) ?? 0) <= at;
  node.querySelectorAll(".value").forEach(value => value.classList.toggle("later", !shown));
}

function showGradient(node, number) {
  const last = steps.slice(0, at).findLast(step => step.node === number);
  const silent = !steps.some(step => step.node === number) && at > backward;
  const shown = silent || Boolean(last);
  for (const gradient of node.querySelectorAll(".gradient")) {
    const text = scalar.test(gradient.tagName);
    gradient.classList.toggle("later", !(shown && (text || silent || last.done)));
    if (text) gradient.textContent = silent || !last ? gradient.dataset.final : last.sum;
  }
}

function show(step) {
  at = Math.max(0, Math.min(steps.length, step));
  const now = steps[at - 1];
  for (const node of figure.querySelectorAll(".node")) {
    const number = Number(node.dataset.node);
    showValue(node, number);
    showGradient(node, number);
    node.classList.toggle("now", Boolean(now) && (now.value ?? now.node) === number);
  }
  for (const edge of figure.querySelectorAll(".edge")) {
    const number = Number(edge.dataset.edge);
    edge.classList.toggle("unsent", (edges.get(number) ?? Infinity) > at);
    edge.classList.toggle("now", Boolean(now) && now.edge === number);
  }
  find("first").disabled = find("back").disabled = at === 0;
  find("next").disabled = find("last").disabled = at === steps.length;
  const way = at === 0 ? "inputs" : at <= backward ? "forward" : "backward";
  find("place").textContent = `${at} / ${steps.length} ${way}`;
  kept = null;
  rest();
  reveal();
}

function rest() {
  find("equation").textContent = kept !== null ? kept : at ? steps[at - 1].text
    : "▶ computes the next value; after the last one, the messages go back.";
}

function reveal() {
  const node = [...figure.querySelectorAll(".node.now")].find(node => node.getClientRects().length);
  if (!node) return;
  const [outer, inner] = [figure.getBoundingClientRect(), node.getBoundingClientRect()];
  figure.scrollLeft += inner.left + inner.width / 2 - outer.left - outer.width / 2;
  const low = find("equation").closest(".panel").getBoundingClientRect().top;
  if (inner.top < 0 || inner.bottom > low) {
    scrollBy(0, inner.top + inner.height / 2 - low / 2);
  }
}

function tell(kind, element) {
  const lines = data[kind + "s"][Number(element.dataset[kind])];
  find("equation").textContent = lines.join("\n");
}

for (const kind of ["node", "edge"]) {
  for (const element of figure.querySelectorAll("." + kind)) {
    for (const event of ["mouseenter", "focus"]) {
      element.addEventListener(event, () => tell(kind, element));
    }
    element.addEventListener("click", () => {
      tell(kind, element);
      kept = find("equation").textContent;
    });
    element.addEventListener("mouseleave", rest);
    if (kind === "node") element.setAttribute("tabindex", "0");
    element.querySelector("title").remove();  // the panel says it
  }
}
find("first").onclick = () => show(0);
find("back").onclick = () => show(at - 1);
find("next").onclick = () => show(at + 1);
find("last").onclick = () => show(steps.length);
const steers = { ArrowRight: () => show(at + 1), ArrowLeft: () => show(at - 1), Home: () => show(0),
  PageDown: () => show(at + 1), PageUp: () => show(at - 1),  // what a presenter's remote control sends
  End: () => show(steps.length), "+": () => zoom(1.25), "-": () => zoom(0.8), 0: fit, p: project };
addEventListener("keydown", event => {
  const steer = steers[event.key];
  if (steer && !event.ctrlKey && !event.altKey && !event.metaKey) {
    event.preventDefault();
    steer();
  }
});

let scale = 1;

function zoom(factor) {
  scale = Math.max(0.2, Math.min(4, scale * factor));
  for (const drawn of figure.querySelectorAll("svg")) {
    drawn.setAttribute("width", drawn.viewBox.baseVal.width * scale);
    drawn.setAttribute("height", drawn.viewBox.baseVal.height * scale);
  }
  reveal();
}

// As wide as the window, but not so small that nobody can read it.
function fit() {
  const drawn = [...figure.querySelectorAll("svg")].find(drawn => drawn.getClientRects().length);
  const room = figure.clientWidth - 10;
  const most = document.body.classList.contains("projected") ? 2.5 : 1;
  zoom(Math.max(0.75, Math.min(most, room / drawn.viewBox.baseVal.width)) / scale);
}

function project() {
  const on = document.body.classList.toggle("projected");
  find("project").setAttribute("aria-pressed", on);
  fit();
}
find("smaller").onclick = () => zoom(0.8);
find("larger").onclick = () => zoom(1.25);
find("fit").onclick = fit;
find("project").onclick = project;

let touched = null;
const panel = document.querySelector(".panel");
panel.addEventListener("touchstart", event => { touched = event.changedTouches[0]; }, { passive: true });
panel.addEventListener("touchend", event => {
  const [x, y] = ["clientX", "clientY"].map(side => event.changedTouches[0][side] - touched[side]);
  if (Math.abs(x) > 40 && Math.abs(x) > 2 * Math.abs(y)) show(at + (x < 0 ? 1 : -1));
});
const calls = find("calls");
if (calls) {
  calls.textContent = opened ? "close calls" : "open calls";
  calls.onclick = () => {
    location.hash = opened ? "#end" : "#open-end";
    location.reload();
  };
}
addEventListener("resize", fit);
fit();
const place = location.hash.replace(/^#(open-?)?/, "");
show(place === "end" ? steps.length : Number(place) || 0);
