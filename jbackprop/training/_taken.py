"""The next state where a step is taken, and the one before where it is not, in one program.

Whether every new parameter is finite is known only when all are, so a choice between the two states holds both: for
Adam three times the parameters as scratch.  On a CPU a light move is computed twice instead, once to see that, with
nothing written, and once in the place of the old state, in a condition: the arrays of the choice, which are not written
and read, are worth the arithmetic.  Compiled for a GPU the choice takes less scratch than the condition.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jbackprop.functions import holds

_HEAVY = {"dot_general", "conv_general_dilated", "while", "scan", "pure_callback", "random_bits"}
_HEAVY |= {"cholesky", "eigh", "lu", "qr", "svd"}
"""The primitives that make an update more than a pass over its arrays."""


def where_taken(condition: jax.Array, move: Callable, found: Any, state: Any, after: Any) -> Any:
    """`after`, which is move(found, state), where the condition holds, and otherwise state."""

    def beside(condition, found, state, after):
        return chosen(condition, after, state)

    def in_place(condition, found, state, after):
        return jax.lax.cond(condition, move, lambda found, state: state, found, state)

    if not _is_light(move, found, state):
        return beside(condition, found, state, after)
    return jax.lax.platform_dependent(condition, found, state, after, cpu=in_place, default=beside)


def chosen(condition: jax.Array, tree: Any, other: Any) -> Any:
    """One tree or the other, keys too: that of an optimizer's noise moves with every step."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), tree, other)


def _is_light(move, found, state):
    """Whether it is arithmetic in each entry, sums at most, and leaves every array of the state its type."""
    jaxpr = jax.make_jaxpr(move)(found, state)
    same = jaxpr.out_avals == jaxpr.in_avals[-len(jaxpr.out_avals) :]
    return same and not jaxpr.effects and not holds(jaxpr, _HEAVY)
