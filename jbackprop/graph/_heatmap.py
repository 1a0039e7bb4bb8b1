"""Arrays as heat maps: blue below zero, orange above, the stronger the larger |x|, and nothing at zero.

A small array has its numbers in its cells.
"""

import jax
import numpy as np

from jbackprop.report import number, plain

MOST = 24
"""Cells a side; a larger array is shown by the means of its blocks."""
_SIZE = 72.0
"""Pixels a side, at most."""
_ROWS, _COLUMNS = 8, 6
"""An array of up to so many has its numbers in its cells."""
_LETTER, _LINE = 6.6, 19.0  # pixels that a digit takes, and a row of them
_LEVELS = 8
"""Shades on each side of zero."""
_NEGATIVE, _POSITIVE, _NOT_A_NUMBER = "first", "second", "ink"  # colours of a report


def heat_map(value: jax.Array) -> tuple[str, float, float]:
    """SVG of the map with its corner at (0, 0), its width and its height."""
    numbers = cells(value)
    rows, columns = numbers.shape
    words = _words(numbers) if rows <= _ROWS and columns <= _COLUMNS else []
    across, down = _sides(numbers.shape, words)
    paths = "".join(
        f'<path fill="var(--{colour})" fill-opacity="{shade * (0.4 if words else 1):g}" '
        f'd="{"".join(_square(i, j, across, down) for i, j in places)}"/>'
        for (colour, shade), places in _by_colour(numbers).items()
    )
    width, height = columns * across, rows * down
    size = f'width="{width:.1f}" height="{height:.1f}"'
    return (
        f'<rect class="plate" {size}/>{paths}{_written(words, across, down)}<rect class="frame" {size}/>',
        width,
        height,
    )


def _sides(shape, words):
    """The width and the height of a cell, with room for its number."""
    side = min(14.0, _SIZE / max(shape))
    longest = max((len(word) for row in words for word in row), default=0)
    return (max(22.0, _LETTER * longest + 7), _LINE) if longest else (side, side)


def _words(numbers):
    """The numbers, those that are only the rounding of others as 0."""
    noise = 1e-6 * np.abs(numbers[np.isfinite(numbers)]).max(initial=0.0)
    return [[number(0.0 if abs(x) <= noise else x, 3) for x in row] for row in numbers]


def _written(words, across, down):
    return "".join(
        f'<text class="cell" x="{(j + 0.5) * across:.1f}" y="{(i + 0.5) * down + 4:.1f}" '
        f'text-anchor="middle">{word}</text>'
        for i, row in enumerate(words)
        for j, word in enumerate(row)
    )


def cells(value: jax.Array) -> np.ndarray:
    """The array as a matrix of at most MOST × MOST means; leading axes are rows."""
    array = plain(value)
    if array is None:
        raise TypeError(f"heat_map: value, wanted numbers, got {value.dtype}")
    matrix = array.astype(float).reshape(-1, array.shape[-1] if array.ndim else 1)
    for axis in (0, 1):
        blocks = np.array_split(matrix, min(MOST, max(1, matrix.shape[axis])), axis)
        matrix = np.concatenate([_mean(block, axis) for block in blocks], axis)
    return matrix


def _mean(block, axis):
    return block if block.shape[axis] < 2 else block.mean(axis, keepdims=True)


def _by_colour(numbers):
    largest = np.abs(numbers[np.isfinite(numbers)]).max(initial=0.0) or 1.0
    places: dict[tuple[str, float], list[tuple[int, int]]] = {}
    for (i, j), x in np.ndenumerate(numbers):
        places.setdefault(_colour(x / largest), []).append((i, j))
    return places


def _colour(x):
    """The colour and the shade of a number in [−1, 1]; infinities as the extremes."""
    if np.isnan(x):
        return _NOT_A_NUMBER, 1.0
    return (_POSITIVE if x > 0 else _NEGATIVE), round(min(abs(x), 1.0) * _LEVELS) / _LEVELS


def _square(i, j, across, down):
    return f"M{j * across:.1f} {i * down:.1f}h{across:.1f}v{down:.1f}h-{across:.1f}z"
