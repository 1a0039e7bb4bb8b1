"""A document for the terminal."""

import textwrap

from tabulate import tabulate

from ._document import Document, Span, one_line

_WIDTH, _NARROWEST = 120, 8


def text(document: Document) -> str:
    """Its title, tables, conclusion and remarks.

    A line is at most 120 columns wide, if that can be had by taking room from the tables' first columns.
    """
    title = f"{document.title}({document.subtitle})" if document.subtitle else document.title
    remarks = "\n".join(map(_filled, document.remarks))
    blocks = [_filled(title), *map(_table, document.tables), _filled(document.conclusion.text), remarks]
    return "\n\n".join(block for block in blocks if block)


def _table(table):
    """The caption, the heads, a rule, and the rows with the spans between them."""
    rows = [row for row in table.rows if not isinstance(row, Span)]
    head, *lines = _aligned([table.head, *rows], table.alignment)
    width = max(len(line) for block in (head, *lines) for line in block.splitlines())
    left = iter(lines)
    body = [_span(row) if isinstance(row, Span) else next(left) for row in table.rows]
    caption = [_filled(table.caption)] if table.caption else []
    return "\n".join([*caption, head, "-" * min(width, _WIDTH), *body])


def _span(span):
    return f"\n{_filled(span.text)}" if span.title else textwrap.indent(textwrap.fill(span.text, _WIDTH - 4), "    ")


def _aligned(rows, alignment):
    """The text of each row, its columns aligned; a first cell that is too long stands on a line of its own above."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    room = _room([max(map(len, column)) for column in zip(*cells, strict=True)], alignment)
    fitted = [[row[0] if len(row[0]) <= room else "", *row[1:]] for row in cells]
    sides = ["left" if letter == "l" else "right" for letter in alignment]
    lines = tabulate(fitted, tablefmt="plain", colalign=sides, disable_numparse=True).split("\n")
    above = [f"{_filled(row[0])}\n" if len(row[0]) > room else "" for row in cells]
    return [first + line.rstrip() for first, line in zip(above, lines, strict=True)]


def _room(widths, alignment):
    """The width of the first column, which gives way where lines would be too long; words at the end may stand out."""
    counted = widths[:-1] if alignment[-1] == "l" else widths
    return max(_NARROWEST, widths[0] - max(0, sum(counted) + 2 * (len(counted) - 1) - _WIDTH))


def _filled(words):
    return textwrap.fill(words, _WIDTH, subsequent_indent="  ")
