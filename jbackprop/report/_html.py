"""A document as one page: it loads nothing from anywhere, and every text is escaped."""

import base64
import hashlib
import re
from collections.abc import Mapping
from html import escape
from importlib.resources import files

from ._document import Cell, Document, Span, Table
from ._plots import inline
from ._theme import variables


def html(document: Document) -> str:
    """The page: conclusion and remarks, plots, tables, and what opens at a click."""
    return page(document.title, _joined(_body(document)))


def page(title: str, body: str, style: str = "", script: str = "", pictures: bool = False) -> str:
    """A page of the one look.

    Args:
      title: plain text.
      body: HTML that goes below the heading.
      style: what the style sheet needs besides.
      script: the one script that may run, after the body.
      pictures: whether pictures that lie beside the page may be shown.

    Returns:
      The page; its content security policy allows nothing but its own styles and these.
    """
    scripts = f"; script-src {_fingerprint(script)}" if script else ""
    values = {
        "title": escape(title),
        "style": f"{variables()}\n{_file('_style.css')}{style}",
        "policy": f"{scripts}; img-src 'self' file:" if pictures else scripts,
        "body": f"{body}\n<script>{script}</script>" if script else body,
    }
    return filled(_file("_page.html"), values)


def filled(template: str, values: Mapping[str, str]) -> str:
    """A template with each {{name}} replaced, all in one pass."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)


def html_table(table: Table) -> str:
    """The table alone."""
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    head = "".join(f"<th{_class(side)}>{escape(cell)}</th>" for cell, side in _sided(table.head, table))
    rows = _joined(_row(row, table) for row in table.rows)
    return f'<div class="wide"><table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>'


def _body(document):
    if document.subtitle:
        yield f"<p><code>{escape(document.subtitle)}</code></p>"
    if document.conclusion.text:
        mark = document.conclusion.mark
        yield f"<p{_class('conclusion', mark)}>{escape(document.conclusion.text)}</p>"
    yield from (f'<p class="remark">{escape(remark)}</p>' for remark in document.remarks)
    for figure in document.figures:
        yield f'<h2>{escape(figure.title)}</h2><div class="plots">{_joined(map(inline, figure.plots))}</div>'
    yield from map(html_table, document.tables)
    if document.details:
        yield "<h2>Each in full</h2>"
    for part in document.details:
        inside = _joined(_body(part))
        yield f'<details><summary>{escape(part.title)}</summary><div class="inside">{inside}</div></details>'


def _row(row, table):
    if isinstance(row, Span):
        tag, kind = ("th", "left") if row.title else ("td", "left span")
        return f'<tr><{tag} class="{kind}" colspan="{len(table.head)}">{escape(row.text)}</{tag}></tr>'
    return f"<tr>{''.join(_cell(cell, side) for cell, side in _sided(row, table))}</tr>"


def _cell(cell, side):
    cell = Cell(cell) if isinstance(cell, str) else cell
    words = escape(cell.text)
    if cell.more:
        words = f"<details><summary>{words}</summary><pre>{escape(cell.more)}</pre></details>"
    note = f"<small>{escape(cell.note)}</small>" if cell.note else ""
    return f"<td{_class(side, cell.mark)}>{words}{note}</td>"


def _sided(cells, table):
    """Each cell with the class of its side."""
    sides = ("left" if letter == "l" else "" for letter in table.alignment)
    return zip(cells, sides, strict=True)


def _class(*names):
    found = " ".join(filter(None, names))
    return f' class="{found}"' if found else ""


def _fingerprint(script):
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _file(name):
    return files("jbackprop.report").joinpath(name).read_text(encoding="utf-8")


def _joined(parts):
    return "\n".join(parts)
