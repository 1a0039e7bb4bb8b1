"""The gradient of each example, ∂C_i/∂p."""

from typing import Any

import jax

from jbackprop.layers import is_factored
from jbackprop.rules import Factored, Mixed


def per_example(factors: Any) -> Any:
    """∂C_i/∂p of each example i, written out: the examples' number times the memory of the parameters.

    Args:
      factors: a factored gradient, or a tree of them such as `net.factors` names.

    Returns:
      Arrays (examples, *shape of the parameter); a stack's are (examples, blocks, *shape).

    Raises:
      ValueError: one mixes its examples, as in batch normalisation.
    """
    check_apart("per_example", factors)
    return jax.tree.map(lambda factored: factored.per_example(), factors, is_leaf=is_factored)


def leaves(quantity: str, factors: Any) -> list[Factored]:
    """The factored gradients of a tree, in their order; errors as of `check_apart`."""
    check_apart(quantity, factors)
    return jax.tree.leaves(factors, is_leaf=is_factored)


def check_apart(quantity: str, factors: Any) -> None:
    """Raises ValueError, naming the parameter, where examples are mixed; TypeError where it is no factored gradient."""
    for path, factored in jax.tree_util.tree_leaves_with_path(factors, is_leaf=is_factored):
        if not is_factored(factored):
            raise TypeError(f"{quantity}: factors, wanted those of `factored_gradient`, got {type(factored).__name__}")
        inside = jax.tree.leaves(factored, is_leaf=lambda node: isinstance(node, Mixed))
        if any(isinstance(leaf, Mixed) for leaf in inside):
            place = jax.tree_util.keystr(path, simple=True, separator=".") or "factors"
            raise ValueError(f"{quantity}: {place}, {APART}")


APART = (
    "wanted layers that keep examples apart, got one that mixes them, where no example has a gradient of its own;"
    " layer_norm, group_norm, or layers.evaluation(net) with running statistics, keep them apart"
)
