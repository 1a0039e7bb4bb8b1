"""y_p = max or mean of x over the window of p, each channel alone, channels last.

With S_p the entries of window p and n_p their number,

    max    ∂C/∂x_i = Σ_{p: i ∈ S_p} dy_p 1[i is the chosen maximum of p]        dx = dy, sent to where each y came from
    mean   ∂C/∂x_i = Σ_{p: i ∈ S_p} dy_p / n_p                                  dx = dy / n, spread over the windows

A window is a box, and both go axis by axis: the largest of a box is the largest of its rows' largest, and a mean is
a sum of sums.  So an axis with windows of w entries takes w steps forward, and ⌈w / stride⌉ steps backward.

Ties: of several equal maxima the first, in the order of the axes, gets the whole of dy, as in autodiff of
`lax.reduce_window` and in PyTorch; the padding counts as −∞ and as an entry.  A NaN in the window is its maximum; of
several the last gets dy, as in PyTorch.

Kept: for the maximum, where in its window it stood, one byte an output (two for windows of more than about 250
entries), and not x; for the mean nothing.  x's shape goes along as an array without entries.  This stands in for
`select_and_scatter`, which autodiff of `lax.reduce_window` calls and which is slow on a CPU.

Y. LeCun et al., "Gradient-based learning applied to document recognition", Proceedings of the IEEE 86, 1998 (mean).
M. Riesenhuber, T. Poggio, "Hierarchical models of object recognition in cortex", Nature Neuroscience 2, 1999 (max).
M. Lin, Q. Chen, S. Yan, "Network in network", ICLR, 2014 (global mean).
"""

import functools
import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._arrays import beside, check_floating, widen, without_entries
from ._compiled import compiled_once
from ._meshes import by_compiler, layout
from ._windows import Padding, before, combined, entries_of_run, entry, padded, shifted, unrun, windows_over


@partial(jax.custom_vjp, nondiff_argnames=("window_shape", "strides", "padding"))
def max_pool(
    x: Float[Array, "*batch_and_space channels"],
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Float[Array, "*batch_and_pooled channels"]:
    """The largest entry of each window, as `flax.linen.max_pool`.

    Args:
      x: inputs, any number of batch axes, then as many spatial axes as window_shape has numbers, channels last.
      window_shape: how many entries a window has along each spatial axis.
      strides: from one window to the next along each; None for 1, so that windows overlap, as in Flax.
      padding: "SAME", "SAME_LOWER", "VALID" or a pair (low, high) for each spatial axis; what is padded is −∞.

    Returns:
      y in x's dtype; −∞ for a window of nothing but padding.

    Raises:
      TypeError: x is not floating point.
      ValueError: shapes or options do not belong together, or a window is larger than the padded input.
    """
    return _max_pool_fwd(x, window_shape, strides, padding)[0]


def _max_pool_fwd(x, window_shape, strides, padding):
    check_floating("max_pool", x=x)
    windows = windows_over("max_pool", x.shape, window_shape, strides, None, padding)
    y, place = x, jnp.zeros_like(x, _place_dtype(windows))
    for along, radix in _last_first(windows):
        y, place = _largest_along(y, place, along, radix)
    return y, (place, without_entries(x))


def _max_pool_bwd(window_shape, strides, padding, residuals, dy):
    place, empty = residuals
    windows = windows_over("max_pool", empty.shape, window_shape, strides, None, padding)
    dx = widen(dy)
    for along, radix in reversed(_last_first(windows)):
        dx, place = _sent_back_along(dx, place, along, radix)
    return (dx.astype(dy.dtype),)


max_pool.defvjp(_max_pool_fwd, _max_pool_bwd)


def _last_first(windows):
    """The axes, last first, each with the number by which a step along it counts in `place`: (…, w₃ w₂, w₃, 1)."""
    last_first = windows[::-1]
    radices = [math.prod(_places(along) for along in last_first[:i]) for i in range(len(windows))]
    return list(zip(last_first, radices, strict=True))


def _places(along):
    """A run's entries counted through all windows that it is in: the window's, rounded up to whole strides."""
    return along.shifts * along.stride


def _place_dtype(windows):
    """The smallest that holds every place and, as its largest number, none."""
    return np.min_scalar_type(math.prod(map(_places, windows)))


@compiled_once(static_argnames=("along", "radix"))
def _largest_along(x, place, along, radix):
    """The largest entry of each window along one axis, and its place."""
    x, place = padded(x, along, -jnp.inf), padded(place, along, 0)

    def each(k):
        return entry(x, along, k), entry(place, along, k) + jnp.asarray(k * radix, place.dtype)

    def larger(one, other):
        return tuple(
            jnp.where((other[0] > one[0]) | jnp.isnan(other[0]), b, a) for a, b in zip(one, other, strict=True)
        )

    # A loop, however short: unrolled, XLA's CPU compiler does it all again for every entry of the backward pass.
    return combined(larger, each, along.window, unrolled=1)


@compiled_once(static_argnames=("along", "radix"))
def _sent_back_along(dy, place, along, radix):
    """dy at the entries that the windows along one axis chose, and the place of each along the axes that are left."""
    none = jnp.iinfo(place.dtype).max
    dy, place = before(dy, along, 0), before(place, along, none)

    def each(j):
        first = (entries_of_run(along, j, place.ndim + 1) * radix).astype(place.dtype)
        rest = shifted(place, along, j) - first  # of unsigned numbers: large where place is less
        chosen = rest < radix
        return jnp.where(chosen, shifted(dy, along, j), 0), jnp.where(chosen, rest, none)

    def both(one, other):
        return one[0] + other[0], jnp.minimum(one[1], other[1])

    dx, place = combined(both, each, along.shifts)
    return unrun(dx, along, 0), unrun(place, along, none)


@partial(jax.custom_vjp, nondiff_argnames=("window_shape", "strides", "padding", "count_include_pad"))
def avg_pool(
    x: Float[Array, "*batch_and_space channels"],
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
    count_include_pad: bool = True,
) -> Float[Array, "*batch_and_pooled channels"]:
    """The mean of each window, as `flax.linen.avg_pool`; other arguments as in `max_pool`.

    Args:
      padding: as in `max_pool`, but what is padded is 0.
      count_include_pad: whether the mean counts the padding; if not, a window of nothing but padding has mean 0.
    """
    return _avg_pool_fwd(x, window_shape, strides, padding, count_include_pad)[0]


def _avg_pool_fwd(x, window_shape, strides, padding, count_include_pad):
    check_floating("avg_pool", x=x)
    windows = windows_over("avg_pool", x.shape, window_shape, strides, None, padding)
    total = functools.reduce(_summed_along, windows, widen(x))
    return _over_sizes(total, windows, count_include_pad).astype(x.dtype), without_entries(x)


def _avg_pool_bwd(window_shape, strides, padding, count_include_pad, empty, dy):
    windows = windows_over("avg_pool", empty.shape, window_shape, strides, None, padding)
    dx = functools.reduce(_spread_along, windows, _over_sizes(widen(dy), windows, count_include_pad))
    return (dx.astype(dy.dtype),)


avg_pool.defvjp(_avg_pool_fwd, _avg_pool_bwd)


def _over_sizes(total, windows, count_include_pad):
    """The sums over n, how many entries each window has: one number, or (*pooled, 1)."""
    if count_include_pad:
        return total / math.prod(along.window for along in windows)
    sizes = functools.reduce(np.multiply.outer, [along.inside.sum(axis=1) for along in windows])
    return total / beside(np.maximum(sizes, 1)[..., None], total)


@compiled_once(static_argnames="along")
def _summed_along(x, along):
    """The sum of each window along one axis."""
    x = padded(x, along, 0)
    return combined(jnp.add, lambda k: entry(x, along, k), along.window)


@compiled_once(static_argnames="along")
def _spread_along(dy, along):
    """dy at every entry of its window along one axis, added up where windows overlap: the transpose of the sum."""
    dy = before(dy, along, 0)

    def each(j):
        return jnp.where(entries_of_run(along, j, dy.ndim + 1) < along.window, shifted(dy, along, j), 0)

    return unrun(combined(jnp.add, each, along.shifts), along, 0)


@partial(jax.custom_vjp, nondiff_argnames=("spatial",))
def global_avg_pool(x: Float[Array, "*batch_and_space channels"], spatial: int = 2) -> Float[Array, "*batch channels"]:
    """The mean over all spatial axes.

    Args:
      x: inputs, any number of batch axes, then the spatial ones, channels last.
      spatial: how many axes before the channels are space.

    Returns:
      y in x's dtype, without the spatial axes; 0 where they hold no entry.

    Raises:
      TypeError: x is not floating point.
      ValueError: spatial is not a number of axes that x has.
    """
    return _global_avg_pool_fwd(x, spatial)[0]


def _global_avg_pool_fwd(x, spatial):
    check_floating("global_avg_pool", x=x)
    if not 1 <= spatial < x.ndim:
        raise ValueError(f"global_avg_pool: spatial, wanted 1 to {x.ndim - 1} axes of x of {x.shape}, got {spatial}")
    total = widen(x).sum(_space(spatial))
    return (total / _volume(x, spatial)).astype(x.dtype), without_entries(x)


def _global_avg_pool_bwd(spatial, empty, dy):
    each = (widen(dy) / _volume(empty, spatial)).astype(dy.dtype)
    *batch, channels = layout(dy)
    lies = layout(empty)[1:] if any(layout(empty)) else (*batch, *[None] * spatial, channels)
    return (by_compiler(partial(_at_each_place, empty.shape[1:], spatial), each, layouts=lambda: [lies]),)


global_avg_pool.defvjp(_global_avg_pool_fwd, _global_avg_pool_bwd)


def _at_each_place(shape, spatial, each):
    return jnp.broadcast_to(jnp.expand_dims(each, _space(spatial)), shape)


def _space(spatial):
    return tuple(range(-spatial - 1, -1))


def _volume(x, spatial):
    return max(math.prod(x.shape[-spatial - 1 : -1]), 1)
