"""What a rule keeps for its backward pass, less what a layer has anyway: its parameters, and arrays without entries.

A cache so holds arrays of the examples alone.  How the parameters go back in between them is part of its structure.
"""

from typing import Any, NamedTuple

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


@factored
class Kept:
    """The residuals of a rule.

    Attributes:
      arrays: those that are new.
      places: for each residual in order, whether it is one of `arrays` (None), or what it is instead.
      tree: the structure of the residuals.
    """

    arrays: tuple[jax.Array, ...]
    places: tuple[Given | Empty | None, ...] = static()
    tree: Any = static()

    @classmethod
    def of(cls, residuals: Any, params: dict[str, jax.Array]) -> "Kept":
        """The residuals less these parameters."""
        leaves, tree = jax.tree.flatten(residuals)
        places = tuple(_place(leaf, params) for leaf in leaves)
        return cls(tuple(leaf for leaf, place in zip(leaves, places, strict=True) if place is None), places, tree)

    def residuals(self, params: dict[str, jax.Array]) -> Any:
        """The residuals again."""
        arrays = iter(self.arrays)
        return self.tree.unflatten([_filled(place, arrays, params) for place in self.places])

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters that are among the residuals."""
        return tuple(place.name for place in self.places if isinstance(place, Given))


def _place(leaf, params):
    name = next((name for name, param in params.items() if leaf is param), None)
    if name is not None:
        return Given(name)
    return Empty(leaf.shape, str(leaf.dtype)) if jnp.size(leaf) == 0 else None


def _filled(place, arrays, params):
    match place:
        case Given(name):
            return params[name]
        case Empty(shape, dtype):
            return jnp.zeros(shape, dtype)
        case _:
            return next(arrays)
