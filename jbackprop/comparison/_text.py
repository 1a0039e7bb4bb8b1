"""A comparison for the terminal."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ._baseline import changes
from ._tables import Table, notes, origin, tables

if TYPE_CHECKING:
    from ._data import Comparison

_WIDTH, _NARROWEST = 120, 8


def render(comparisons: Sequence["Comparison"], baseline: Sequence["Comparison"] | None = None) -> str:
    """One comparison in full, or several in one row each; then what changed, and what to know about it all."""
    changed = [] if baseline is None else [changes(baseline, comparisons)]
    remarks = [*origin(comparisons), *(f"note: {note}" for note in notes(comparisons))]
    return "\n\n".join(
        [*_title(comparisons), *map(set_table, [*tables(comparisons), *changed]), "\n".join(map(_filled, remarks))]
    )


def _title(comparisons):
    return [_filled(f"{c.title}({', '.join(c.arguments)})") for c in comparisons] if len(comparisons) == 1 else []


def set_table(table: Table) -> str:
    """The caption, the heads, a rule and the rows; numbers to the right."""
    widths = _widths([table.head, *table.rows])
    rule = "-" * (sum(widths) + len(widths) - 1)
    lines = [line for row in table.rows for line in _lines(row, widths)]
    return "\n".join([_filled(table.caption), *_lines(table.head, widths), rule, *lines])


def _widths(rows):
    """The width of each column; the first gives way where the line would be too long."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    excess = sum(widths) + len(widths) - 1 - _WIDTH
    return [max(_NARROWEST, widths[0] - max(0, excess)), *widths[1:]]


def _lines(cells, widths):
    """The row; a first cell that is too long goes on in the lines below."""
    first, *below = textwrap.wrap(cells[0], widths[0], subsequent_indent="  ") or [""]
    others = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return [" ".join([first.ljust(widths[0]), *others]).rstrip(), *below]


def _filled(text):
    return textwrap.fill(text, _WIDTH, subsequent_indent="  ")
