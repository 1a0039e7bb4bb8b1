"""Layers that only move numbers: the backward pass moves them back."""

import dataclasses
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp

from jbackprop.rules import factored, static

from ._layer import About, Layer, Params, Shape, check_shape


@dataclasses.dataclass(frozen=True, repr=False)
class Identity(Layer):
    """y = x; `identity` makes it."""

    def forward(self, params: Params, x: Any, key: jax.Array | None = None) -> tuple[Any, Any]:
        """x, and nothing kept."""
        return x, ()

    def backward(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any]:
        """dy."""
        return dy, ()

    def about(self) -> About:
        """y = x."""
        return About("identity", "{x}", input="{dy}")


@factored
class Shaped:
    """What a reshaping layer keeps: the shape that one example had."""

    shape: tuple[int, ...] = static()


@dataclasses.dataclass(frozen=True, repr=False)
class Reshape(Layer):
    """The same numbers in another shape; `reshape` and `flatten` make it.

    Attributes:
      shape: of one example; −1 for one size that follows from the others.
    """

    shape: tuple[int, ...]

    def __repr__(self) -> str:
        return "flatten()" if self.shape == (-1,) else f"reshape({', '.join(map(str, self.shape))})"

    def init(self, key: jax.Array, shape: Shape) -> tuple[Params, Shape]:
        """No parameters; ValueError where the numbers do not fit."""
        check_shape("reshape", shape)
        known = math.prod(size for size in self.shape if size != -1)
        size = math.prod(shape)
        fits = size % known == 0 if -1 in self.shape else size == known
        if not fits:
            raise ValueError(f"reshape: shape, wanted the {size} numbers of {tuple(shape)}, got {self.shape}")
        return (), tuple(size // known if wanted == -1 else wanted for wanted in self.shape)

    def forward(self, params: Params, x: jax.Array, key: jax.Array | None = None) -> tuple[jax.Array, Shaped]:
        """x in the new shape, example by example."""
        return x.reshape(len(x), *self.shape), Shaped(x.shape[1:])

    def backward(self, params: Params, cache: Shaped, dy: jax.Array) -> tuple[jax.Array, Any]:
        """dy in the old shape."""
        return dy.reshape(len(dy), *cache.shape), ()

    def about(self) -> About:
        """y is x in another shape."""
        return About(repr(self).partition("(")[0], "reshape({x})", input="reshape({dy})")


@dataclasses.dataclass(frozen=True, repr=False)
class Split(Layer):
    """Parts of the last axis; `split` makes it.

    Attributes:
      sizes: of the parts.
    """

    sizes: tuple[int, ...]

    def __repr__(self) -> str:
        return f"split({', '.join(map(str, self.sizes))})"

    def init(self, key: jax.Array, shape: Shape) -> tuple[Params, Shape]:
        """No parameters; ValueError where the last axis is not as long as the parts together."""
        check_shape("split", shape)
        if not shape or shape[-1] != sum(self.sizes):
            raise ValueError(f"split: shape, wanted a last axis of {sum(self.sizes)}, got {tuple(shape)}")
        return (), tuple((*shape[:-1], size) for size in self.sizes)

    def forward(self, params: Params, x: jax.Array, key: jax.Array | None = None) -> tuple[tuple[jax.Array, ...], Any]:
        """The parts, and nothing kept."""
        ends = list(itertools.accumulate(self.sizes))[:-1]
        return tuple(jnp.split(x, ends, axis=-1)), ()

    def backward(self, params: Params, cache: Any, dy: tuple[jax.Array, ...]) -> tuple[jax.Array, Any]:
        """The parts of dy side by side."""
        return jnp.concatenate(dy, axis=-1), ()

    def about(self) -> About:
        """Several outputs."""
        return About("split", "parts of {x}", input="{dy} side by side")


def identity() -> Identity:
    """y = x, a branch of `parallel` that leaves its input as it is."""
    return Identity()


def flatten() -> Reshape:
    """Each example as one row."""
    return Reshape((-1,))


def reshape(*shape: int) -> Reshape:
    """Each example in another shape, in which one size may be −1.

    Raises:
      ValueError: two sizes are unknown, or one is 0; `init` raises it where the numbers do not fit.
    """
    if shape.count(-1) > 1 or any(isinstance(size, tuple | list) or (size < 1 and size != -1) for size in shape):
        wanted = "wanted positive sizes, one of them perhaps -1, such as reshape(4, 9)"
        raise ValueError(f"reshape: shape, {wanted}, got {shape}")
    return Reshape(shape)


def split(*sizes: int) -> Split:
    """A tuple of parts of the last axis, such as a gate or attention takes.

    Args:
      *sizes: of the parts, which together are the axis.

    Raises:
      ValueError: there is none, or one is not positive; `init` raises it where they are not the axis.
    """
    if not sizes or any(size < 1 for size in sizes):
        raise ValueError(f"split: sizes, wanted positive sizes, got {sizes}")
    return Split(sizes)
