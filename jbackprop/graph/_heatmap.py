"""Arrays as heat maps: blue below zero, orange above, the stronger the larger |x|, and nothing at zero."""

import jax
import numpy as np

from jbackprop.report import plain

MOST = 24
"""Cells a side; a larger array is shown by the means of its blocks."""
_SIZE = 72.0
"""Pixels a side, at most."""
_LEVELS = 8
"""Shades on each side of zero."""
_NEGATIVE, _POSITIVE, _NOT_A_NUMBER = "first", "second", "ink"  # colours of a report


def heat_map(value: jax.Array) -> tuple[str, float, float]:
    """SVG of the map with its corner at (0, 0), its width and its height."""
    numbers = cells(value)
    side = min(14.0, _SIZE / max(numbers.shape))
    rows, columns = numbers.shape
    paths = "".join(
        f'<path fill="var(--{colour})" fill-opacity="{shade:g}" d="{"".join(_square(i, j, side) for i, j in places)}"/>'
        for (colour, shade), places in _by_colour(numbers).items()
    )
    width, height = columns * side, rows * side
    size = f'width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="plate" {size}/>{paths}<rect class="frame" {size}/>', width, height


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


def _square(i, j, side):
    return f"M{j * side:.1f} {i * side:.1f}h{side:.1f}v{side:.1f}h-{side:.1f}z"
