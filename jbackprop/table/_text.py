"""The table to print."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop.graph._text import number

from ._row import Block, Row

_HEADER = ("", "shape", "", "by hand", "automatic", "")
_SHOWN = 4
"""Arrays of up to so many entries are written out."""


def table(blocks: Sequence[Block], first_difference: Row | None) -> str:
    """All blocks, their columns aligned, and a sentence at the end."""
    cells = [_HEADER, *(_cells(row, first_difference) for block in blocks for row in block.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_aligned(_HEADER, widths)]
    for block in (block for block in blocks if block.rows):
        lines += ["", block.title, *(_aligned(_cells(row, first_difference), widths) for row in block.rows)]
    return "\n".join([*lines, "", conclusion(blocks, first_difference)])


def conclusion(blocks: Sequence[Block], first_difference: Row | None) -> str:
    """What all the verdicts come to."""
    kinds = [row.verdict.kind for block in blocks for row in block.rows]
    if first_difference is None:
        counts = f"{kinds.count('exact')} exactly, {kinds.count('rounding')} to rounding"
        alone = f"; {kinds.count('alone')} cannot be compared" if "alone" in kinds else ""
        return f"Every row agrees with automatic differentiation: {counts}{alone}."
    symbol, source, text = first_difference.symbol, first_difference.source, first_difference.verdict.text
    return f"First difference: {symbol}, computed by {source}.  It {text.replace('DIFFERS', 'differs')}."


def summary(array: Any) -> str:
    """A few entries written out; of many the range."""
    if array is None:
        return "—"
    if not _is_number(array):
        return "random key"
    array = np.asarray(array).astype(np.float64)
    if array.size <= _SHOWN:
        return _nested(array)
    return "NaN in it" if np.isnan(array).any() else f"{number(array.min())} … {number(array.max())}"


def _cells(row: Row, first_difference: Row | None) -> tuple[str, ...]:
    mark = "  ← first" if row is first_difference else ""
    both = summary(row.value), summary(row.automatic)
    return f"  {row.symbol}", row.shape, f"= {row.equation}", *both, row.verdict.text + mark


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _is_number(array: jax.Array) -> bool:
    return not jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


def _nested(array: np.ndarray) -> str:
    return number(array) if array.ndim == 0 else f"[{', '.join(map(_nested, array))}]"
