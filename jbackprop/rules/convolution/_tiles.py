"""Images and their δ in tiles, of which a kernel's gradient is added up: some images, or a band of rows of each.

A tile's patches are in the cache when the product reads them, and no image is too large to be laid out.
"""

import math

import jax
import jax.numpy as jnp

from jbackprop.rules._arrays import rows
from jbackprop.rules._windows import padded_along

from ._geometry import Geometry, reach

_BYTES = 3 * 2**20
"""Most of a tile's patches and δ.  Of ½ to 32 MiB, 2 and 3 are the fastest on two cores that have 1 MiB each."""


def tiles(x: jax.Array, delta: jax.Array, geometry: Geometry) -> tuple[jax.Array, jax.Array, Geometry]:
    """x, (n, *space, in), and δ, (n, *positions, out), with an axis of tiles before n's, and how windows lie there.

    Tiles of one image have no axis of images: with it XLA would turn x and δ round.
    """
    numbers = math.prod(geometry.window) * x.shape[-1] + delta.shape[-1]
    row = math.prod(delta.shape[2:-1]) * numbers * x.dtype.itemsize
    size = _divisor(delta.shape[1], _BYTES // max(1, row))
    if size < delta.shape[1]:
        x, delta, geometry = _in_bands(x, delta, geometry, size)
    most = max(1, min(len(x), _BYTES // max(1, size * row)))
    size = _divisor(len(x), most)
    count = math.ceil(len(x) / (size if 2 * size >= most else most))
    return _divided(x, count), _divided(delta, count), geometry


def _divisor(number, most):
    """The largest divisor that is at most so large."""
    return next((size for size in range(min(number, most), 0, -1) if number % size == 0), 1)


def _in_bands(x, delta, geometry, size):
    """Bands of so many rows of positions as images of their own, and what their windows see of x."""
    count, stride, ((low, high), *pads) = delta.shape[1] // size, geometry.strides[0], geometry.padding
    x = padded_along(x, 1, low, high, between=geometry.stretch[0] - 1)
    seen, apart = (size - 1) * stride + reach(geometry, 0), size * stride
    blocks = math.ceil(seen / apart)  # of rows from one band's first to the next one's, in which a band's windows lie
    x = padded_along(x, 1, 0, (count + blocks - 1) * apart - x.shape[1])
    x = x.reshape(len(x), count + blocks - 1, apart, *x.shape[2:])
    x = jnp.concatenate([x[:, block : block + count] for block in range(blocks)], axis=2)[:, :, :seen]
    delta = delta.reshape(len(delta), count, size, *delta.shape[2:])
    geometry = geometry._replace(padding=((0, 0), *pads), stretch=(1, *geometry.stretch[1:]))
    return rows(x, x.ndim - 2), rows(delta, delta.ndim - 2), geometry


def _divided(images, count):
    """(n, ...) -> (count, ⌈n / count⌉, ...), images of zeros last; as they are where that is one each."""
    if count == len(images):
        return images
    size = math.ceil(len(images) / max(1, count))
    images = padded_along(images, 0, 0, size * count - len(images))
    return images.reshape(count, size, *images.shape[1:])
