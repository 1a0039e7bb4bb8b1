"""Curvature of a layer as a product of two small matrices, the moments of a factored gradient's two parts.

With g_n = Σ_t l_ntᵀ r_nt the gradient of example n, written as a row of numbers, and m examples of T positions,

    1/m Σ_n g_nᵀ g_n ≈ A ⊗ B

    expand    A = 1/(m T) Σ_nt l_ntᵀ l_nt            B = 1/m Σ_nt r_ntᵀ r_nt           positions as if independent
    reduce    A = 1/m Σ_n l̄_nᵀ l̄_n                  B = 1/m Σ_n r̄_nᵀ r̄_n            l̄_n the mean, r̄_n the sum over t

Both are the same, and exact for one example, where there is one position.  A bias has A = 1.  Of one-hot inputs, a
table's, A is diagonal.

J. Martens, R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", ICML, 2015.
R. Eschenhagen, A. Immer, R. Turner, F. Schneider, P. Hennig, "Kronecker-factored approximate curvature for modern
neural network architectures", NeurIPS, 2023.
"""

import math
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from jbackprop.layers import Stacked, is_factored
from jbackprop.rules import Factored, OneHot, Product, Summed, by_compiler, factored

from ._per_example import check_apart

Positions = Literal["expand", "reduce"]


@factored
class Kronecker:
    """A ⊗ B of one parameter.

    Attributes:
      a: of its rows, (n_in, n_in), or (n_in,) the diagonal of it; in a stack with an axis of blocks in front.
      b: of its columns, (n_out, n_out).
    """

    a: jax.Array
    b: jax.Array


def kronecker_factors(factors: Any, positions: Positions = "expand") -> Any:
    """A and B of each parameter.

    Args:
      factors: a factored gradient, or a tree of them, of each example's own cost; with labels that are sampled from the
        network's own output (`fisher_gradient`) for the Fisher matrix, with those of the data for the empirical one.
      positions: how those of an example are put together.

    Returns:
      A tree of `Kronecker`; () for a parameter whose gradient is no product of that kind.

    Raises:
      ValueError: one mixes its examples, or there is no such way.
    """
    if positions not in get_args(Positions):
        wanted = ", ".join(get_args(Positions))
        raise ValueError(f"kronecker_factors: positions, wanted one of {wanted}, got {positions!r}")
    check_apart("kronecker_factors", factors)
    return jax.tree.map(lambda factored: _kronecker(factored, positions), factors, is_leaf=is_factored)


def _kronecker(factored: Factored, positions: Positions) -> Any:
    if isinstance(factored, Stacked):
        return jax.vmap(lambda block: _kronecker(block, positions))(factored.blocks())
    products = _of_bias(factored) if isinstance(factored, Summed) else factored.products()
    if products is None or len(products) > 1:
        return ()
    return (_reduced if positions == "reduce" else _expanded)(products[0])


def _of_bias(summed):
    """1ᵀ δ; None for what is no row of numbers."""
    if summed.shape is not None and len(summed.shape) > 1:
        return None
    return (Product(jnp.ones((*summed.delta.shape[:-1], 1), summed.delta.dtype), summed.delta),)


def _expanded(product):
    left, right = product
    a, b = (by_compiler(_moment, side, layouts=lambda side=side: _nowhere(side)) for side in (left, right))
    return Kronecker(a / math.prod(left.shape[:-1]), b / left.shape[0])


def _nowhere(side):
    """How a moment lies: on every device."""
    return [(None,) if isinstance(side, OneHot) else (None, None)]


def _reduced(product):
    if not product.left.shape[1:-1]:
        return _expanded(product)
    left, right = (_dense(side) for side in product)
    left, right = (side.reshape(len(side), -1, side.shape[-1]) for side in (left, right))
    return _expanded(Product(left.mean(1), right.sum(1)))


def _moment(side):
    """Σ lᵀ l over every row, of one-hot ones the diagonal, in float32 at least."""
    if isinstance(side, OneHot):
        seen = jnp.zeros(side.size, jnp.float32)
        return seen.at[side.ids].add(1.0, mode="drop", wrap_negative_indices=False)
    rows = side.reshape(-1, side.shape[-1])
    return jnp.matmul(rows.T, rows, preferred_element_type=jnp.result_type(side, jnp.float32))


def _dense(side):
    return jax.nn.one_hot(side.ids, side.size) if isinstance(side, OneHot) else side
