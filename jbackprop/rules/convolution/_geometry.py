"""How the windows of a convolution lie."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Geometry(NamedTuple):
    """How windows lie over the input, each a number for every spatial axis.

    Attributes:
      window: k runs up to it.
      strides: s.
      padding: pairs (low, high) around the stretched input; negative ones take away.
      stretch: t.
      dilation: d.
      groups: g.
    """

    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    stretch: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int


def stretched(size: int, stretch: int) -> int:
    """The length of an axis with stretch − 1 zeros between neighbours."""
    return max((size - 1) * stretch + 1, 0)


def reach(geometry: Geometry, axis: int) -> int:
    """From a window's first entry along an axis to its last, both counted."""
    return (geometry.window[axis] - 1) * geometry.dilation[axis] + 1


def transposed(geometry: Geometry, space: tuple[int, ...], positions: tuple[int, ...]) -> Geometry:
    """How the windows of the convolution lie that gives dx, from δ at these positions, for x of such a space."""
    padding = []
    for axis, (low, _) in enumerate(geometry.padding):
        before = reach(geometry, axis) - 1 - low
        reached = (space[axis] - 1) * geometry.stretch[axis] + reach(geometry, axis)
        padding.append((before, reached - before - stretched(positions[axis], geometry.strides[axis])))
    return geometry._replace(strides=geometry.stretch, stretch=geometry.strides, padding=tuple(padding))


def is_transposing(geometry: Geometry) -> bool:
    """Whether x alone is stretched, as in `conv_transpose`: the transposed convolution has strides instead."""
    return max(geometry.stretch, default=1) > 1 == max(geometry.strides, default=1)


def stays_inside(geometry: Geometry) -> bool:
    """Whether no window reaches beyond the input."""
    return all(low <= 0 and high <= 0 for low, high in geometry.padding)


def lie_apart(geometry: Geometry) -> bool:
    """Whether no two windows have an entry in common, and none has gaps, as patches of an image."""
    each = zip(geometry.window, geometry.strides, geometry.dilation, geometry.stretch, strict=True)
    return all(size <= s and (d == 1 or size == 1) and t == 1 for size, s, d, t in each)


def turned_round(w: jax.Array, groups: int = 1) -> jax.Array:
    """(*window, in of a group, out) -> (*window, out of a group, in), the window turned round."""
    window, n_in, n_out = w.shape[:-2], w.shape[-2], w.shape[-1] // groups
    grouped = jnp.flip(w, range(len(window))).reshape(*window, n_in, groups, n_out)
    return grouped.swapaxes(-3, -1).reshape(*window, n_out, groups * n_in)
