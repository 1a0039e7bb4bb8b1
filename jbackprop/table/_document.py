"""The backprop table as a document: layer by layer, or in the order of computation."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from jbackprop.report import SHOWN, UNKNOWN, Cell, Document, Mark, Span, Table, brief, written_out

from ._row import Block, Row

Order = Literal["layers", "computation"]

_HEAD = ("value", "shape", "equation", "by hand", "automatic", "verdict")
_WRITTEN_OUT = 512
"""Arrays of up to so many entries open at a click."""
_SIGNS = {"exact": "✓ ", "rounding": "✓ ", "differs": "✗ ", "alone": ""}
_MARKS: dict[str, Mark] = {"exact": "good", "rounding": "good", "differs": "bad", "alone": ""}


def document(
    title: str, blocks: Sequence[Block], rows: Sequence[Row], first_difference: Row | None, order: Order
) -> Document:
    """A row for each value under a title, and what all the verdicts come to.

    The titles are those of the layers; or, where `rows` are shown in their own order, the functions that computed them.
    """
    titled = _by_function(rows) if order == "computation" else ((block.title, block.rows) for block in blocks)
    body = [row for heading, under in titled if under for row in _rows(heading, under, first_difference)]
    mark = "good" if first_difference is None else "bad"
    conclusion = Cell(_conclusion(rows, first_difference), mark=mark)
    return Document(title, conclusion=conclusion, tables=(Table("", _HEAD, tuple(body), "l" * len(_HEAD)),))


def _by_function(rows: Sequence[Row]) -> Iterator[tuple[str, Sequence[Row]]]:
    for source, under in itertools.groupby(rows, key=lambda row: row.source):
        yield source, tuple(under)


def _conclusion(rows, first_difference):
    kinds = [row.verdict.kind for row in rows]
    if first_difference is None:
        counts = f"{kinds.count('exact')} exactly, {kinds.count('rounding')} to rounding"
        alone = f"; {kinds.count('alone')} cannot be compared" if "alone" in kinds else ""
        return f"Every row agrees with automatic differentiation: {counts}{alone}."
    symbol, source, text = first_difference.symbol, first_difference.source, first_difference.verdict.text
    return f"First difference: {symbol}, computed by {source}.  It {text.replace('DIFFERS', 'differs')}."


def _rows(heading: str, rows: Iterable[Row], first_difference: Row | None) -> Iterator[Any]:
    yield Span(heading, title=True)
    for row in rows:
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
