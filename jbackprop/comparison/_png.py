"""The plots of a comparison as a PNG file, by matplotlib (the extra `plots`)."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ._axes import named, padded, ticks
from ._series import dots, panels
from ._tables import origin

if TYPE_CHECKING:
    from ._data import Comparison

_STYLES = (
    {"color": "#0a66c2", "marker": "o", "linestyle": "-"},
    {"color": "#c2570a", "marker": "s", "linestyle": "--"},
)
_SOFT, _EVEN, _GRID = "#57606a", "#8c959f", "#d8dee4"
_RATIO = "automatic time / manual time: right of 1, the manual gradient is faster; grey: too close to tell"
_FOOT = 0.3  # inches


def write(comparisons: Sequence["Comparison"], path: str | os.PathLike) -> None:
    """Time and memory against the size for one sweep, and otherwise the ratio of times of each function."""
    sweeps = panels(comparisons)
    figure = _sweep(*sweeps[0]) if len(sweeps) == 1 else _ratios(dots(comparisons), _title(comparisons))
    figure.text(0.01, 0.08 / figure.get_figheight(), "; ".join(origin(comparisons)), fontsize=7, color=_SOFT)
    figure.savefig(path, format="png", dpi=150)


def check_available() -> None:
    """ImportError, with what to install, where matplotlib is not there."""
    _figure(1, 1)


def _figure(width, height):
    """An empty figure of so many inches, with its foot left free."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("PNG plots want matplotlib: pip install 'jbackprop[plots]'") from None
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("constrained", rect=(0, _FOOT / height, 1, 1 - _FOOT / height))
    return figure


def _title(comparisons):
    return comparisons[0].title if len(comparisons) == 1 else "Whole gradient"


def _sweep(name, plots):
    figure = _figure(12, 7)
    figure.suptitle(f"{name} against its size n")
    for axes, plot in zip(figure.subplots(2, 3).flat, plots, strict=True):
        _draw(axes, plot)
    return figure


def _draw(axes, plot):
    axes.set(title=plot.title, xlabel="n", xscale="log", yscale="log")
    for line, style in zip(plot.lines, _STYLES, strict=True):
        axes.plot(line.x, line.y, label=line.label, **style)
        axes.fill_between(line.x, line.low, line.high, color=style["color"], alpha=0.18, linewidth=0)
    sizes = sorted({x for line in plot.lines for x in line.x})
    _ticked(axes.xaxis, sizes, "")
    figures = [y for line in plot.lines for y in (*line.low, *line.high)]
    if figures:
        axes.set_ylim(*padded(figures))
        _ticked(axes.yaxis, ticks(*padded(figures)), plot.unit)
    axes.legend(frameon=False)


def _ticked(axis, values, unit):
    axis.set_ticks(values, [named(value, unit) for value in values])
    axis.set_ticks([], minor=True)
    axis.grid(color=_GRID, linewidth=0.6)


def _ratios(shown, title):
    figure = _figure(9, 1.5 + _FOOT + 0.24 * len(shown))
    axes = figure.subplots()
    axes.axvline(1, color=_SOFT, linewidth=1)
    for row, dot in enumerate(shown):
        color = {"manual": _STYLES[0]["color"], "automatic": _STYLES[1]["color"], "neither": _EVEN}[dot.faster]
        axes.plot((dot.low, dot.high), (row, row), color=color)
        axes.plot(dot.middle, row, color=color, marker="o")
    axes.set(title=title, xscale="log", xlabel=_RATIO)
    ends = padded([1.0, *(x for dot in shown for x in (dot.low, dot.high))])
    axes.set_xlim(*ends)
    _ticked(axes.xaxis, ticks(*ends), "")
    axes.set_yticks(range(len(shown)), [dot.label for dot in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    return figure
