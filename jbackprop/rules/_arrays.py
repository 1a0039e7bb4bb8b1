"""What every rule asks of its arrays: a floating dtype, shapes that belong together, and enough precision inside.

Beside it, what several rules do with them: products, gradients in their arguments' dtypes, and residuals that hold
only a shape.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from ._compiled import compiled_once
from ._meshes import by_compiler, gradient_like, layout, may_be_spread, summed_where, varying

Axis = int | tuple[int, ...] | None


def dtype_of(rule: str, name: str, array: Any) -> np.dtype:
    """The dtype of an array or a number; TypeError for what is neither, as a list, which to JAX is a tree."""
    if not (hasattr(array, "dtype") or isinstance(array, int | float | complex)):
        raise TypeError(f"{rule}: {name}, wanted an array, got {'None' if array is None else type(array).__name__}")
    return jnp.result_type(array)


def check_floating(rule: str, **arrays: jax.Array) -> None:
    """Raises TypeError unless every array (a keyword is its argument's name) holds real floating point numbers."""
    for name, array in arrays.items():
        dtype = dtype_of(rule, name, array)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(f"{rule}: {name}, wanted a floating point array, got {dtype}")


def check_real(rule: str, **arrays: jax.Array) -> None:
    """Raises TypeError where an array (a keyword is its argument's name) holds complex numbers, or none at all."""
    for name, array in arrays.items():
        dtype = dtype_of(rule, name, array)
        if not any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
            raise TypeError(f"{rule}: {name}, wanted real numbers, got {dtype}")


def in_floating_point(x: jax.Array) -> jax.Array:
    """x, and integers and booleans as JAX's functions take them: in its default floating point dtype."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.result_type(float))


def given(**arrays: jax.Array | None) -> dict[str, jax.Array]:
    """The optional arguments that are there."""
    return {name: array for name, array in arrays.items() if array is not None}


def check_integers(rule: str, **arrays: jax.Array) -> None:
    """Raises TypeError unless every array (a keyword is its argument's name) holds integers."""
    for name, array in arrays.items():
        dtype = dtype_of(rule, name, array)
        if not jnp.issubdtype(dtype, jnp.integer):
            raise TypeError(f"{rule}: {name}, wanted integers, got {dtype}")


def check_key(who: str, key: Any) -> None:
    """Raises TypeError unless it is one random key, new style or old."""
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    new = shape == () and dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if not (new or (dtype == jnp.uint32 and shape is not None and len(shape) == 1)):
        got = int(key) if isinstance(key, int) else key if shape is None else f"{dtype} of shape {shape}"
        raise TypeError(f"{who}: key, wanted one random key, such as jax.random.key(0), got {got}")


def whole(numbers: jax.Array) -> jax.Array:
    """Integers as signed ones of 32 bits at least: in a narrow or unsigned dtype other numbers wrap beside them.

    What is too large for that becomes the largest of them, which names nothing either.
    """
    dtype = jnp.dtype(f"int{max(32, 8 * numbers.dtype.itemsize)}")
    most = jnp.iinfo(dtype).max
    fitting = jnp.minimum(numbers, most) if jnp.iinfo(numbers.dtype).max > most else numbers
    return fitting.astype(dtype)


def check_numbers(rule: str, name: str, numbers: jax.Array, most: int, wanted: str) -> None:
    """Raises TypeError unless the numbers are integers, ValueError if one that is known is not in [0, most].

    Under `jit` they are not known.  `wanted` says in words what they should be.
    """
    check_integers(rule, **{name: numbers})
    if isinstance(numbers, jax.core.Tracer):
        return
    known = np.asarray(numbers)  # jax.numpy would be traced where a jitted function closes over them
    if known.size and (known.min() < 0 or known.max() > most):
        raise ValueError(f"{rule}: {name}, wanted {wanted}, got {known.min()} to {known.max()}")


def check_same_shape(rule: str, **arrays: jax.Array) -> None:
    """Raises ValueError unless two arrays have one shape: NumPy would broadcast them and sum the wrong things."""
    (first, wanted), (second, got) = ((name, jnp.shape(array)) for name, array in arrays.items())
    if wanted != got:
        raise ValueError(f"{rule}: {second}, wanted shape {wanted} (that of {first}), got {got}")


def check_pair(loss: str, **pair: jax.Array) -> None:
    """Raises ValueError unless two arrays have one shape of at least one axis, the features."""
    check_same_shape(loss, **pair)
    for name, array in pair.items():
        if jnp.ndim(array) < 1:
            raise ValueError(f"{loss}: {name}, wanted at least one axis (the features), got ()")


def check_axis(rule: str, axis: Axis, **array: jax.Array) -> None:
    """Raises ValueError unless an axis, or each of several, is one of the array's (a keyword is its name)."""
    ((name, of),) = array.items()
    for number in (axis,) if isinstance(axis, int) else axis or ():
        if not -jnp.ndim(of) <= number < jnp.ndim(of):
            raise ValueError(f"{rule}: axis, wanted one of the {jnp.ndim(of)} of {name}, got {axis}")


def check_where(rule: str, where: jax.Array | None, **array: jax.Array) -> None:
    """Raises TypeError unless it holds booleans, ValueError unless it broadcasts to the array (a keyword: its name)."""
    if where is None:
        return
    dtype = dtype_of(rule, "where", where)
    if not jnp.issubdtype(dtype, jnp.bool_):
        raise TypeError(f"{rule}: where, wanted booleans, got {dtype}")
    check_broadcasts(rule, "where", where, **array)


def check_broadcasts(rule: str, name: str, array: jax.Array, **other: jax.Array) -> None:
    """Raises ValueError unless an array broadcasts to the shape of another one (a keyword is its name)."""
    ((of, to),) = other.items()
    shape, wanted = jnp.shape(array), jnp.shape(to)
    sizes = zip(reversed(shape), reversed(wanted), strict=False)
    if len(shape) > len(wanted) or any(size not in (1, full) for size, full in sizes):
        raise ValueError(f"{rule}: {name}, wanted a shape that broadcasts to {wanted} (that of {of}), got {shape}")


def counted(x: jax.Array, where: jax.Array | None, other: jax.typing.ArrayLike = 0) -> jax.Array:
    """x where it counts, else the other number, whatever stands there; None counts all."""
    return x if where is None else jnp.where(where, x, other)


def put_back(summed: jax.Array, axis: Axis, ndim: int) -> jax.Array:
    """A sum over an axis (or several, or None for all ndim) with size 1 in its place, to broadcast over the terms."""
    return jnp.expand_dims(summed, tuple(range(ndim)) if axis is None else axis)


def summed_as(gradient: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The gradient of what was broadcast from a shape: the sum over all to which an entry went."""
    extra = gradient.ndim - len(shape)
    ones = [extra + i for i, size in enumerate(shape) if size == 1 and gradient.shape[extra + i] != 1]
    return gradient.sum(axis=(*range(extra), *ones)).reshape(shape)


def widen(x: jax.Array) -> jax.Array:
    """x in float32 at least: half precision is for storage, sums and products of several factors need more."""
    x = jnp.asarray(x)
    return x.astype(wide_dtype(x))


def difference(a: jax.Array, b: jax.Array) -> jax.Array:
    """a − b in float32 at least, b perhaps integers or booleans."""
    wide, b = widen(a), jnp.asarray(b)
    return wide - (widen(b) if jnp.issubdtype(b.dtype, jnp.floating) else b.astype(wide.dtype))


def magnitude(x: jax.Array, axis: Axis, least: jax.Array | float = 0.0) -> jax.Array:
    """A power of 2 near the largest |x| along an axis, kept: over it, the squares of x neither overflow nor vanish.

    Dividing by a power of 2 rounds nothing, and the power is a constant to derivatives: what is made of x over it is
    multiplied by it again.

    Args:
      x: any array in float32 at least.
      axis: or axes, as of a sum.
      least: the largest |x| counts as no less; 1 where that is 0 too, or so near that its reciprocal is ∞.
    """
    limits = jnp.finfo(x.dtype)
    largest = jax.lax.stop_gradient(jnp.maximum(jnp.abs(x).max(axis, keepdims=True, initial=0), least))
    power = jax.lax.reduce_precision(jnp.minimum(largest, limits.max / 4), limits.nexp, 0)
    return jnp.where(power < limits.tiny, 1, power)


def over_square(number: Any, unit: Any) -> Any:
    """number / unit², of which XLA would compute unit² first: where that is 0, 0 over it is no number."""
    once = number / unit
    return (computed_once(once) if isinstance(once, jax.Array) else once) / unit


def computed_once(statistic: jax.Array) -> jax.Array:
    """The same numbers, computed once and at their own size; XLA on a CPU might write them out at that of x."""
    return jax.lax.optimization_barrier(statistic)


def wide_dtype(*arrays: jax.Array) -> DTypeLike:
    """The dtype in which a result of these arrays is accumulated: theirs, and float32 at least.

    It is picked, not promoted to: JAX can be told to refuse promotion, and half precision is widened on purpose.
    """
    dtype = jnp.result_type(*arrays)
    return dtype if jnp.issubdtype(dtype, jnp.inexact) and dtype.itemsize >= 4 else jnp.dtype(jnp.float32)


def beside(array: jax.Array, other: jax.Array) -> jax.Array:
    """The array as it goes into a sum or a product with another: with as many axes, and wide where that one is.

    NumPy would see to both by itself, and JAX can be told not to.
    """
    array = widen(array) if jnp.result_type(other) == wide_dtype(other) else array
    return jnp.expand_dims(array, tuple(range(jnp.ndim(other) - jnp.ndim(array))))


def cotangent(argument: jax.Array | None, gradient: Any) -> Any:
    """The gradient in its argument's dtype, and on a mesh where its argument is.

    None, JAX's zero, for integers, booleans and what was not given.
    """
    if argument is None or not jnp.issubdtype(jnp.result_type(argument), jnp.floating):
        return None
    return gradient_like(argument, gradient).astype(jnp.result_type(argument))


def rows(x: jax.Array, axes: int = 1) -> jax.Array:
    """(*batch, …) -> (examples, …): every axis before the last so many as one."""
    return x.reshape(math.prod(x.shape[:-axes]), *x.shape[-axes:])


def product(a: jax.Array, b: jax.Array, rounded: bool = False) -> jax.Array:
    """A product over a's last axis and b's first, in float32 at least, or rounded to the common dtype."""
    if a.ndim != 2 and not may_be_spread(a):
        return _summed(rows(a), b, ((1,), (0,)), rounded).reshape(*a.shape[:-1], b.shape[-1])
    return _summed(a, b, ((a.ndim - 1,), (0,)), rounded)


def outer(a: jax.Array, b: jax.Array, rounded: bool = False) -> jax.Array:
    """aᵀ b: a product over all axes but the last of both, in float32 at least, or rounded to the common dtype.

    XLA turns a round where it sums over two axes at once; over one, where they can be merged, it does not.
    """
    if a.ndim != 2 and not (may_be_spread(a) or may_be_spread(b)):
        a, b = rows(a), rows(b)
    axes = tuple(range(a.ndim - 1))
    return _summed(a, b, (axes, axes), rounded)


def _summed(a, b, axes, rounded):
    """An accelerator sums in float32 whatever it returns, and writes half the bytes where that is half precision."""
    dtype, wide = jnp.result_type(a, b), wide_dtype(a, b)
    if rounded and dtype != wide and not (varying(a, b) or any(layout(a) + layout(b))):
        return _rounded(a.astype(dtype), b.astype(dtype), axes)
    where = summed_where(a, b, axes)
    z = jax.lax.dot_general(a, b, (axes, ((), ())), preferred_element_type=wide, out_sharding=where)
    return z.astype(dtype) if rounded else z


@compiled_once(static_argnames="axes")
def _rounded(a, b, axes):
    of = partial(jax.lax.dot_general, dimension_numbers=(axes, ((), ())))
    return jax.lax.platform_dependent(
        a, b, cpu=lambda a, b: of(a, b, preferred_element_type=wide_dtype(a)).astype(a.dtype), default=of
    )


def at_rows(table: jax.Array, numbers: jax.Array, **options: Any) -> jax.Array:
    """table[numbers], (*batch, *others) from (rows, *others) and (*batch,); options as for `table.at[…].get`."""

    def looked_up(table, numbers):
        return table.at[numbers].get(**options)

    return by_compiler(looked_up, table, numbers, layouts=lambda: [layout(numbers) + layout(table)[1:]])


def added_at_rows(rows: int, numbers: jax.Array, parts: jax.Array, **options: Any) -> jax.Array:
    """(rows, *others): Σ of the parts, (*batch, *others), with each row's number, (*batch,); options as for `.at`."""
    others = parts.shape[numbers.ndim :]

    def added(numbers, parts):
        return jnp.zeros((rows, *others), parts.dtype).at[numbers].add(parts, **options)

    return by_compiler(added, numbers, parts, layouts=lambda: [(None, *layout(parts)[numbers.ndim :])])


def within(x: jax.Array, lengths: jax.Array | None, trailing: int = 1) -> jax.Array:
    """(*batch, time, …) with 0 at the times from its length on: what fills them, a NaN too, is in no product then.

    Args:
      x: sequences.
      lengths: one for each, (*batch,); None for no end.
      trailing: how many axes stand behind time.
    """
    if lengths is None:
        return x
    ends = whole(lengths)[..., None]
    counts = beside(jnp.arange(x.shape[-1 - trailing]), ends) < ends
    return jnp.where(jnp.expand_dims(counts, tuple(range(-trailing, 0))), x, 0)


def without_entries(x: jax.Array) -> jax.Array:
    """(0, *x.shape): a residual that holds the shape and dtype of x, and nothing else of it."""
    return x[None][:0]
