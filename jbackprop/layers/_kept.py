"""What a rule keeps for its backward pass, less what a layer has anyway: its parameters, and arrays without entries.

A cache so holds arrays of the examples, and what a rule made of its parameters.  How the parameters go back in between
is part of its structure.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jbackprop.rules import factored, static


class Given(NamedTuple):
    """The place of a parameter among the residuals.

    Attributes:
      name: the parameter's.
    """

    name: str


class Empty(NamedTuple):
    """The place of an array without entries, which holds a shape and a dtype.

    Attributes:
      shape: its shape.
      dtype: its dtype's name.
    """

    shape: tuple[int, ...]
    dtype: str


class Plain(NamedTuple):
    """The place of what is no array, such as a number of axes.

    Attributes:
      value: itself.
    """

    value: Any


Spread = Literal["apart", "whole", "mixed"]
"""Of a residual: the examples are its first axis, or it is the same for every example, or it is neither."""


@factored
class Kept:
    """The residuals of a rule.

    Attributes:
      arrays: those that are new.
      whole: those of them that are the same for every example.
      places: for each residual in order, how it is spread if it is one of these, or what it is instead.
      tree: the structure of the residuals.
      mixed: whether some can not be taken apart into those of single examples.
      inputs: how many of its arguments were the layer's input.
    """

    arrays: tuple[jax.Array, ...]
    whole: tuple[jax.Array, ...]
    places: tuple[Given | Empty | Plain | Spread, ...] = static()
    tree: Any = static()
    mixed: bool = static(default=False)
    inputs: int = static(default=1)

    @classmethod
    def of(
        cls,
        residuals: Any,
        params: Mapping[str, jax.Array],
        spread: tuple[Spread, ...] | None = None,
        inputs: int = 1,
    ) -> "Kept":
        """The residuals less these parameters; each has the examples first, unless `spread` tells otherwise."""
        leaves, tree = jax.tree.flatten(residuals)
        every: tuple[Spread, ...] = spread or ("apart",) * len(leaves)
        places = tuple(_place(leaf, params) or how for leaf, how in zip(leaves, every, strict=True))
        arrays = tuple(leaf for leaf, place in zip(leaves, places, strict=True) if place in ("apart", "mixed"))
        whole = tuple(leaf for leaf, place in zip(leaves, places, strict=True) if place == "whole")
        return cls(arrays, whole, places, tree, "mixed" in every, inputs)

    def residuals(self, params: Mapping[str, jax.Array]) -> Any:
        """The residuals again."""
        arrays, whole = iter(self.arrays), iter(self.whole)
        return self.tree.unflatten([_filled(place, arrays, whole, params) for place in self.places])

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters that are among the residuals."""
        return tuple(place.name for place in self.places if isinstance(place, Given))


def spread(
    forward: Callable[..., tuple[Any, Any]], inputs: Mapping[str, Any], fixed: Mapping[str, Any], residuals: Any
) -> tuple[Spread, ...]:
    """How each residual is spread over the examples, told by its shape for twice as many; nothing is computed.

    Args:
      forward: the rule's forward half.
      inputs: its arguments that have the examples first, by name.
      fixed: the others.
      residuals: what it kept for these.
    """
    count, twice = jax.tree.leaves(inputs)[0].shape[:1], jax.tree.map(_doubled, inputs)
    leaves, tree = jax.tree.flatten(residuals)
    try:
        more = jax.eval_shape(lambda inputs: Kept.of(forward(**inputs, **fixed)[1], {}), twice)
    except Exception:  # whatever a rule says that takes so many examples and no others
        return tuple(map(_unknown, leaves))
    others, other_tree = jax.tree.flatten(more.residuals({}))
    if other_tree != tree:
        return tuple(map(_unknown, leaves))
    return tuple(_spread(leaf, other, count) for leaf, other in zip(leaves, others, strict=True))


def _doubled(array):
    return jax.ShapeDtypeStruct((*(2 * size for size in array.shape[:1]), *array.shape[1:]), array.dtype)


def _unknown(leaf) -> Spread:
    return "mixed" if getattr(leaf, "ndim", 0) else "whole"


def _spread(leaf, other, count) -> Spread:
    if not hasattr(leaf, "shape"):
        return "whole" if leaf == other else "mixed"
    if leaf.shape == other.shape:
        return "whole"
    return "apart" if leaf.shape[:1] == count and _doubled(leaf).shape == other.shape else "mixed"


def _place(leaf, params):
    """What a residual is instead of an array of its own; None where it is one."""
    name = next((name for name, param in params.items() if leaf is param), None)
    if name is not None:
        return Given(name)
    if not hasattr(leaf, "shape"):
        return Plain(leaf)
    return Empty(leaf.shape, str(leaf.dtype)) if leaf.size == 0 else None


def _filled(place, arrays, whole, params):
    match place:
        case Given(name):
            return params[name]
        case Empty(shape, dtype):
            return jnp.zeros(shape, dtype)
        case Plain(value):
            return value
        case _:
            return next(whole if place == "whole" else arrays)
