"""The output layer and its loss in tiles of rows, with δ beside the values, or the gradients where dC is known."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from jbackprop.rules._arrays import computed_once, outer, product, rows, whole, wide_dtype
from jbackprop.rules._compiled import compiled_once
from jbackprop.rules._meshes import in_shares, varied_like

from ._class_chunks import delta_of, hits, logits_of, losses_of, near_one, with_class_axis, without_ignored


@compiled_once(static_argnames=("ignore_index", "tile"))
def losses_and_deltas(ignore_index, tile, x, w, b, labels):
    """C, Δ and X', for dC of 1; a device goes through its share of the examples."""
    classes, wide = w.shape[1], wide_dtype(x, w)

    def one_tile(_, part):
        x, numbers = part
        examples = without_ignored(x, numbers, ignore_index)
        return None, _losses_and_delta(ignore_index, examples, w, b, numbers, jnp.ones(numbers.shape, wide))

    def share(x, labels):
        _, (values, delta) = lax.scan(one_tile, None, _inputs(tile, x, labels))
        return _out_of_tiles(values, labels.shape), _out_of_tiles(delta, (*labels.shape, classes))

    values, delta = _of_shares(share, x, labels, results=(0, 0))
    return values, delta, product(delta, w.T, rounded=True)  # behind the loop, in which δ is written where it is kept


@compiled_once(static_argnames=("ignore_index", "tile"))
def losses_and_gradients(ignore_index, tile, x, w, b, labels, dvalues):
    """C, dx, dW and db; a device goes through its share of the examples."""
    dtype, wide, classes = jnp.result_type(x, w), wide_dtype(x, w, dvalues), w.shape[1]
    dvalues, power = near_one(dvalues, dtype)

    def one_tile(sums, part):
        x, numbers, dvalues = part
        examples = without_ignored(x, numbers, ignore_index)
        values, delta = _losses_and_delta(ignore_index, examples, w, b, numbers, dvalues)
        more = outer(examples, delta), delta.sum(axis=0, dtype=wide)
        dx = without_ignored(product(delta, w.T), numbers, ignore_index)
        return jax.tree.map(jnp.add, sums, more), (values, (power * dx).astype(x.dtype))

    def share(x, labels, dvalues):
        inputs = _inputs(tile, x, labels, dvalues)
        none = jnp.zeros(w.shape, wide), jnp.zeros(classes, wide)
        (dw, db), (values, dx) = lax.scan(one_tile, varied_like(none, inputs, w, b), inputs)
        return _out_of_tiles(values, labels.shape), _out_of_tiles(dx, x.shape), dw, db

    values, dx, dw, db = _of_shares(share, x, labels, dvalues, results=(0, 0, None, None))
    return values, dx, power * dw, None if b is None else power * db


def _of_shares(share, x, *others, results):
    if x.ndim == 1:
        return share(x, *others)
    return in_shares(share, x, *others, axes=(0,) * (1 + len(others)), results=results)


def _inputs(tile, x, labels, *others):
    """The tiles of x, of the class numbers, and of what else there is one of for each example."""
    each = (_in_tiles(rows(part[..., None]), tile)[..., 0] for part in (whole(labels), *others))
    return _in_tiles(rows(x), tile), *each


def _losses_and_delta(ignore_index, examples, w, b, numbers, dvalues):
    """C and δ, in the arguments' common dtype, from the same logits: summed in another order they would not have m."""
    classes = w.shape[1]
    z, hit = computed_once(logits_of(examples, w, b, 0, classes)), hits(numbers, 0, classes)
    values, largest, total = losses_of(z, hit, numbers, classes, ignore_index)
    each = with_class_axis(numbers, classes, ignore_index, largest, total, dvalues)
    return values, delta_of(z, hit, *each).astype(jnp.result_type(examples, w))


def _in_tiles(array, tile):
    """(examples, …) as (tiles, at most so many, …), the last one filled with zeros."""
    count = max(1, -(-len(array) // tile))
    size = -(-len(array) // count)
    filled = jnp.pad(array, [(0, count * size - len(array))] + [(0, 0)] * (array.ndim - 1))
    return filled.reshape(count, size, *array.shape[1:])


def _out_of_tiles(tiles, shape):
    """What tiles of an array of this shape were."""
    flat = tiles.reshape(tiles.shape[0] * tiles.shape[1], *tiles.shape[2:])
    return flat[: math.prod(shape) // math.prod(tiles.shape[2:])].reshape(shape)
