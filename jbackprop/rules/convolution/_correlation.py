"""The three maps behind convolution and its gradients, for one batch axis and channels last.

X is x with t − 1 zeros between neighbours (stretched by t) and padding around, `low` before.  Channels fall in g
groups; i counts the input channels of one, o all output channels:

    y_po  = Σ_k Σ_i X[p s + k d]_i W_kio                            `correlate`
    dx_qi = Σ_{p, k: p s + k d = q t + low} Σ_o δ_po W_kio          `spread`, its transpose
    V_kio = Σ_n Σ_p X[p s + k d]_i δ_po                             `correlate_all`, summed over the batch n

A GPU or TPU has library convolutions for all three.  XLA on a CPU has one for y and dx, as fast as a matrix product for
one group of channels and up to two axes of space, and up to a hundred times slower elsewhere.  There it is, instead,

    one input and one output channel a group     a sum over k of shifted images times a row of W; V image by image
    other groups, or three axes of space         one matrix product an image, of its patches
    windows of one entry, for V                  one matrix product
    a stretched x, for V                         V of the transposed convolution: no zeros are multiplied
    windows that do not overlap, for dx          one matrix product, its patches laid side by side
    V along one axis of space                    `correlate` of arrays that are turned in memory: XLA turns them itself,
                                                 but for loops, in which it takes one entry at a time
    V elsewhere                                  one matrix product a tile, of the patches that a cache holds

So the patches of one image or tile are in memory at a time.  Autodiff of the same would keep those of all images.
"""

import functools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jbackprop.rules._arrays import beside, outer, product, rows, wide_dtype, widen
from jbackprop.rules._compiled import compiled_once
from jbackprop.rules._meshes import by_compiler, in_shares, layout, varied_like
from jbackprop.rules._windows import padded_along

from ._geometry import Geometry, is_transposing, lie_apart, stays_inside, stretched, transposed, turned_round
from ._library import (
    all_by_library,
    all_by_turning,
    correlated_by_library,
    spread_by_library,
    spread_by_turning,
)
from ._tiles import tiles


@compiled_once(static_argnames="geometry")
def correlate(x: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    """y, (n, *positions, out), from x, (n, *space, in), and W, (*window, in of a group, out)."""
    cpu = _choose(w, geometry, correlated_by_library, _correlated_by_entries, _correlated_by_patches)
    put_together = partial(_per_platform, cpu, correlated_by_library, geometry=geometry)
    return by_compiler(put_together, x, w, layouts=lambda: [_of_images(x, layout(w)[-1])])


@compiled_once(static_argnames=("geometry", "space"))
def spread(delta: jax.Array, w: jax.Array, geometry: Geometry, space: tuple[int, ...]) -> jax.Array:
    """dx, (n, *space, in), from δ, (n, *positions, out), and W, (*window, in of a group, out)."""
    cpu = _choose(w, geometry, spread_by_turning, _spread_by_entries, _spread_by_patches)
    cpu = _spread_side_by_side if geometry.groups == 1 and lie_apart(geometry) else cpu
    put_together = partial(_per_platform, cpu, spread_by_library, geometry=geometry, space=space)
    return by_compiler(put_together, delta, w, layouts=lambda: [_of_images(delta, layout(w)[-2])])


@compiled_once(static_argnames="geometry")
def correlate_all(x: jax.Array, delta: jax.Array, geometry: Geometry) -> jax.Array:
    """V, (*window, in of a group, out), from x, (n, *space, in), and δ, (n, *positions, out)."""
    kernel = jax.ShapeDtypeStruct((*geometry.window, x.shape[-1] // geometry.groups, delta.shape[-1]), x.dtype)
    of_one_group = all_by_turning if len(geometry.window) == 1 and not is_transposing(geometry) else _all_by_patches
    cpu = _choose(kernel, geometry, of_one_group, _all_by_entries, _all_by_patches)
    cpu = _all_at_once if math.prod(geometry.window) == 1 else cpu
    put_together = partial(_per_platform, cpu, all_by_library, geometry=geometry)
    space = [None] * len(geometry.window)
    return by_compiler(put_together, x, delta, layouts=lambda: [(*space, layout(x)[-1], layout(delta)[-1])])


def _of_images(images, channels):
    """How other images lie that are made of these, one of one, their channels as given."""
    return layout(images)[0], *[None] * (images.ndim - 2), channels


@compiled_once(static_argnames="geometry")
def correlate_each(x: jax.Array, delta: jax.Array, geometry: Geometry) -> jax.Array:
    """V of every image, (n, *window, in of a group, out), from x, (n, *space, in), and δ, (n, *positions, out).

    As a product of patches an image, one at a time on a CPU, else some: the library would take the images for groups.
    """
    some = partial(_each_by_patches, at_a_time=_IMAGES)
    put_together = partial(_per_platform, _each_by_patches, some, geometry=geometry)
    images, space = layout(x)[0] or layout(delta)[0], [None] * len(geometry.window)
    return by_compiler(put_together, x, delta, layouts=lambda: [(images, *space, layout(x)[-1], layout(delta)[-1])])


_IMAGES = 256
"""So many images at a time fill a GPU, whose memory then holds the patches of no more."""


def patches_of(x: jax.Array, geometry: Geometry) -> jax.Array:
    """What each window sees of one group of channels, in the kernel's order: (n, *positions, window · in)."""
    return jnp.concatenate(list(_entries(x, geometry)), axis=-1)


def _choose(w, geometry, of_one_group, by_entries, by_patches):
    """The best way on a CPU."""
    if geometry.groups == 1 and len(geometry.window) < 3:
        return of_one_group
    return by_entries if w.shape[-2] == 1 and w.shape[-1] == geometry.groups else by_patches


def _per_platform(cpu, library, a, b, **options):
    """Two arrays in their common dtype, put together in the CPU's way or by the library of the others.

    That sums half precision in float32 whatever it returns, and writes half the bytes where it returns half precision.
    """
    dtype = jnp.result_type(a, b)
    a, b = a.astype(dtype), b.astype(dtype)
    if dtype == wide_dtype(a):
        if cpu is library:
            return library(a, b, **options)
        return lax.platform_dependent(a, b, cpu=partial(cpu, **options), default=partial(library, **options))
    return lax.platform_dependent(
        a, b, cpu=lambda a, b: cpu(a, b, **options).astype(dtype), default=partial(library, **options, rounded=True)
    )


def _correlated_by_entries(x, w, geometry):
    """The sum over k that defines y, as it stands."""
    weights = rows(w).astype(wide_dtype(w))
    return sum(widen(entry) * beside(row, entry) for entry, row in zip(_entries(x, geometry), weights, strict=True))


def _spread_by_entries(delta, w, geometry, space):
    """Each row of W times δ, added to the entries that it multiplied in y."""
    weights, delta = rows(w).astype(wide_dtype(w)), widen(delta)
    return _overlapped([delta * beside(row, delta) for row in weights], geometry, space)


def _all_by_entries(x, delta, geometry):
    """Image by image, and down to a row of positions, so that XLA adds up rows and not columns of numbers."""
    of_rows = tuple(range(len(geometry.window)))[:-1]

    def step(total, pair):
        image, delta = (array[None].astype(wide_dtype(array)) for array in pair)
        products = [(entry * delta)[0].sum(of_rows) for entry in _entries(image, geometry)]
        return total + jnp.stack(products), None

    start = jnp.zeros((math.prod(geometry.window), *delta.shape[-2:]), wide_dtype(delta))
    (total,) = in_shares(partial(_added_up, step, start), x, delta, axes=(0, 0), results=(None,))
    return total.sum(1).reshape(*geometry.window, 1, delta.shape[-1])


# In the products: p position of every image, k entry of its window, g group, i and o input and output channel of it.


def _correlated_by_patches(x, w, geometry):
    """y as one product an image."""
    w = _weights(w, geometry)

    def one(image):
        patches = _patches(image[None], geometry)
        y = jnp.einsum("pkgi,kigo->pgo", rows(patches, 3), w, preferred_element_type=wide_dtype(w))
        return y.reshape(*patches.shape[1:-3], y.shape[1] * y.shape[2])

    return _of_each_image(one, x)


def _spread_by_patches(delta, w, geometry, space):
    """One product an image, its patches added up where they overlap."""
    w = _weights(w, geometry)

    def one(image):
        delta = rows(_grouped(image, geometry.groups), 2)
        patches = jnp.einsum("pgo,kigo->kpgi", delta, w, preferred_element_type=wide_dtype(w))
        entries = patches.reshape(len(w), 1, *image.shape[:-1], patches.shape[2] * patches.shape[3])
        return _overlapped(entries, geometry, space)[0]

    return _of_each_image(one, delta)


def _spread_side_by_side(delta, w, geometry, space):
    """One product: no two of its patches have a place in common."""
    n_axes, n_in = len(space), w.shape[-2]
    patches = product(delta, jnp.moveaxis(w, -1, 0).reshape(w.shape[-1], -1))
    patches = patches.reshape(*delta.shape[:-1], *geometry.window, n_in)
    for axis, (size, stride) in enumerate(zip(geometry.window, geometry.strides, strict=True), 1):
        # Positions along an axis, and then the window's entries and the gap to the next.
        patches = jnp.moveaxis(patches, n_axes + 1, axis + 1)
        patches = padded_along(patches, axis + 1, 0, stride - size)
        patches = patches.reshape(*patches.shape[:axis], patches.shape[axis] * stride, *patches.shape[axis + 2 :])
        low = geometry.padding[axis - 1][0]
        patches = padded_along(patches, axis, -low, space[axis - 1] + low - patches.shape[axis])
    return patches


def _all_by_patches(x, delta, geometry):
    """V as one product a tile, added up."""
    of_tiles = _all_transposed if is_transposing(geometry) else _all_of_tiles

    def of_share(x, delta):
        return (of_tiles(x, delta, geometry),)

    return in_shares(of_share, x, delta, axes=(0, 0), results=(None,))[0]


def _all_of_tiles(x, delta, geometry):
    *pairs, of_tile = tiles(x, delta, geometry)

    @partial(jax.checkpoint, prevent_cse=False)
    def step(total, tile):
        x, delta = (rows(images, len(geometry.window) + 1) for images in tile)
        return total + _all_at_once(x, delta, of_tile), None

    kernel = (*geometry.window, x.shape[-1] // geometry.groups, delta.shape[-1])
    return _added_up(step, jnp.zeros(kernel, wide_dtype(x)), *pairs)[0]


def _all_transposed(x, delta, geometry):
    """V of the transposed convolution, turned round: its patches are of δ, and not of x and the zeros in it.

    But where a window reaches beyond δ no infinite x may meet the zeros there.
    """
    back = transposed(geometry, x.shape[1:-1], delta.shape[1:-1])

    def turned(x, delta):
        return turned_round(_all_of_tiles(delta, x, back), geometry.groups)

    if stays_inside(back):
        return turned(x, delta)
    return lax.cond(jnp.isfinite(x).all(), turned, partial(_all_of_tiles, geometry=geometry), x, delta)


def _of_each_image(one, images):
    """one(image) of each, one after another; on a mesh every device takes its own."""
    return in_shares(lambda share: (lax.map(one, share),), images, axes=(0,), results=(0,))[0]


def _added_up(step, start, *arrays):
    """What a scan's step makes of the start, as a device's share of a result."""
    return lax.scan(step, varied_like(start, arrays), arrays)[:1]


def _each_by_patches(x, delta, geometry, at_a_time=None, rounded=False):
    """One product of patches an image, some images at a time; on a mesh every device takes its own."""
    back = transposed(geometry, x.shape[1:-1], delta.shape[1:-1])
    if is_transposing(geometry) and stays_inside(back):
        kernels = _each_by_patches(delta, x, back, at_a_time, rounded)
        return jax.vmap(partial(turned_round, groups=geometry.groups))(kernels)

    def one(pair):
        image, delta = pair
        return _all_at_once(image[None], delta[None], geometry)

    def of_share(*pairs):
        return (lax.map(one, pairs, batch_size=at_a_time),)

    (kernels,) = in_shares(of_share, x, delta, axes=(0, 0), results=(0,))
    return kernels.astype(x.dtype) if rounded else kernels


def _all_at_once(x, delta, geometry):
    """V as one product, of all patches with δ."""
    if geometry.groups == 1:
        return outer(patches_of(x, geometry), delta).reshape(*geometry.window, x.shape[-1], delta.shape[-1])
    patches, delta = rows(_patches(x, geometry), 3), rows(_grouped(delta, geometry.groups), 2)
    v = jnp.einsum("pkgi,pgo->kigo", patches, delta, preferred_element_type=wide_dtype(x))
    return v.reshape(*geometry.window, v.shape[1], v.shape[2] * v.shape[3])


def _patches(x, geometry):
    """(n, *positions, window, groups, in of a group)"""
    patches, groups = patches_of(x, geometry), geometry.groups
    return patches.reshape(*patches.shape[:-1], math.prod(geometry.window), groups, x.shape[-1] // groups)


def _weights(w, geometry):
    """(entries of the window, in of a group, groups, out of a group)"""
    return w.reshape(math.prod(geometry.window), w.shape[-2], geometry.groups, w.shape[-1] // geometry.groups)


def _grouped(x, groups):
    return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)


def _entries(x, geometry):
    """X[p s + k d] at every position p, (n, *positions, in), for each k."""
    around = zip(geometry.padding, geometry.stretch, strict=True)
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((*pads, t - 1) for pads, t in around), (0, 0, 0)])
    strides = (1, *geometry.strides, 1)
    for k in np.ndindex(*geometry.window):
        start = [0, *np.multiply(k, geometry.dilation), 0]
        past = zip(x.shape[1:-1], geometry.window, k, geometry.dilation, strict=True)
        stop = [x.shape[0], *(size - (w - 1 - k) * d for size, w, k, d in past), x.shape[-1]]
        yield lax.slice(x, start, stop, strides)


def _overlapped(entries, geometry, space):
    """(n, *space, in), each of the entries for k added at X[p s + k d]: the transpose of `_entries`."""
    windows = np.ndindex(*geometry.window)
    placed = [_placed(entry, k, geometry, space) for k, entry in zip(windows, entries, strict=True)]
    return functools.reduce(jnp.add, placed)[:, *(slice(None, None, t) for t in geometry.stretch)]


def _placed(entry, k, geometry, space):
    config = [(0, 0, 0)] * entry.ndim
    for axis, (low, _) in enumerate(geometry.padding):
        start, stride = k[axis] * geometry.dilation[axis] - low, geometry.strides[axis]
        after = stretched(space[axis], geometry.stretch[axis]) - start - stretched(entry.shape[axis + 1], stride)
        config[axis + 1] = (start, after, stride - 1)
    return lax.pad(entry, jnp.zeros((), entry.dtype), config)
