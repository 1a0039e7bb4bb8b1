"""Plots on logarithmic axes as inline SVG, drawn in the page's own colours."""

import html
import math
from collections.abc import Sequence

from ._axes import named, padded, ticks
from ._series import Dot, Panel

_WIDTH, _HEIGHT = 360, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 30, 40
_ROW = 22
_SIDES = ("manual", "automatic")


def panel(plot: Panel) -> str:
    """Lines with their quartile bands; the two sides differ in colour, dash and mark."""
    lines = [line for line in plot.lines if line.x]
    absent = [line.label for line in plot.lines if not line.x]
    parts = [_text(_LEFT + 8, _TOP + 16 * i, label, "start") for i, label in enumerate(absent, start=1)]
    return _frame(_WIDTH, _HEIGHT, plot.title, [*(_curves(plot, lines) if lines else ()), *parts])


def _curves(plot, lines):
    """The axes, and each line in the looks of its side."""
    x_range = padded([x for line in lines for x in line.x])
    y_range = padded([y for line in lines for y in (*line.low, *line.high)])
    x, y = _scale(x_range, _LEFT, _WIDTH - _RIGHT), _scale(y_range, _HEIGHT - _BOTTOM, _TOP)
    sizes = sorted({size for line in lines for size in line.x})
    yield from _size_axis(sizes, x)
    yield from _figure_axis(y_range, y, plot.unit)
    for side, line in zip(_SIDES, plot.lines, strict=True):
        yield from _drawn(line, side, x, y)


def ratios(dots: Sequence[Dot]) -> str:
    """A dot with a whisker for each function; right of the line at 1 the manual gradient is faster."""
    left = 24 + 7 * max(len(dot.label) for dot in dots)
    width, height = 2 * _WIDTH + left, _ROW * len(dots) + _TOP + _BOTTOM
    low, high = padded([1.0, *(x for dot in dots for x in (dot.low, dot.high))])
    x = _scale((low, high), left, width - _RIGHT - 10)
    parts = []
    for tick in ticks(low, high):
        parts.append(_line(x(tick), _TOP, x(tick), height - _BOTTOM, "one" if tick == 1 else "grid"))
        parts.append(_text(x(tick), height - _BOTTOM + 16, f"{tick:g}", "middle"))
    for i, dot in enumerate(dots):
        parts += _whisker(dot, left, x, _TOP + _ROW * (i + 0.5))
    title = "automatic time / manual time: right of 1, the manual gradient is faster; grey: too close to tell"
    return _frame(width, height, title, parts)


def _whisker(dot, left, x, y):
    return [
        _text(left - 8, y + 4, dot.label, "end"),
        _line(x(dot.low), y, x(dot.high), y, f"band-{dot.faster}"),
        f'<circle class="{dot.faster}" cx="{x(dot.middle):.1f}" cy="{y:.1f}" r="4"/>',
    ]


def _drawn(line, side, x, y):
    points = [(x(a), y(b)) for a, b in zip(line.x, line.y, strict=True)]
    band = [(x(a), y(b)) for a, b in zip(line.x, line.low, strict=True)]
    band += [(x(a), y(b)) for a, b in reversed(list(zip(line.x, line.high, strict=True)))]
    yield f'<polygon class="fill-{side}" points="{_points(band)}"/>'
    yield f'<polyline class="line-{side}" points="{_points(points)}"/>'
    for a, b in points:
        yield _mark(side, a, b)


def _mark(side, x, y):
    if side == "manual":
        return f'<circle class="manual" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    return f'<rect class="automatic" x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7"/>'


def _size_axis(sizes, x):
    shown = sizes if len(sizes) <= 6 else sizes[:: math.ceil(len(sizes) / 6)]
    for size in shown:
        yield _line(x(size), _TOP, x(size), _HEIGHT - _BOTTOM, "grid")
        yield _text(x(size), _HEIGHT - _BOTTOM + 16, f"{size:g}", "middle")
    yield _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, "n", "middle")


def _figure_axis(bounds, y, unit):
    for tick in ticks(*bounds):
        yield _line(_LEFT, y(tick), _WIDTH - _RIGHT, y(tick), "grid")
        yield _text(_LEFT - 6, y(tick) + 4, named(tick, unit), "end")


def _scale(bounds, start, stop):
    low, high = map(math.log10, bounds)
    return lambda value: start + (math.log10(value) - low) / (high - low) * (stop - start)


def _points(points):
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _line(x1, y1, x2, y2, kind):
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x, y, words, anchor):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(words)}</text>'


def _frame(width, height, title, parts):
    heading = f'<text class="title" x="{_LEFT if width == _WIDTH else 8}" y="18">{html.escape(title)}</text>'
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg {size} role="img" aria-label="{html.escape(title)}">{heading}{"".join(parts)}</svg>'
