"""Arrays that lie on several devices.  JAX tells of a mesh axis in one of three ways, and a rule answers to each.

    manual      inside `jax.shard_map`.  An array is a device's own, and its type names the axes along which it varies.
                The gradient of an argument that does not vary is the sum over the devices (`gradient_like`), and what a
                loop carries begins as varied as it ends (`varied_like`).
    explicit    the mesh of `jax.make_mesh`.  An array's type says how it is spread, and a gradient is spread as its
                argument is.  Where JAX has no rule for how a result is spread, the compiler finds it (`by_compiler`).
    automatic   nothing is known when a rule is traced.  So nothing is written that makes sense on one device alone: no
                axes merged into one, of which the compiler could spread only the first (`may_be_spread`), and no loop
                over examples, which it could not divide (`in_shares`).

On one device all of these do nothing, and the program is the one without them.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

T = TypeVar("T")


def varying(*trees: Any) -> frozenset[str]:
    """The mesh axes along which an array of the trees varies, inside `jax.shard_map`."""
    return frozenset().union(*(jax.typeof(leaf).manual_axis_type.varying for leaf in jax.tree.leaves(trees)))


def varied_like(tree: T, *others: Any) -> T:
    """The same arrays, as varied as the others are besides."""
    axes = varying(others)

    def more(leaf):
        missing = tuple(sorted(axes - varying(leaf)))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(more, tree)


def gradient_like(argument: jax.Array, gradient: jax.Array) -> jax.Array:
    """A gradient as its argument lies: summed over the devices that share it, or spread."""
    surplus = tuple(sorted(varying(gradient) - varying(argument)))
    gradient = varied_like(jax.lax.psum(gradient, surplus) if surplus else gradient, argument)
    return _laid(gradient, layout(argument)[jnp.ndim(argument) - gradient.ndim :])


def layout(array: jax.Array) -> tuple:
    """The explicit mesh axes over which each axis of an array is spread, None for none."""
    return tuple(jax.typeof(array).sharding.spec.partitions)


def summed_where(a: jax.Array, b: jax.Array, axes: tuple[tuple[int, ...], tuple[int, ...]]) -> NamedSharding | None:
    """How a product of a and b lies that is summed over these axes of each; None where JAX knows.

    Where both have an axis that is spread over the same devices, that of a stays so.
    """
    of_a, of_b = layout(a), layout(b)
    left, right = ([s for i, s in enumerate(of) if i not in own] for of, own in zip((of_a, of_b), axes, strict=True))
    twice = _names(left) & _names(right)
    if not twice and all(of_a[i] is None or of_b[j] is None for i, j in zip(*axes, strict=True)):
        return None
    right = [None if _names([s]) & twice else s for s in right]
    return NamedSharding(jax.typeof(a).sharding.mesh, PartitionSpec(*left, *right))


def _names(spread):
    """The axes of a mesh in a layout."""
    return {name for names in spread if names for name in ((names,) if isinstance(names, str) else names)}


def by_compiler(f: Callable[..., T], *arrays: Any, layouts: Callable[[], Any]) -> T:
    """f(*arrays), the axes of an explicit mesh left to the compiler inside.

    Args:
      f: a function of these arrays alone, which closes over no other.
      arrays: trees of arrays.
      layouts: () -> how each result is spread, as `layout` has it, in a list.
    """
    mesh = _mesh(arrays)
    axes = _explicit_axes(mesh)
    if not axes:
        return f(*arrays)
    results = []

    def flat(*arrays):
        leaves, tree = jax.tree.flatten(f(*arrays))
        results.append(tree)
        return leaves

    places = [NamedSharding(mesh, PartitionSpec(*each)) for each in layouts()]
    automatic: Any = jax.sharding.auto_axes(flat, axes=axes, out_sharding=places)
    leaves = automatic(*arrays)
    return jax.tree.unflatten(results[-1], leaves)


def may_be_spread(array: jax.Array) -> bool:
    """Whether an array's axes have to stay apart, since it may lie on several devices."""
    return automatic_devices(jax.typeof(array).sharding.mesh) > 1 or any(layout(array))


def shares(array: jax.Array, axis: int) -> int:
    """Into how many equal parts an axis may be divided, so that no device needs another's part to work on its own."""
    mesh, names = jax.typeof(array).sharding.mesh, layout(array)[axis] or ()
    known = math.prod(mesh.shape[name] for name in ((names,) if isinstance(names, str) else names))
    return known * math.gcd(array.shape[axis] // known, automatic_devices(mesh))


def in_shares(f: Callable[..., tuple], *arrays: Any, axes: tuple[Any, ...], results: tuple[int | None, ...]) -> tuple:
    """f(*arrays), taken of each share of an axis at once.

    A loop over that axis then takes as many steps as a device has entries, and none of them waits for another device.

    Args:
      f: a function of trees of arrays that returns a tuple of such.
      axes: which axis of each argument is shared out, None for none; that of the first says into how many parts.
      results: at which axis of each result the shares follow one another; None where they are added up.
    """
    first = jax.tree.leaves(arrays[0])[0]
    count = shares(first, axes[0])
    if count == 1:
        return _in_one(f, arrays, axes, results, layout(first)[axes[0]])
    divided = [_each(_divided, tree, axis, count) for tree, axis in zip(arrays, axes, strict=True)]
    of_shares = jax.vmap(f, in_axes=axes, out_axes=tuple(axis or 0 for axis in results))(*divided)
    return tuple(_each(_joined, tree, axis) for tree, axis in zip(of_shares, results, strict=True))


def _in_one(f, arrays, axes, results, spread):
    """f(*arrays); a mesh of one device, over which an axis is spread, is in the types all the same."""
    if not spread:
        return f(*arrays)
    whole = (_each(_spread_over, tree, axis, None) for tree, axis in zip(arrays, axes, strict=True))
    return tuple(_each(_spread_over, tree, axis, spread) for tree, axis in zip(f(*whole), results, strict=True))


def _spread_over(array, axis, names):
    """The array with one axis spread over these axes of its mesh."""
    if axis is None:
        return array
    spread = layout(array)
    return _laid(array, (*spread[:axis], names, *spread[axis + 1 :]))


def whole_on_one(*trees: Any) -> Any:
    """The arrays spread over nothing, if their explicit mesh is one device: for loops, in which types have to agree."""

    def whole(array):
        mesh = jax.typeof(array).sharding.mesh
        return _laid(array, (None,) * jnp.ndim(array)) if math.prod(_explicit_sizes(mesh)) == 1 else array

    return jax.tree.map(whole, trees)


def laid(array: jax.Array, first: tuple) -> jax.Array:
    """An array of which the first axes are spread so, and the others not, if its explicit mesh is one device."""
    wanted = *first, *[None] * (jnp.ndim(array) - len(first))
    return _laid(array, wanted) if math.prod(_explicit_sizes(_mesh((array,)))) == 1 else array


def laid_like(array: jax.Array, other: jax.Array) -> jax.Array:
    """An array of the same shape as another one, spread as that is."""
    return _laid(array, layout(other)) if _explicit_axes(_mesh((other,))) else array


def repeated(array: jax.Array, other: jax.Array) -> jax.Array:
    """The array once for each entry of another one's first axis, spread as that axis is."""
    first = layout(other)[0]
    rest = [None if _names([first]) & _names([spread]) else spread for spread in layout(array)]
    return _laid(jnp.broadcast_to(array, (len(other), *jnp.shape(array))), (first, *rest))


def once(array: jax.Array) -> jax.Array:
    """The array that `repeated` repeats."""
    return by_compiler(lambda array: array[0], array, layouts=lambda: [layout(array)[1:]])


def merged(array: jax.Array, axes: int) -> jax.Array:
    """The last so many axes as one, over which nothing is spread."""
    first, shape = layout(array)[:-axes], array.shape
    return _reshaped(_laid(array, (*first, *[None] * axes)), (*shape[:-axes], math.prod(shape[-axes:])), (*first, None))


def _laid(array, wanted):
    mesh = _mesh((array,))
    if not _explicit_axes(mesh) or layout(array) == wanted:
        return array
    return jax.sharding.reshard(array, NamedSharding(mesh, PartitionSpec(*wanted)))


def _each(f, tree, axis, *more):
    return jax.tree.map(lambda leaf: f(leaf, axis, *more), tree)


def _divided(array, axis, count):
    if axis is None:
        return array
    shape = *array.shape[:axis], count, array.shape[axis] // count, *array.shape[axis + 1 :]
    spread = layout(array)
    return _reshaped(array, shape, (*spread[: axis + 1], None, *spread[axis + 1 :]))


def _joined(array, axis):
    if axis is None:
        return array.sum(axis=0)
    shape = *array.shape[:axis], array.shape[axis] * array.shape[axis + 1], *array.shape[axis + 2 :]
    spread = layout(array)
    return _reshaped(array, shape, (*spread[: axis + 1], *spread[axis + 2 :]))


def _reshaped(array, shape, spread):
    """In another shape, spread as is said: JAX sees no axis of a mesh in an axis of size 1."""
    if not any(spread):
        return array.reshape(shape)
    return jax.lax.reshape(
        array, shape, out_sharding=NamedSharding(jax.typeof(array).sharding.mesh, PartitionSpec(*spread))
    )


def automatic_devices(mesh: AbstractMesh) -> int:
    """Over how many devices the compiler may spread an array of this mesh."""
    if mesh.empty:
        return jax.device_count()
    return math.prod(mesh.shape[axis] for axis in mesh.auto_axes)


def _explicit_sizes(mesh):
    return [mesh.shape[axis] for axis in _explicit_axes(mesh)]


def _explicit_axes(mesh: AbstractMesh) -> tuple[str, ...]:
    return () if mesh.empty else mesh.explicit_axes


def _mesh(arrays):
    meshes = (jax.typeof(leaf).sharding.mesh for leaf in jax.tree.leaves(arrays))
    return next((mesh for mesh in meshes if not mesh.empty), jax.sharding.get_abstract_mesh())
