"""Inner products of gradients: of two factored gradients for each example, and between examples."""

from typing import Any

import jax
import jax.numpy as jnp

from jbackprop.functions import is_inexact
from jbackprop.layers import Stacked, Uses
from jbackprop.rules import Factored, by_compiler, layout

from ._forms import is_closed
from ._per_example import leaves
from ._products import crossed, paired


def dot(factors: Any, others: Any) -> jax.Array:
    """⟨g_i, h_i⟩ of each example i, in closed form or from the gradients, whichever the shapes make cheaper.

    A complex number counts as its two parts.

    Args:
      factors: a factored gradient, or a tree of them; then the sum over all parameters.
      others: the same of other deltas or caches, for as many examples.

    Returns:
      (examples,), in float32 at least.

    Raises:
      ValueError: one mixes its examples; the trees hold different numbers of parameters, or of examples.
    """
    return _over_parameters("dot", factors, others, _dot)


def inner_products(factors: Any, others: Any = None) -> jax.Array:
    """⟨g_i, h_j⟩ of every two examples, as `dot`.

    Args:
      factors: a factored gradient, or a tree of them; then the sum over all parameters.
      others: those of other examples, any number of them; the same ones unless given.

    Returns:
      (examples, other examples), in float32 at least.
    """
    return _over_parameters("inner_products", factors, factors if others is None else others, _inner)


def _over_parameters(name, factors, others, of_two):
    each, other = leaves(name, factors), leaves(name, others)
    if not each or len(each) != len(other):
        got = f"got {len(each)} and {len(other)}"
        raise ValueError(f"{name}: factors, wanted two trees of as many factored gradients, {got}")
    return sum_of([of_two(*pair) for pair in zip(each, other, strict=True)])


def _dot(one: Factored, other: Factored) -> jax.Array:
    match one, other:
        case Stacked(), Stacked():
            return jax.lax.map(lambda blocks: _dot(*blocks), (one.blocks(), other.blocks())).sum(0)
        case (Uses(), _) | (_, Uses()):
            return sum_of([_dot(a, b) for a in uses(one) for b in uses(other)])
        case _:
            return of_two(one, other)


def of_two(one: Factored, other: Factored) -> jax.Array:
    """`dot` of two that are neither stacked nor used several times."""
    if is_closed(one, other):
        return sum_of([paired(a, b) for a in one.products() or () for b in other.products() or ()])
    left, right = _rows(one, other)
    return (left.conj().astype(_wide(one, other)) * right).real.sum(1)


def _inner(one, other):
    match one, other:
        case Stacked(), Stacked():
            return jax.lax.map(lambda blocks: _inner(*blocks), (one.blocks(), other.blocks())).sum(0)
        case (Uses(), _) | (_, Uses()):
            return sum_of([_inner(a, b) for a in uses(one) for b in uses(other)])
    if is_closed(one, other, every_two=True):
        return sum_of([_by_examples(crossed, a, b) for a in one.products() or () for b in other.products() or ()])
    return _by_examples(_every_two, *_rows(one, other))


def _by_examples(of_two, one, other):
    """A number of every two examples, on an explicit mesh spread as those of the first are."""
    first = jax.tree.leaves(one)[0]
    return by_compiler(of_two, one, other, layouts=lambda: [(layout(first)[0], None)])


def _every_two(one, other):
    return jnp.einsum("ik,jk->ij", one.conj(), other, preferred_element_type=_wide(one, other)).real


def uses(factored: Factored) -> tuple[Factored, ...]:
    """The uses of a parameter, each once."""
    return factored.factors if isinstance(factored, Uses) else (factored,)


def sum_of(arrays: list[jax.Array]) -> jax.Array:
    """The sum of a few arrays."""
    return sum(arrays[1:], arrays[0])


def _rows(one, other):
    """The gradients of each example in a row."""
    each = [factored.per_example() for factored in (one, other)]
    return [gradients.reshape(len(gradients), -1) for gradients in each]


def _wide(one, other):
    dtypes = [leaf.dtype for leaf in jax.tree.leaves((one, other)) if is_inexact(leaf)]
    return jnp.result_type(jnp.float32, *dtypes)
