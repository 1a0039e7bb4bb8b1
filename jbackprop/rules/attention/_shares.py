"""Attention on a mesh: examples and heads need nothing of each other, so each device takes its own of both.

Heads fall into (key heads, query heads that share one), and each of these two axes may be shared out: with as many key
heads as devices the first, with a single key head the second, for which the gradients of key and value are summed.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from jbackprop.rules._meshes import in_shares

from ._tiles import Arguments

Places = tuple[int | None, ...]
"""Where an array has each batch axis, the key heads, and what shares one; None where it has not."""


def heads_apart(given: Arguments) -> Arguments:
    """Queries (*batch, time, key heads, sharing, depth); bias and mask (*batch, key heads, sharing, time, source)."""
    shared = given.key.shape[-2]
    bias, mask = (None if array is None else _matrix_apart(array, given) for array in given[3:5])
    return given._replace(query=split_heads(given.query, shared, -2), bias=bias, mask=mask)


def heads_together(given: Arguments) -> Arguments:
    """The same turned back, but for axes of size 1 before a bias or a mask."""
    bias, mask = (None if array is None else join_heads(array, -4) for array in given[3:5])
    return given._replace(query=join_heads(given.query, -3), bias=bias, mask=mask)


def split_heads(array: jax.Array, shared: int, axis: int) -> jax.Array:
    """One axis of heads as (key heads, sharing)."""
    axis += array.ndim
    return array.reshape(*array.shape[:axis], shared, array.shape[axis] // shared, *array.shape[axis + 1 :])


def join_heads(array: jax.Array, axis: int) -> jax.Array:
    """The axes of key heads, which is given, and of what shares one, as one."""
    axis += array.ndim
    return array.reshape(*array.shape[:axis], array.shape[axis] * array.shape[axis + 1], *array.shape[axis + 2 :])


def _matrix_apart(array, given):
    """With as many axes as the logits, those that are broadcast of size 1."""
    missing = given.query.ndim - array.ndim
    array = array.reshape((1,) * missing + array.shape[max(0, -missing) :])
    return split_heads(array, 1 if array.shape[-3] == 1 else given.key.shape[-2], -3)


def places_of(given: Arguments) -> Arguments:
    """Where each array has the axes that are shared out, once its heads are apart."""
    batch = tuple(range(given.query.ndim - 4))
    n = len(batch)
    query, key, lengths = (*batch, n + 1, n + 2), (*batch, n + 1, None), (*batch, None, None)
    bias, mask = (
        None if array is None else tuple(axis if array.shape[axis] > 1 else None for axis in range(n + 2))
        for array in given[3:5]
    )
    return Arguments(query, key, key, bias, mask, lengths, lengths)


def places_of_numbers(given: Arguments) -> Places:
    """The same of an array (*batch, key heads, sharing, time)."""
    return tuple(range(given.query.ndim - 2))


def for_each_share(f: Callable[..., tuple], arrays: tuple, axes: tuple, results: tuple) -> tuple[Any, ...]:
    """f(*arrays), every axis shared out in its turn; axes and results are the places of each, None for no array."""
    levels = range(len(axes[0]))
    for level in reversed(levels):
        of_arrays, of_results = (
            tuple(None if place is None else place[level] for place in places) for places in (axes, results)
        )
        f = partial(in_shares, f, axes=of_arrays, results=of_results)
    return f(*arrays)
