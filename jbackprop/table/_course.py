"""The table in the notation of courses: Z1 A1 dA1 dZ1 dW1 db1, in rows or columns.

    ours      δ = ∂C/∂z, with the 1/m of the mean in it        ∂C/∂W = aᵀ δ             ∂C/∂b = Σ_rows δ
    courses   dZ = m ∂C/∂Z, of the sum of the losses           dW = 1/m dZ Aᵀ           db = 1/m Σ_columns dZ

dW and db are the same numbers, transposed; dZ and dA are m times ours.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from jbackprop import rules

from ._passes import leaves
from ._row import Block, Row

_OUTPUT_ACTIVATIONS: dict[Any, Callable[[jax.Array], jax.Array]] = {
    rules.sigmoid_cross_entropy: jax.nn.sigmoid,
    rules.softmax_cross_entropy: jax.nn.softmax,
}
"""What a loss from logits does to them first."""


def course(explanation: Any, form: str, mean: str, automatic: bool) -> dict[str, jax.Array]:
    """The dictionary; `Explanation.course` says what is in it."""
    for name, got, wanted in (("form", form, ("row", "column")), ("mean", mean, ("dZ", "dW"))):
        if got not in wanted:
            raise ValueError(f"course: {name}, wanted one of {', '.join(wanted)}, got {got!r}")
    if form == "column" and explanation.batch_axes != 1:
        raise ValueError(f"course: form, wanted 'row' for {explanation.batch_axes} batch axes, got 'column'")
    read = _automatic if automatic else _by_hand
    entries = dict(_entries(explanation, read, explanation.examples if mean == "dW" else 1))
    return {name: _column(name, array) for name, array in entries.items()} if form == "column" else entries


def _by_hand(row: Row) -> Any:
    return row.value


def _automatic(row: Row) -> Any:
    return row.automatic


def _entries(explanation, read, m) -> Iterator[tuple[str, jax.Array]]:
    """In our row form; the blocks numbered l are layer l."""
    input_block = explanation.input
    layers = [block for block in explanation.layers if any(row.role == "value" for row in block.rows)]
    before = [block for block in layers if block.number == 0]
    if before:
        yield from _pair("A0", before[-1], read, m)
    else:
        yield from _named("A0", leaves(explanation.x))
        yield from _gradients("dA0", input_block, read, m)
    for number in range(1, layers[-1].number + 1):
        first, *activations = [block for block in layers if block.number == number]
        yield from _pair(f"Z{number}", first, read, m)
        yield from _parameters(number, first, read)
        yield from _activation(f"A{number}", first, activations, explanation, read, m)


def _activation(name, first, activations, explanation, read, m):
    """A and dA: of the last activation, or of the layer itself where it has none."""
    outermost = not activations and explanation.layers[-1].number == first.number
    squash = _OUTPUT_ACTIVATIONS.get(getattr(explanation.loss, "func", explanation.loss)) if outermost else None
    if squash is None:
        yield from _pair(name, (first, *activations)[-1], read, m)
    else:
        yield from ((part, squash(z)) for part, z in _named(name, _by_role(first, "value", read)))


def _pair(name, block, read, m):
    """A block's output and its gradient."""
    yield from _named(name, _by_role(block, "value", read))
    yield from _gradients(f"d{name}", block, read, m)


def _gradients(name, block, read, m):
    yield from ((key, m * gradient) for key, gradient in _named(name, _by_role(block, "received", read)))


def _parameters(number, block, read):
    gradients = _by_role(block, "gradient", read)
    for name, param in leaves(block.params).items():
        symbol = {"w": "W", "": "params"}.get(name, name) + str(number)
        yield symbol, param
        if name in gradients:
            yield f"d{symbol}", gradients[name]


def _by_role(block: Block, role, read):
    """The arrays of a block by the name of their part; those that are missing left out."""
    arrays = {row.name: read(row) for row in block.rows if row.role == role}
    return {name: array for name, array in arrays.items() if array is not None}


def _named(name, arrays):
    """A tree's arrays under one name, its parts told apart."""
    return [(f"{name}.{part}" if part else name, array) for part, array in arrays.items()]


def _column(name, array):
    """Examples, and the outputs of a weight, from rows to columns; a vector becomes a column."""
    if jnp.ndim(array) not in (1, 2):
        raise ValueError(f"course: form, wanted 'row' for {name} of shape {jnp.shape(array)}, got 'column'")
    return array[:, None] if jnp.ndim(array) == 1 else array.T
