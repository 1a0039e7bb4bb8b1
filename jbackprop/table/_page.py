"""The table as one page: nothing is loaded from anywhere, and every text is escaped."""

import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

import jax.numpy as jnp
import numpy as np

from ._row import Block, Row
from ._text import conclusion, summary

_WRITTEN_OUT = 512
"""Arrays of up to so many entries open at a click."""

_MARKS = {"exact": "✓ ", "rounding": "✓ ", "differs": "✗ ", "alone": ""}


def page(title: str, blocks: Sequence[Block], first_difference: Row | None) -> str:
    """The whole document."""
    values = {
        "title": escape(title),
        "conclusion": escape(conclusion(blocks, first_difference)),
        "kind": "agrees" if first_difference is None else "differs",
        "blocks": "\n".join(_block(block, first_difference) for block in blocks if block.rows),
    }
    text = files("jbackprop.table").joinpath("_page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], text)


def _block(block: Block, first_difference: Row | None) -> str:
    rows = "\n".join(_row(row, row is first_difference) for row in block.rows)
    return f"<tbody>\n<tr class=title><th colspan=4>{escape(block.title)}</th></tr>\n{rows}\n</tbody>"


def _row(row: Row, first: bool) -> str:
    verdict = f"{_MARKS[row.verdict.kind]}{row.verdict.text}{' ← first difference' if first else ''}"
    return (
        f'<tr class="{row.verdict.kind}{" first" if first else ""}">'
        f"<td class=equation><b>{escape(row.symbol)}</b> = {escape(row.equation)}"
        f"<small>{escape(row.shape)}, {escape(row.source)}</small></td>"
        f'<td data-label="by hand">{_array(row.value)}</td><td data-label="automatic">{_array(row.automatic)}</td>'
        f"<td class=verdict>{escape(verdict)}</td></tr>"
    )


def _array(array: Any) -> str:
    """Its range, and behind that all of it."""
    short = escape(summary(array))
    if array is None or not 4 < array.size <= _WRITTEN_OUT or jnp.issubdtype(array.dtype, jnp.bool_):
        return short
    wide = np.asarray(array).astype(np.float64) if jnp.issubdtype(array.dtype, jnp.floating) else np.asarray(array)
    numbers = np.array2string(wide, precision=4, threshold=_WRITTEN_OUT, max_line_width=100)
    return f"<details><summary>{short}</summary><pre>{escape(numbers)}</pre></details>"
