"""Local derivatives that are linear maps: each takes a message and sends it through (∂y/∂x)ᵀ."""

import string
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ._rules import Call


def routed(m: jax.Array, call: Call) -> jax.Array:
    """The transpose of any primitive that only moves elements of x.

    Send the elements' numbers through the primitive instead of the elements: where number i comes
    out, a message for element i came in.  Other operands are numbered n = x.size: not an element.
    """
    n = call.x.size
    operands = [_nowhere(operand, n) for operand in call.operands]
    operands[call.position] = _numbers(call.x)
    params = dict(call.params)
    if "fill_value" in params:  # what a gather gives for an index out of bounds
        params["fill_value"] = n
    moved = call.primitive.bind(*operands, **params)
    return _collect(m, moved[call.output] if call.primitive.multiple_results else moved, call.x)


def _numbers(x):
    return jnp.arange(x.size).reshape(x.shape)


def _nowhere(operand, n):
    """Indices and predicates stay as they are."""
    floating = jnp.issubdtype(operand.dtype, jnp.floating)
    return jnp.full(operand.shape, n) if floating else operand


def _collect(m, numbers, x):
    """Adds each element of m to the element of x whose number it bears."""
    flat = jnp.zeros(x.size, m.dtype).at[numbers.reshape(-1)].add(m.reshape(-1), mode="drop")
    return flat.reshape(x.shape)


def part(m: jax.Array, call: Call) -> jax.Array:
    """What came of one operand of a concatenation: it alone is looked at, however many there are."""
    axis = call.params["dimension"]
    start = sum(operand.shape[axis] for operand in call.operands[: call.position])
    return lax.dynamic_slice_in_dim(m, start, call.x.shape[axis], axis)  # one program for all parts of a size


def row(m: jax.Array, call: Call) -> jax.Array:
    """The same of a stack."""
    return lax.dynamic_index_in_dim(m, call.position, call.params.get("axis", 0), keepdims=False)


def sorted_back(m: jax.Array, call: Call) -> jax.Array:
    """Each operand of a sort is permuted as the keys are: sort the numbers along with them."""
    if call.position != call.output:
        return jnp.zeros_like(call.x)
    *_, numbers = lax.sort(
        (*call.operands, _numbers(call.x)),
        dimension=call.params["dimension"],
        is_stable=True,
        num_keys=call.params["num_keys"],
    )
    return _collect(m, numbers, call.x)


def top_back(m: jax.Array, call: Call) -> jax.Array:
    _, indices = call.primitive.bind(*call.operands, **call.params)
    axis = call.params.get("axis", call.x.ndim - 1)
    return _collect(m, jnp.take_along_axis(_numbers(call.x), indices, axis), call.x)


def scattered(m: jax.Array, call: Call) -> jax.Array:
    """An update was added somewhere: read the message there, by the gather that undoes the scatter.

    Window axes of the updates are the gather's offset axes; a window is as large as the updates'.
    """
    numbers = call.params["dimension_numbers"]
    single = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    windows = iter(call.x.shape[axis] for axis in numbers.update_window_dims)
    return lax.gather(
        m,
        call.b,
        lax.GatherDimensionNumbers(
            offset_dims=numbers.update_window_dims,
            collapsed_slice_dims=numbers.inserted_window_dims,
            start_index_map=numbers.scatter_dims_to_operand_dims,
            operand_batching_dims=numbers.operand_batching_dims,
            start_indices_batching_dims=numbers.scatter_indices_batching_dims,
        ),
        slice_sizes=[1 if axis in single else next(windows) for axis in range(m.ndim)],
        mode=call.params["mode"],
        fill_value=0,
    )


def spread(m: jax.Array, call: Call) -> jax.Array:
    """The transpose of a sum, whether it keeps its axes or not: every element gets the message of its sum."""
    kept = [1 if axis in call.params["axes"] else size for axis, size in enumerate(call.x.shape)]
    return jnp.broadcast_to(m.reshape(kept), call.x.shape)


def largest(m: jax.Array, call: Call) -> jax.Array:
    """The elements equal to the result share the message."""
    chosen = call.x == spread(call.y, call)
    ties = jnp.sum(chosen, call.params["axes"], keepdims=True)
    return jnp.where(chosen, spread(m, call) / ties, 0).astype(m.dtype)


def others(m: jax.Array, call: Call) -> jax.Array:
    """∂Πx/∂xᵢ, the product of the others: of those before i and those after it (right at zeros)."""
    axes = call.params["axes"]
    last = tuple(range(-len(axes), 0))
    moved = jnp.moveaxis(call.x, axes, last)
    rows = moved.reshape(*moved.shape[: moved.ndim - len(axes)], -1)
    one = jnp.ones_like(rows[..., :1])
    before = jnp.cumprod(jnp.concatenate([one, rows[..., :-1]], -1), -1)
    after = jnp.cumprod(jnp.concatenate([one, rows[..., :0:-1]], -1), -1)[..., ::-1]
    return spread(m, call) * jnp.moveaxis((before * after).reshape(moved.shape), last, axes)


def cumulative(step: Callable[..., tuple[Any, Any]]) -> Callable[[jax.Array, Call], jax.Array]:
    """The rule of a running result yᵢ = h(yᵢ₋₁, xᵢ), from `step` = (∂yᵢ/∂yᵢ₋₁, ∂yᵢ/∂xᵢ).

    Backpropagation in miniature: rᵢ = mᵢ + rᵢ₊₁ ∂yᵢ₊₁/∂yᵢ is what arrives at yᵢ, and xᵢ gets
    rᵢ ∂yᵢ/∂xᵢ. The first yᵢ is xᵢ itself.
    """

    def pull(m: jax.Array, call: Call) -> jax.Array:
        m, x, y = (_running_first(array, call) for array in (m, call.x, call.y))
        received = m[-1]
        gradients = []
        for i in reversed(range(1, len(x))):
            along, into = step(y[i - 1], x[i], y[i])
            gradients.append(received * into)
            received = m[i - 1] + received * along
        return _running_first(jnp.stack([received, *reversed(gradients)]), call, back=True)

    return pull


def _running_first(array, call, back=False):
    """Brings the axis along which the result runs to the front, in the order of running."""
    axis = call.params["axis"]
    if back:
        array = array[::-1] if call.params["reverse"] else array
        return jnp.moveaxis(array, 0, axis)
    array = jnp.moveaxis(array, axis, 0)
    return array[::-1] if call.params["reverse"] else array


# ----- matrix products, as einsums --------------------------------------------------------------


def _letters(call):
    """The axes of a, b and a·b: a contracted or a batch axis has one letter in both operands."""
    (contract_a, contract_b), (batch_a, batch_b) = call.params["dimension_numbers"]
    names = iter(string.ascii_letters)
    a = [next(names) for _ in call.a.shape]
    b = [next(names) for _ in call.b.shape]
    for i, j in zip((*contract_a, *batch_a), (*contract_b, *batch_b), strict=True):
        b[j] = a[i]
    free_a = [a[i] for i in range(len(a)) if i not in (*contract_a, *batch_a)]
    free_b = [b[j] for j in range(len(b)) if j not in (*contract_b, *batch_b)]
    return "".join(a), "".join(b), "".join([*(a[i] for i in batch_a), *free_a, *free_b])


def dot_left(m: jax.Array, call: Call) -> jax.Array:
    a, b, y = _letters(call)
    return jnp.einsum(f"{y},{b}->{a}", m, call.b, precision=call.params["precision"])


def dot_right(m: jax.Array, call: Call) -> jax.Array:
    a, b, y = _letters(call)
    return jnp.einsum(f"{y},{a}->{b}", m, call.a, precision=call.params["precision"])


def dot_text(call: Call) -> str:
    """m Wᵀ and aᵀ m for a product of matrices, else the sum over the axes that x does not have."""
    left = call.position == 0
    if _letters(call) == ("ab", "bd", "ad"):
        return "{m} {b}ᵀ" if left else "{a}ᵀ {m}"
    if call.y.ndim == 0:
        return "{m} {b}" if left else "{m} {a}"
    a, b, y = _letters(call)
    return f"Σ {{m}}[{y}] {{b}}[{b}]" if left else f"Σ {{m}}[{y}] {{a}}[{a}]"
