"""Arrays as heat maps: blue below zero, white at zero, orange above, up to the largest |x|."""

import jax
import numpy as np

from ._text import plain

MOST = 24  # cells a side; a larger array is shown by the means of its blocks
SIZE = 72.0  # pixels a side, at most
LEVELS = 8  # shades on each side of white
NEGATIVE, POSITIVE = np.array([33, 102, 172]), np.array([217, 95, 2])
NOT_A_NUMBER = "#111"


def heat_map(value: jax.Array) -> tuple[str, float, float]:
    """SVG of the map with its corner at (0, 0), its width and its height."""
    numbers = cells(value)
    side = min(14.0, SIZE / max(numbers.shape))
    rows, columns = numbers.shape
    paths = "".join(
        f'<path fill="{colour}" d="{"".join(_square(i, j, side) for i, j in places)}"/>'
        for colour, places in _by_colour(numbers).items()
    )
    width, height = columns * side, rows * side
    frame = f'<rect class="frame" width="{width:.1f}" height="{height:.1f}"/>'
    return paths + frame, width, height


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


def _mean(block: np.ndarray, axis: int) -> np.ndarray:
    return block if block.shape[axis] < 2 else block.mean(axis, keepdims=True)


def _by_colour(numbers: np.ndarray) -> dict[str, list[tuple[int, int]]]:
    largest = np.abs(numbers[np.isfinite(numbers)]).max(initial=0.0) or 1.0
    places: dict[str, list[tuple[int, int]]] = {}
    for (i, j), x in np.ndenumerate(numbers):
        places.setdefault(_colour(x / largest), []).append((i, j))
    return places


def _colour(x: float) -> str:
    """The shade of a number in [−1, 1]; infinities as the extremes."""
    if np.isnan(x):
        return NOT_A_NUMBER
    shade = round(min(abs(x), 1.0) * LEVELS) / LEVELS
    end = POSITIVE if x > 0 else NEGATIVE
    red, green, blue = np.round(255 + shade * (end - 255)).astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _square(i: int, j: int, side: float) -> str:
    return f"M{j * side:.1f} {i * side:.1f}h{side:.1f}v{side:.1f}h-{side:.1f}z"
