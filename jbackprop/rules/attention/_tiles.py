"""The tiles of attention: which of them a causal mask and a window leave, and what one is made of.

A head's matrix of logits has a row for each query and a column for each key.  It is cut into squares, of which only
those that some query may see are visited, one after another: the scan over them is what keeps memory linear, for XLA
would hold all tiles of a program without a loop at once.  The visits are listed when the program is traced, so that
the scan can be differentiated and no tile is skipped at run time.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jbackprop.rules._arrays import rows, whole, widen, within


class Arguments(NamedTuple):
    """The arrays of a call, None where absent; or the same flattened; or where a head finds its part of each."""

    query: Any
    key: Any
    value: Any
    bias: Any
    mask: Any
    query_lengths: Any
    key_lengths: Any


Window = int | tuple[int, int] | None


class Tiling(NamedTuple):
    """How the logits are cut, and what holds for all of them.

    Attributes:
      rows: queries in a tile; the arrays are padded to multiples of it.
      columns: keys in a tile, likewise.
      source: how many keys there are.
      left: how many keys before its own place a query sees.
      right: how many after it.
      scale: of the products.
      inner: first query and first key of each tile that is seen wholly.
      edge: the same of each tile in which places alone hide some pairs, or the padding.
    """

    rows: int
    columns: int
    source: int
    left: int
    right: int
    scale: float
    inner: np.ndarray
    edge: np.ndarray


class Tile(NamedTuple):
    """One visit: the first query, the first key, and whether their places hide some pairs."""

    row: jax.Array
    column: jax.Array
    edge: bool


def tiling(given: Arguments, scale: float | None, is_causal: bool, window: Window, side: int | None) -> Tiling:
    """The tiles that some query may see."""
    (time, _, depth), source = given.query.shape[-3:], given.key.shape[-3]
    left, right = (window, window) if isinstance(window, int) else window or (time + source, time + source)
    rows, columns = (max(1, min(side or _SIDE, size)) for size in (time, source))
    scale = 1 / math.sqrt(max(depth, 1)) if scale is None else scale
    nothing = np.zeros((0, 2), np.int32)
    cut = Tiling(rows, columns, source, left, 0 if is_causal else right, scale, nothing, nothing)
    return _listed(cut, time) if given.query.size else cut


_SIDE = 512
_FIRST = np.int32(0)


def _listed(cut, time):
    """The tiling with its visits."""
    row, column = np.mgrid[0 : time : cut.rows, 0 : cut.source : cut.columns].astype(np.int32).reshape(2, -1)
    last_row, last_column = np.minimum(row + cut.rows, time) - 1, column + cut.columns - 1
    some = (column <= last_row + cut.right) & (np.minimum(last_column, cut.source - 1) >= row - cut.left)
    every = (last_column <= row + cut.right) & (column >= last_row - cut.left) & (last_column < cut.source)
    starts = np.stack([row, column], axis=1)
    return cut._replace(inner=starts[some & every], edge=starts[some & ~every])


def over_tiles(step: Callable[[Any, Tile], Any], carry: Any, cut: Tiling) -> Any:
    """What is left of the carry after each tile's step, one after another; inner tiles are spared the comparisons."""
    for starts, edge in ((cut.inner, False), (cut.edge, True)):
        if len(starts):
            carry, _ = lax.scan(
                lambda carry, at, edge=edge: (step(carry, Tile(at[0], at[1], edge)), None), carry, starts
            )
    return carry


def over_heads(one_head: Callable, *mapped: Any) -> Any:
    """one_head of each head: on a CPU one after another, so that a tile fits the cache, elsewhere all at once."""
    return lax.platform_dependent(
        *mapped,
        cpu=lambda *mapped: lax.map(lambda head: one_head(*head), mapped),
        default=jax.vmap(one_head),
    )


def flattened(given: Arguments, cut: Tiling) -> Arguments:
    """Every array with its batch axes as one, and the sequence padded to whole tiles.

    query, key and value: (batch, time, heads, depth); bias and mask: (batch · heads, time, source), where an axis of
    size 1 stays so; lengths: (batch,).
    """
    key, value = (within(x, given.key_lengths, trailing=2) for x in (given.key, given.value))
    return Arguments(
        sequences(within(given.query, given.query_lengths, trailing=2), cut.rows),
        sequences(key, cut.columns),
        sequences(value, cut.columns),
        _matrices(given.bias, cut),
        _matrices(given.mask, cut),
        *(None if lengths is None else whole(lengths).reshape(-1) for lengths in given[5:]),
    )


def sequences(x: jax.Array, side: int) -> jax.Array:
    """(*batch, time, heads, depth) -> (batch, padded time, heads, depth)."""
    return _padded(rows(x, axes=3), 1, side)


def _matrices(array, cut):
    if array is None:
        return None
    array = rows(array, axes=2)
    for axis, side in ((1, cut.rows), (2, cut.columns)):
        array = array if array.shape[axis] == 1 else _padded(array, axis, side)
    return array


def _padded(x, axis, side):
    """x with zeros up to whole tiles."""
    return jnp.pad(x, [(0, -size % side if k == axis else 0) for k, size in enumerate(x.shape)])


def heads_first(x: jax.Array, side: int) -> jax.Array:
    """(*batch, time, heads, depth) -> (batch · heads, padded time, depth)."""
    x = jnp.swapaxes(sequences(x, side), 1, 2)
    return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])


def unflattened(x: jax.Array, like: jax.Array) -> jax.Array:
    """(batch · query heads, padded time, depth) -> batch, time, heads and dtype of another array.

    Query heads that share a head of it are summed.
    """
    *batch, time, heads, _ = like.shape
    sharing = len(x) // max(math.prod(batch) * heads, 1)
    x = x[:, :time].reshape(*batch, heads, sharing, time, x.shape[-1]).sum(axis=-3)
    return jnp.swapaxes(x, -2, -3).astype(like.dtype)


def summed_to(dbias: jax.Array, given: Arguments, cut: Tiling) -> jax.Array:
    """The gradient of a bias from that of each head, (batch · heads, padded time, padded source)."""
    *batch, time, heads, _ = given.query.shape
    dbias = dbias[:, :time, : cut.source].reshape(*batch, heads, *given.bias.shape[-2:])
    extra = dbias.ndim - given.bias.ndim
    ones = [axis for axis in range(extra, dbias.ndim) if given.bias.shape[axis - extra] == 1]
    return dbias.sum(axis=(*range(extra), *ones)).reshape(given.bias.shape).astype(given.bias.dtype)


def places(given: Arguments) -> Arguments:
    """Where each query head finds its part: of query, key and value (example, head), of the others one number."""
    *batch, _, heads, _ = given.query.shape
    examples, head = (n.reshape(-1) for n in np.mgrid[: math.prod(batch), :heads].astype(np.int32))
    of_key = examples, head // (heads // given.key.shape[-2])
    bias, mask = (None if array is None else _spread(array.shape[:-2], (*batch, heads)) for array in given[3:5])
    return Arguments((examples, head), of_key, of_key, bias, mask, examples, examples)


def _spread(shape, wanted):
    """For each entry of a wanted shape, the flat number of the one of `shape` that is broadcast to it."""
    return np.broadcast_to(np.arange(math.prod(shape), dtype=np.int32).reshape(shape), wanted).reshape(-1)


def queries(flat: Arguments, at: Arguments, tile: Tile, cut: Tiling) -> jax.Array:
    """(side, depth): a tile's queries, scaled."""
    return part_of_head(flat.query, at.query, tile.row, cut.rows) * cut.scale


def part_of_head(array: jax.Array, place: tuple, start: jax.Array, side: int) -> jax.Array:
    """(side, depth): a tile's queries, keys or values of one head."""
    example, head = place
    part = lax.dynamic_slice(array, (example, start, head, _FIRST), (1, side, 1, array.shape[-1]))
    return widen(part[0, :, 0])


def take(array: jax.Array, tile: Tile, cut: Tiling) -> jax.Array:
    """A tile's queries of a head's array."""
    return lax.dynamic_slice_in_dim(array, tile.row, cut.rows)


def put(array: jax.Array, part: jax.Array, tile: Tile) -> jax.Array:
    """The array with a tile's queries replaced, in place."""
    return lax.dynamic_update_slice_in_dim(array, part, tile.row, 0)


def add(total: jax.Array, part: jax.Array, start: jax.Array, axis: int = 0) -> jax.Array:
    """total with a part of it increased, in place."""
    here = lax.dynamic_slice_in_dim(total, start, part.shape[axis], axis)
    return lax.dynamic_update_slice_in_dim(total, here + part, start, axis)


def add_matrix(total: jax.Array, part: jax.Array, tile: Tile) -> jax.Array:
    """The same with a tile of a matrix, summed first over the axes that are broadcast."""
    ones = tuple(axis for axis, size in enumerate(total.shape) if size == 1)
    part, start = part.sum(axis=ones, keepdims=True), _start(total.shape, tile)
    return lax.dynamic_update_slice(total, lax.dynamic_slice(total, start, part.shape) + part, start)


def biased(logits, flat, at, tile, cut, turned=False):
    """logits + B."""
    if flat.bias is None:
        return logits
    return logits + _turn(widen(_matrix(flat.bias, at.bias, tile, cut)), turned)


def masked(array: jax.Array, sight: jax.Array | None, hidden: float) -> jax.Array:
    return array if sight is None else jnp.where(sight, array, hidden)


def seen(flat: Arguments, at: Arguments, tile: Tile, cut: Tiling, turned: bool = False) -> jax.Array | None:
    """Which queries of a tile may look at which keys, (queries, keys) or turned, or 1 for either; None for all."""
    row, column = tile.row + jnp.arange(cut.rows)[:, None], tile.column + jnp.arange(cut.columns)[None]
    conditions = []
    if tile.edge:
        conditions += [column < cut.source, column <= row + cut.right, column >= row - cut.left]
    if flat.mask is not None:
        conditions.append(_matrix(flat.mask, at.mask, tile, cut))
    if flat.query_lengths is not None:
        conditions.append(row < flat.query_lengths[at.query_lengths])
    if flat.key_lengths is not None:
        conditions.append(column < flat.key_lengths[at.key_lengths])
    return functools.reduce(jnp.logical_and, (_turn(c, turned) for c in conditions)) if conditions else None


def _matrix(array, place, tile, cut):
    """A tile of one head's bias or mask, with 1 for an axis that is broadcast."""
    sizes = [1 if size == 1 else side for size, side in zip(array.shape[1:], (cut.rows, cut.columns), strict=True)]
    return lax.dynamic_slice(array, (place, *_start(array.shape[1:], tile)), (1, *sizes))[0]


def _start(shape, tile):
    return [_FIRST if size == 1 else at for size, at in zip(shape, (tile.row, tile.column), strict=True)]


def _turn(matrix, turned):
    return matrix.T if turned else matrix
