"""What the gradients of a batch's examples tell together: moments, noise, and how alike they are.

With g_i the gradient of example i, ḡ their mean and m their number,

    second moment    1/m Σ_i g_i²                         number by number
    variance         1/(m − 1) Σ_i (g_i − ḡ)²             = m/(m − 1) (second moment − ḡ²)
    noise scale      tr Σ / ‖G‖²                          the batch at which noise and signal are as strong

Of the latter both parts are estimated from one batch without bias, Σ the covariance of g_i and G its true mean:

    tr Σ ≈ m/(m − 1) (1/m Σ_i ‖g_i‖² − ‖ḡ‖²)        ‖G‖² ≈ ‖ḡ‖² − tr Σ / m

S. McCandlish, J. Kaplan, D. Amodei et al., "An empirical model of large-batch training", arXiv:1812.06162, 2018.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jbackprop.layers import is_factored, total
from jbackprop.rules import Factored, Outer, by_compiler, layout

from ._dot import inner_products, sum_of
from ._per_example import check_apart, leaves
from ._squared_norm import squared_norm


class Noise(NamedTuple):
    """How noisy the gradient of a batch is.

    Attributes:
      scale: tr Σ / ‖G‖², in examples; negative or infinite where a batch is too small to tell ‖G‖² from 0.
      trace: tr Σ, the variance of an example's gradient, summed over all numbers.
      squared_norm: ‖G‖², of the true gradient.
    """

    scale: jax.Array
    trace: jax.Array
    squared_norm: jax.Array


def second_moment(factors: Any) -> Any:
    """1/m Σ_i g_i² of each parameter's numbers, a tree like the parameters.

    (a²)ᵀ δ² / m of a weight that every example uses once; elsewhere from the gradients of the examples, written out for
    one parameter at a time.

    Args:
      factors: a factored gradient, or a tree of them.

    Raises:
      ValueError: one mixes its examples.
    """
    check_apart("second_moment", factors)
    return jax.tree.map(_second_moment, factors, is_leaf=is_factored)


def variance(factors: Any) -> Any:
    """1/(m − 1) Σ_i (g_i − ḡ)² of each parameter's numbers; as `second_moment`.

    Raises:
      ValueError: one mixes its examples, or there is only one.
    """
    m = count("variance", factors, least=2)

    def of(factored):
        return m / (m - 1) * jnp.maximum(_second_moment(factored) - _square(total(factored) / m), 0)

    return jax.tree.map(of, factors, is_leaf=is_factored)


def noise_scale(factors: Any) -> Noise:
    """The gradient noise scale, estimated from the examples of one batch.

    Args:
      factors: a factored gradient, or a tree of them, of each example's own cost.

    Raises:
      ValueError: one mixes its examples, or there is only one.
    """
    m = count("noise_scale", factors, least=2)
    squares = sum_of([_square(total(factored) / m).sum() for factored in leaves("noise_scale", factors)])
    trace = m / (m - 1) * (squared_norm(factors).mean() - squares)
    signal = squares - trace / m
    return Noise(trace / signal, trace, signal)


def cosines(factors: Any) -> jax.Array:
    """⟨g_i, g_j⟩ / (‖g_i‖ ‖g_j‖) of every two examples, (examples, examples); 0 where one has no gradient.

    Args:
      factors: a factored gradient, or a tree of them.

    Raises:
      ValueError: one mixes its examples, or there is no parameter.
    """
    products = inner_products(factors)
    return by_compiler(_cosines, products, layouts=lambda: [layout(products)])


def count(quantity: str, factors: Any, least: int = 1) -> int:
    """How many examples there are; ValueError where they are mixed, or too few."""
    each = leaves(quantity, factors)
    examples = jax.eval_shape(lambda factored: factored.per_example(), each[0]).shape[0] if each else 0
    if examples < least:
        raise ValueError(f"{quantity}: factors, wanted those of at least {least} examples, got {examples}")
    return examples


def _cosines(products):
    norms = jnp.sqrt(jnp.maximum(jnp.diagonal(products), 0))
    lengths = norms[:, None] * norms
    return jnp.where(lengths > 0, products / jnp.where(lengths > 0, lengths, 1), 0)


def _second_moment(factored: Factored) -> jax.Array:
    if isinstance(factored, Outer) and factored.a.ndim == 2:
        return Outer(_square(factored.a), _square(factored.delta)).total() / len(factored.a)
    return _square(factored.per_example()).mean(0)


def _square(array):
    """|z|² of a complex number."""
    return jnp.square(jnp.abs(array))
