"""Windows that slide over a padded array, one tap at a time; and the pooling that they serve.

Tap k of a window reads the elements i·stride + k·dilation, for all places i at once: a strided slice.
"""

import itertools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from ._rules import Call

Padding = Sequence[tuple[int, int, int]]  # low, high and interior, for each axis


def taps(
    window: Sequence[int], places: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """For each tap its index in the window and the slice of the padded array that it reads."""
    for tap in itertools.product(*map(range, window)):
        yield (
            tap,
            tuple(
                slice(k * dilation, k * dilation + (size - 1) * stride + 1, stride)
                for k, size, stride, dilation in zip(tap, places, strides, dilations, strict=True)
            ),
        )


def padded(x: jax.Array, padding: Padding, value: float = 0.0) -> jax.Array:
    return lax.pad(x, jnp.asarray(value, x.dtype), padding)


def unpadded(x: jax.Array, padding: Padding) -> jax.Array:
    cropped = padded(x, [(-low, -high, 0) for low, high, _ in padding])
    return cropped[tuple(slice(None, None, interior + 1) for _, _, interior in padding)]


def pooled_sum(m: jax.Array, call: Call) -> jax.Array:
    """Each element gets the message of every window that it is in."""
    padding = _padding(call)
    total = jnp.zeros_like(padded(call.x, padding))
    for _, read in _taps(call):
        total = total.at[read].add(m)
    return unpadded(total, padding)


def pooled_max(m: jax.Array, call: Call) -> jax.Array:
    """The first of a window's largest elements gets its message, as in JAX."""
    padding = _padding(call)
    x = padded(call.x, padding, -jnp.inf)
    total = jnp.zeros_like(x)
    waiting = jnp.ones(m.shape, bool)
    for _, read in _taps(call):
        chosen = waiting & (x[read] == call.y)
        total = total.at[read].add(jnp.where(chosen, m, 0))
        waiting &= ~chosen
    return unpadded(total, padding)


def _padding(call):
    dilations = call.params["base_dilation"]
    pairs = zip(call.params["padding"], dilations, strict=True)
    return [(low, high, dilation - 1) for (low, high), dilation in pairs]


def _taps(call):
    return taps(
        call.params["window_dimensions"],
        call.y.shape,
        call.params["window_strides"],
        call.params["window_dilation"],
    )
