"""The backprop table as a document."""

from collections.abc import Sequence
from typing import Any

from jbackprop.report import SHOWN, UNKNOWN, Cell, Document, Mark, Span, Table, brief, written_out

from ._row import Block, Row

_HEAD = ("value", "shape", "equation", "by hand", "automatic", "verdict")
_WRITTEN_OUT = 512
"""Arrays of up to so many entries open at a click."""
_SIGNS = {"exact": "✓ ", "rounding": "✓ ", "differs": "✗ ", "alone": ""}
_MARKS: dict[str, Mark] = {"exact": "good", "rounding": "good", "differs": "bad", "alone": ""}


def document(title: str, blocks: Sequence[Block], first_difference: Row | None) -> Document:
    """A row for each value under the title of its layer, and what all the verdicts come to."""
    rows = [row for block in blocks if block.rows for row in _rows(block, first_difference)]
    mark = "good" if first_difference is None else "bad"
    conclusion = Cell(_conclusion(blocks, first_difference), mark=mark)
    return Document(title, conclusion=conclusion, tables=(Table("", _HEAD, tuple(rows), "l" * len(_HEAD)),))


def _conclusion(blocks, first_difference):
    kinds = [row.verdict.kind for block in blocks for row in block.rows]
    if first_difference is None:
        counts = f"{kinds.count('exact')} exactly, {kinds.count('rounding')} to rounding"
        alone = f"; {kinds.count('alone')} cannot be compared" if "alone" in kinds else ""
        return f"Every row agrees with automatic differentiation: {counts}{alone}."
    symbol, source, text = first_difference.symbol, first_difference.source, first_difference.verdict.text
    return f"First difference: {symbol}, computed by {source}.  It {text.replace('DIFFERS', 'differs')}."


def _rows(block, first_difference):
    yield Span(block.title, title=True)
    for row in block.rows:
        verdict = _verdict(row, row is first_difference)
        yield (
            row.symbol,
            row.shape,
            Cell(f"= {row.equation}", row.source),
            _cell(row.value),
            _cell(row.automatic),
            verdict,
        )


def _verdict(row, first):
    kind = row.verdict.kind
    words = f"{_SIGNS[kind]}{row.verdict.text}{' ← first difference' if first else ''}"
    return Cell(words, mark="here" if first else _MARKS[kind])


def _cell(array: Any):
    """Its range, and behind that all of it."""
    if array is None:
        return UNKNOWN
    return Cell(brief(array), more="" if array.size <= SHOWN else written_out(array, _WRITTEN_OUT))
