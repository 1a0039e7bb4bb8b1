"""A comparison as one page: tables, and plots as inline SVG.  It loads nothing from elsewhere and runs no script."""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import _svg
from ._baseline import changes
from ._series import dots, panels
from ._tables import Table, details, notes, origin, tables

if TYPE_CHECKING:
    from ._data import Comparison

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --soft: #57606a; --grid: #d8dee4;
  --even: #8c959f; --manual: #0a66c2; --automatic: #c2570a; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e6e9ec; --soft: #9aa4ae; --grid: #30363d;
  --manual: #62aaf5; --automatic: #f0a35a; } }
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .3rem; }
p { color: var(--soft); margin: .4rem 0; max-width: 60rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0 1rem; font-variant-numeric: tabular-nums; font-size: 13px; }
caption { text-align: left; color: var(--soft); padding: .3rem 0; }
th, td { padding: .22rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--grid); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { border-bottom: 2px solid var(--soft); }
summary { cursor: pointer; padding: .25rem 0; }
.plots { display: flex; flex-wrap: wrap; gap: .5rem; }
svg { max-width: 100%; height: auto; } svg text { font: 11px system-ui, sans-serif; fill: var(--soft); }
svg text.title { font-size: 13px; font-weight: 600; fill: var(--ink); }
.grid { stroke: var(--grid); } .one { stroke: var(--soft); stroke-width: 1.5; }
.manual { fill: var(--manual); } .automatic { fill: var(--automatic); } .neither { fill: var(--even); }
.line-manual { stroke: var(--manual); fill: none; stroke-width: 2; }
.line-automatic { stroke: var(--automatic); fill: none; stroke-width: 2; stroke-dasharray: 6 4; }
.fill-manual { fill: var(--manual); opacity: .18; } .fill-automatic { fill: var(--automatic); opacity: .18; }
.band-manual { stroke: var(--manual); stroke-width: 2; } .band-automatic { stroke: var(--automatic); stroke-width: 2; }
.band-neither { stroke: var(--even); stroke-width: 2; }
.key { display: flex; gap: 1.5rem; color: var(--soft); } .key svg { vertical-align: middle; }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>{style}</style></head>
<body>
{body}
</body>
</html>
"""

_KEY = """<p class="key"><span><svg width="34" height="10"><line class="line-manual" x1="0" y1="5" x2="34" y2="5"/>
<circle class="manual" cx="17" cy="5" r="4"/></svg> manual</span>
<span><svg width="34" height="10"><line class="line-automatic" x1="0" y1="5" x2="34" y2="5"/>
<rect class="automatic" x="13.5" y="1.5" width="7" height="7"/></svg> {other}</span>
<span>bands: quartiles</span></p>"""


def render(comparisons: Sequence["Comparison"], baseline: Sequence["Comparison"] | None = None) -> str:
    """The page: plots first, then one row for each comparison, then each in full."""
    title = comparisons[0].title if len(comparisons) == 1 else "Manual and automatic gradients"
    remarks = [f"<p>{html.escape(remark)}</p>" for remark in [*origin(comparisons), *notes(comparisons)]]
    changed = [] if baseline is None else [_table(changes(baseline, comparisons))]
    body = [f"<h1>{html.escape(title)}</h1>", *remarks, *_overview(comparisons), *changed, *_parts(comparisons)]
    return _PAGE.format(title=html.escape(title), style=_STYLE, body=_joined(body))


def _overview(comparisons):
    yield from _sweeps(comparisons)
    of = "" if len(comparisons) == 1 else " of the whole gradient"
    yield f'<h2>Ratio of times{of}</h2><div class="wide">{_svg.ratios(dots(comparisons))}</div>'
    if len(comparisons) > 1:
        yield f"<h2>Summary</h2>{_joined(map(_table, tables(comparisons)))}"


def _sweeps(comparisons):
    for name, plots in panels(comparisons):
        key = _KEY.format(other=html.escape(comparisons[0].automatic.label))
        drawn = _joined(map(_svg.panel, plots))
        yield f'<h2>{html.escape(name)} against its size n</h2>{key}<div class="plots">{drawn}</div>'


def _parts(comparisons):
    if len(comparisons) == 1:
        yield _full(comparisons[0])
        return
    yield "<h2>Each in full</h2>"
    for c in comparisons:
        yield f"<details><summary>{html.escape(c.title)}</summary>{_full(c)}</details>"


def _full(c):
    return f"<p><code>{html.escape(', '.join(c.arguments))}</code></p>{_joined(map(_table, details(c)))}"


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.head)
    rows = _joined(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    caption = f"<caption>{html.escape(table.caption)}</caption>"
    return f'<div class="wide"><table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>'


def _joined(parts):
    return "\n".join(parts)
