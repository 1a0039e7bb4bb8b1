"""y = E[i]: rows of a table, looked up by number.

For position n with number i_n,

    y_nc = E_{i_n c} = Σ_k 1[i_n = k] E_kc

    ∂C/∂E_kc = Σ_n 1[i_n = k] ∂C/∂y_nc        dE = Σ of dy over the positions that looked up row k, added where they lie

The padding row is read as any other.  It gets gradient 0 in place of its derivative, so that it keeps its value.

Kept: the numbers and nothing of the table, for the map is linear.  How many rows it has, and of what dtype, is held by
a slice of it without features.

Y. Bengio, R. Ducharme, P. Vincent, C. Jauvin, "A neural probabilistic language model", JMLR 3, 2003.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from ._arrays import at_rows, check_floating, check_numbers, whole
from ._factors import Looked, totals
from ._pieces import in_two


@partial(jax.custom_vjp, nondiff_argnames=("padding_index",))
def embedding(
    table: Float[Array, "rows features"], ids: Integer[Array, "*batch"], padding_index: int | None = None
) -> Float[Array, "*batch features"]:
    """The rows of a table that numbers name, as `table[ids]`; but a number that names none is an error, or a NaN.

    Args:
      table: one row for each number.
      ids: numbers of rows, of any shape.
      padding_index: the row that gets no gradient, static.

    Returns:
      The rows in the table's dtype; in the gradient, half precision is summed in float32.

    Raises:
      TypeError: the table is not floating point, or the ids are not integers.
      ValueError: the table is not a matrix, or the padding index or an id names no row of it.  Under `jit` the ids are
        not known yet: there a row that does not exist is NaN and has no gradient.
    """
    return _embedding_fwd(table, ids, padding_index)[0]


def _embedding_fwd(table, ids, padding_index):
    _check(table, ids, padding_index)
    table, ids = jnp.asarray(table), jnp.asarray(ids)
    found = at_rows(table, whole(ids), mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)
    return found, (ids, table[:, :0])


def _embedding_bwd(padding_index, residuals, dy):
    _, empty = residuals
    return *totals(_embedding_factors(padding_index, residuals, dy), table=empty), None


embedding.defvjp(_embedding_fwd, _embedding_bwd)


def _embedding_travel(padding_index, residuals, dy):
    return None, dy


def _embedding_factors(padding_index, residuals, dy):
    ids, empty = residuals
    return {"table": Looked(ids, dy, len(empty), padding_index)}


in_two(embedding, _embedding_travel, _embedding_factors)


def _check(table, ids, padding_index):
    check_floating("embedding", table=table)
    if jnp.ndim(table) != 2:
        raise ValueError(f"embedding: table, wanted shape (rows, features), got {jnp.shape(table)}")
    rows = len(table)
    check_numbers("embedding", "ids", ids, rows - 1, f"rows in [0, {rows})")
    if padding_index is not None and not 0 <= padding_index < rows:
        raise ValueError(f"embedding: padding_index, wanted a row in [0, {rows}), got {padding_index}")
