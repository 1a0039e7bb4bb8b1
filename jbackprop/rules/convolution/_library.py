"""The three maps by the convolutions of a library, or of XLA on a CPU."""

import jax.numpy as jnp
from jax import lax

from jbackprop.rules._arrays import wide_dtype

from ._geometry import Geometry, reach, stretched, transposed, turned_round


def correlated_by_library(x, w, geometry, rounded=False, channels="IO"):
    letters = "DHW"[: len(geometry.window)]
    return lax.conv_general_dilated(
        x,
        w,
        geometry.strides,
        geometry.padding,
        geometry.stretch,
        geometry.dilation,
        (f"N{letters}C", letters + channels, f"N{letters}C"),
        geometry.groups,
        preferred_element_type=x.dtype if rounded else wide_dtype(x),
    )


def spread_by_library(delta, w, geometry, space, rounded=False):
    """A convolution again: δ is stretched and W turned round; strides and stretch change places.

    The dimension numbers exchange the channels, by which cuDNN's own kernels for dx are found.
    """
    if geometry.groups > 1:
        return spread_by_turning(delta, w, geometry, space, rounded)
    turned = jnp.flip(w, range(len(geometry.window)))
    return correlated_by_library(delta, turned, transposed(geometry, space, delta.shape[1:-1]), rounded, "OI")


def spread_by_turning(delta, w, geometry, space, rounded=False):
    """The same with W turned in memory, without which XLA on a CPU takes one entry at a time in loops."""
    turned = turned_round(w, geometry.groups)
    return correlated_by_library(delta, turned, transposed(geometry, space, delta.shape[1:-1]), rounded)


def all_by_library(x, delta, geometry, rounded=False):
    """The images are what is summed, so they stand where channels do; strides and dilations change places."""
    letters = "DHW"[: len(geometry.window)]
    return lax.conv_general_dilated(
        x,
        delta,
        geometry.dilation,
        _padding_of_reached(x, delta, geometry),
        geometry.stretch,
        geometry.strides,
        (f"C{letters}N", f"I{letters}O", f"{letters}NC"),
        batch_group_count=geometry.groups,
        preferred_element_type=x.dtype if rounded else wide_dtype(x),
    )


def all_by_turning(x, delta, geometry):
    """The same as one of the first kind: channels for images, δ for W.  XLA would undo what is behind no barrier."""
    space, padding = delta.shape[1:-1], tuple(_padding_of_reached(x, delta, geometry))
    turned = Geometry(space, geometry.dilation, padding, geometry.stretch, geometry.strides, 1)
    axes = range(1, x.ndim - 1)
    x, delta = lax.optimization_barrier((x.transpose(x.ndim - 1, *axes, 0), delta.transpose(*axes, 0, x.ndim - 1)))
    return jnp.moveaxis(correlated_by_library(x, delta, turned), 0, -2)


def _padding_of_reached(x, delta, geometry):
    """Padding that ends where the last window does, which may be before the input's end."""
    pairs = []
    for axis, (low, _) in enumerate(geometry.padding):
        reached = (delta.shape[axis + 1] - 1) * geometry.strides[axis] + reach(geometry, axis)
        pairs.append((low, reached - low - stretched(x.shape[axis + 1], geometry.stretch[axis])))
    return pairs
