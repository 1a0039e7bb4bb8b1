"""A call of a right function, and what to draw its arguments from."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Draw = Callable[[np.random.Generator], np.ndarray]


@dataclasses.dataclass(frozen=True)
class RightCall:
    """A call of a right function.

    Attributes:
      name: as one would import it.
      function: to be checked.
      arguments: one draw of random numbers for each.
      skip: checks to leave out.
      options: of `jb.check` besides.
    """

    name: str
    function: Callable
    arguments: tuple[Draw, ...]
    skip: tuple[str, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def draw(self) -> tuple[jax.Array, ...]:
        """The arguments; floating point ones in float32."""
        rng = np.random.default_rng(0)
        return tuple(jnp.asarray(draw(rng)) for draw in self.arguments)


def normal(*shape: int) -> Draw:
    """Standard normal numbers."""
    return lambda rng: rng.normal(size=shape).astype(np.float32)


def complex_normal(*shape: int) -> Draw:
    """Complex numbers with two standard normal parts."""
    return lambda rng: (normal(*shape)(rng) + 1j * normal(*shape)(rng)).astype(np.complex64)


def between(low: float, high: float, *shape: int) -> Draw:
    """Evenly spread numbers."""
    return lambda rng: rng.uniform(low, high, size=shape).astype(np.float32)


def simplex(*shape: int) -> Draw:
    """Rows of probabilities."""
    return lambda rng: rng.dirichlet(np.ones(shape[-1]), size=shape[:-1]).astype(np.float32)


def whole(end: int, *shape: int) -> Draw:
    """Whole numbers from 0 on."""
    return lambda rng: rng.integers(0, end, size=shape)


def definite(rng: np.random.Generator) -> np.ndarray:
    """A symmetric matrix of positive eigenvalues."""
    a = rng.normal(size=(4, 4))
    return (a @ a.T + 4 * np.eye(4)).astype(np.float32)
