"""Plots by matplotlib (the extra `plots`): inline in a page, or all of a document in one SVG or PNG.

Text stays text in SVG, and every colour has a name there, so that a page's style sheet decides about light and dark.
"""

import io
import itertools
import math
import re
import textwrap
from html import escape

from . import _numbers as say
from ._document import Document, Dots, Figure, Panel, one_line
from ._theme import COLOURS, named, standalone

_MISSING = "Plots want matplotlib: pip install 'jbackprop[plots]'"
_LIGHT = {name: pair[0] for name, pair in COLOURS.items()}
_STYLES = (
    {"color": _LIGHT["first"], "marker": "o", "linestyle": "-"},
    {"color": _LIGHT["second"], "marker": "s", "linestyle": "--"},
    {"color": _LIGHT["good"], "marker": "^", "linestyle": "-."},
)
_SETTINGS = {
    "font.size": 9,
    "text.parse_math": False,  # a name may hold a dollar
    "text.color": _LIGHT["ink"],
    "axes.labelcolor": _LIGHT["soft"],
    "axes.edgecolor": _LIGHT["even"],
    "axes.facecolor": "none",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.xmargin": 0.08,
    "axes.ymargin": 0.12,
    "axes.axisbelow": True,
    "xtick.color": _LIGHT["even"],
    "ytick.color": _LIGHT["even"],
    "xtick.labelcolor": _LIGHT["soft"],
    "ytick.labelcolor": _LIGHT["soft"],
    "grid.color": _LIGHT["grid"],
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
    "svg.fonttype": "none",
}
_PANEL, _WIDE = (3.6, 2.6), 9.0
"""Inches: of a panel, and how wide dots are."""
_ROW, _RIMS, _TITLE, _LINE = 0.24, 0.9, 0.35, 0.15
"""Inches: of a dot's row, what is above and below all rows, of a figure's title, of a line of remarks."""

_LONGEST = 64
"""Letters of a label."""


def check_available() -> None:
    """Refuses where matplotlib is missing.

    Raises:
      ImportError: it says what to install.
    """
    _matplotlib()


def inline(plot: Panel | Dots) -> str:
    """A plot as an SVG element for a page; where matplotlib is missing, a line that says so."""
    try:
        return _svg([Figure("", (plot,))], plot.title)
    except ImportError as error:
        return f'<p class="remark">{escape(str(error))}</p>'


def svg(document: Document) -> str:
    """All plots of a document as an SVG file, which follows the reader's light or dark.

    Raises:
      ImportError: matplotlib is missing.
    """
    return standalone(_svg(document.figures, document.title, document.remarks))


def png(document: Document) -> bytes:
    """All plots of a document as a PNG file.

    Raises:
      ImportError: matplotlib is missing.
    """
    return _file(document.figures, document.remarks, format="png", dpi=150, facecolor=_LIGHT["paper"])


def _matplotlib():
    try:
        import matplotlib.figure
        import matplotlib.ticker
    except ImportError:
        raise ImportError(_MISSING) from None
    return matplotlib


def _svg(figures, label, remarks=()):
    """An SVG element: its colours by name, its text as text, and no identifiers but those that it needs itself."""
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    drawn = _file(figures, remarks, format="svg", metadata=metadata).decode()
    drawn = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", drawn[drawn.index("<svg") :], flags=re.DOTALL)
    used = set(re.findall(r"#([\w-]+)", drawn))
    drawn = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", drawn)
    return named(drawn).replace("<svg", f'<svg class="plot" role="img" aria-label="{escape(label)}"', 1)


def _file(figures, remarks, **form):
    """The bytes of a drawing; its name for a shape tells the shapes of several drawings on one page apart."""
    matplotlib, file = _matplotlib(), io.BytesIO()
    with matplotlib.rc_context(_SETTINGS | {"svg.hashsalt": repr(figures)}):
        _drawing(matplotlib, figures, remarks).savefig(file, **form)
    return file.getvalue()


def _drawing(matplotlib, figures, remarks):
    """Rows of plots below one another, and the remarks at the foot."""
    rows = [row for figure in figures for row in _rows(figure)]
    heights = [max(map(_height, plots)) + (_TITLE if title else 0) for title, plots in rows]
    foot = [line for remark in remarks for line in textwrap.wrap(remark, 160)]
    size = max(_width(plots) for _, plots in rows), sum(heights) + _LINE * len(foot)
    drawing = matplotlib.figure.Figure(figsize=size, layout="constrained", facecolor="none")
    drawing.supxlabel("\n".join(foot), x=0.01, ha="left", fontsize=7, color=_LIGHT["soft"])
    for (title, plots), part in zip(rows, _parts(drawing, heights), strict=True):
        part.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        for axes, plot in zip(part.subplots(1, len(plots), squeeze=False).flat, plots, strict=True):
            (_draw_panel if isinstance(plot, Panel) else _draw_dots)(matplotlib, axes, plot)
    return drawing


def _rows(figure):
    """(title, plots) of each row: panels three abreast, dots alone; the first row alone has the title."""
    titles = itertools.chain([figure.title], itertools.repeat(""))
    for kind, group in itertools.groupby(figure.plots, type):
        plots, abreast = list(group), 3 if kind is Panel else 1
        for start in range(0, len(plots), abreast):
            yield next(titles), plots[start : start + abreast]


def _parts(drawing, heights):
    return drawing.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).flat


def _height(plot):
    return _PANEL[1] if isinstance(plot, Panel) else _RIMS + _ROW * len(plot.dots)


def _width(plots):
    return sum(_PANEL[0] if isinstance(plot, Panel) else _WIDE for plot in plots)


def _draw_panel(matplotlib, axes, panel):
    """Lines with their bands, which differ in colour, dash and mark."""
    axes.set(title=panel.title, xlabel=panel.x, xscale="linear" if panel.even else "log", yscale="log")
    for line, style in zip(panel.lines, _STYLES[: len(panel.lines)], strict=True):
        axes.plot(line.x, line.y, label=line.label, markersize=5, **style)
        axes.fill_between(line.x, line.low, line.high, color=style["color"], alpha=0.18, linewidth=0)
    sizes = sorted({x for line in panel.lines for x in line.x})
    shown = sizes[:: math.ceil(len(sizes) / 6) or 1]
    axes.set_xticks(shown, [f"{x:g}" for x in shown])
    axes.set_xticks([], minor=True)
    _ticked(matplotlib, axes.yaxis, _UNITS[panel.unit])
    axes.grid()
    axes.legend(loc="best").set_in_layout(False)  # by name, since a slow search would warn


def _draw_dots(matplotlib, axes, plot):
    """A dot with a whisker for each ratio, in the colour of the side that it speaks for."""
    axes.axvline(1, color=_LIGHT["soft"], linewidth=1)
    for row, dot in enumerate(plot.dots):
        color = _LIGHT["first" if dot.low > 1 else "second" if dot.high < 1 else "even"]
        axes.plot((dot.low, dot.high), (row, row), color=color)
        axes.plot(dot.middle, row, color=color, marker="o", markersize=5)
    axes.set_title(plot.title, color=_LIGHT["soft"], fontweight="normal")
    axes.set(xscale="log", ylim=(len(plot.dots) - 0.5, -0.5))
    axes.set_yticks(range(len(plot.dots)), [_short(dot.label) for dot in plot.dots])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    _ticked(matplotlib, axes.xaxis, _UNITS[""])
    axes.grid(axis="x")


def _short(label):
    """A label that leaves room for what it labels."""
    line = one_line(label)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _ticked(matplotlib, axis, named):
    """A few round numbers with their units on a logarithmic axis: evenly spaced where it spans less than a decade."""
    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    even = matplotlib.ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
    powers = matplotlib.ticker.LogLocator(subs=(1, 2, 5) if decades < 3.5 else (1,), numticks=8)
    axis.set_major_locator(even if decades < 1 else powers)
    axis.set_major_formatter(lambda value, place: named(value))
    axis.set_minor_locator(matplotlib.ticker.NullLocator())


_UNITS = {"s": say.seconds, "B": say.size, "": "{:g}".format}
