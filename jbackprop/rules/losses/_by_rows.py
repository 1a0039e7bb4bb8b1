"""The output layer, its loss and their gradients at once, in tiles of rows, where ∂C/∂C_i is known beforehand."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from jbackprop.rules._arrays import outer, product, rows, whole, wide_dtype
from jbackprop.rules._compiled import compiled_once
from jbackprop.rules._meshes import in_shares, varied_like

from ._class_chunks import delta_of, hits, logits_of, losses_of, near_one, with_class_axis, without_ignored


@compiled_once(static_argnames=("ignore_index", "tile"))
def losses_and_gradients(ignore_index, tile, x, w, b, labels, dvalues):
    """C, dx, dW and db; a device goes through its share of the examples."""
    dtype, wide, classes = jnp.result_type(x, w), wide_dtype(x, w, dvalues), w.shape[1]
    dvalues, power = near_one(dvalues, dtype)

    def one_tile(sums, part):
        x, numbers, dvalues = part
        examples = without_ignored(x, numbers, ignore_index)
        values, delta = losses_and_delta(ignore_index, examples, w, b, numbers, dvalues)
        more = outer(examples, delta), delta.sum(axis=0, dtype=wide)
        dx = without_ignored(product(delta, w.T), numbers, ignore_index)
        return jax.tree.map(jnp.add, sums, more), (values, (power * dx).astype(x.dtype))

    def share(x, labels, dvalues):
        parts = x, whole(labels)[..., None], dvalues[..., None]
        tiles = tuple(_in_tiles(rows(part), tile) for part in parts)
        inputs = tiles[0], *(part[..., 0] for part in tiles[1:])
        none = jnp.zeros(w.shape, wide), jnp.zeros(classes, wide)
        (dw, db), (values, dx) = lax.scan(one_tile, varied_like(none, inputs, w, b), inputs)
        return _out_of_tiles(values, labels.shape), _out_of_tiles(dx, x.shape), dw, db

    given = x, labels, dvalues
    of_shares = in_shares(share, *given, axes=(0, 0, 0), results=(0, 0, None, None)) if x.ndim > 1 else share(*given)
    values, dx, dw, db = of_shares
    return values, dx, power * dw, None if b is None else power * db


def losses_and_delta(ignore_index, examples, w, b, numbers, dvalues):
    """C and δ, in the arguments' common dtype."""
    classes = w.shape[1]
    z, hit = logits_of(examples, w, b, 0, classes), hits(numbers, 0, classes)
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
