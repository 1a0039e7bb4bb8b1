"""A run's plots, drawn from its metrics.jsonl alone."""

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from . import runs
from .runs import Run

STROKES = {
    "manual": {"linewidth": 5, "alpha": 0.35, "solid_capstyle": "butt"},
    "automatic": {"linewidth": 1.2},
}
"""Two curves that agree lie on each other: the thin automatic one inside the wide manual one."""

MOST_NAMES = 12
"""Of more layers than these the legend names the first and the last."""

RESOLUTION = 120
"""Dots an inch."""


def draw(run: Run) -> list[Path]:
    """Draws what the run's lines hold; the paths of the pictures."""
    lines = run.metrics()
    copies = {name: [line for line in lines if line["backward"] == name] for name in STROKES}
    copies = {name: own for name, own in copies.items() if own}
    drawn = [save(_training(copies), run.folder / "training.png")]
    if "manual" in copies:
        drawn.append(save(_deltas(copies["manual"]), run.folder / "deltas.png"))
    return drawn


def _training(copies):
    """Cost and score over time."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    cost, score = figure.subplots(1, 2)
    name_of_score = _score(next(iter(copies.values())))
    for name, lines in copies.items():
        _curve(cost, lines, "cost", f"training, {name}", color="C0", **STROKES[name])
        _curve(cost, lines, "held_out_cost", f"held out, {name}", color="C1", **STROKES[name])
        _curve(score, lines, f"held_out_{name_of_score}", name, color="C1", **STROKES[name])
    label(cost, "cost, the mean over the examples", log=True)
    label(score, f"{name_of_score} on the held-out examples")
    return figure


def _score(lines):
    """The name of what is told of the held-out examples beside the cost."""
    names = [key.removeprefix("held_out_") for key in lines[0] if key.startswith("held_out_")]
    return next((name for name in names if name != "cost"), "cost")


def _deltas(lines):
    """‖δˡ‖ of each layer over time, dark at the input and light at the output."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    names = list(lines[0]["delta_norms"])
    for i, name in enumerate(names):
        norms = [line["delta_norms"][name] for line in lines]
        named = len(names) <= MOST_NAMES or i in (0, len(names) - 1)
        style = {"label": f"layer {name}" if named else None, "color": _shade(i, len(names)), "marker": _marker(lines)}
        axes.plot([line["epoch"] for line in lines], norms, **style)
    label(axes, "‖δˡ‖ of a batch, the mean over the epoch", log=True)
    return figure


def _curve(axes, lines, key, label, **style):
    axes.plot(
        [line["epoch"] for line in lines], [line[key] for line in lines], marker=_marker(lines), label=label, **style
    )


def _marker(lines):
    """A single epoch draws no line."""
    return "o" if len(lines) == 1 else None


def label(axes: Axes, title: str, log: bool = False, over: str = "epoch") -> None:
    """Finishes a plot over epochs, or over something else that is counted; it may be of the logarithm."""
    axes.set_title(title, fontsize="medium")
    axes.set_xlabel(over)
    axes.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="best", frameon=False)  # by name, since a slow search would warn
    if log:
        axes.set_yscale("log")


def _shade(i, count):
    return matplotlib.colormaps["viridis"](0.85 * i / max(count - 1, 1))


def save(figure: Figure, path: Path) -> Path:
    """Writes a picture and tells where."""
    with runs.naming(path):
        figure.savefig(path, dpi=RESOLUTION)
    return path
