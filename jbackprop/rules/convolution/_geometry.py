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


def turned_round(w: jax.Array, groups: int = 1) -> jax.Array:
    """(*window, in of a group, out) -> (*window, out of a group, in), the window turned round."""
    window, n_in, n_out = w.shape[:-2], w.shape[-2], w.shape[-1] // groups
    grouped = jnp.flip(w, range(len(window))).reshape(*window, n_in, groups, n_out)
    return grouped.swapaxes(-3, -1).reshape(*window, n_out, groups * n_in)
