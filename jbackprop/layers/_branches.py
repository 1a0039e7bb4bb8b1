"""Layers around a shortcut, and side by side.

    residual    y = x + f(x)               dx = dy + the dx of f
    parallel    y = (f₁(x), f₂(x), …)      dx = Σ of the dx of the branches
    split       y = (f₁(x₁), f₂(x₂), …)    dx = (dx₁, dx₂, …)

A value that is used several times gets the sum over its uses.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from jbackprop.rules import factored, static

from ._chain import Several, apart, chain, check_layers, with_gradients, without_gradients
from ._given import keys_for
from ._layer import Layer, Params, Shape


@dataclasses.dataclass(frozen=True, repr=False)
class Residual(Layer):
    """y = x + f(x); `residual` makes it.

    Attributes:
      inner: f, whose parameters, cache, δ and factors are those of the whole.
    """

    inner: Layer

    def init(self, key: jax.Array, shape: Shape) -> tuple[Params, Shape]:
        """Those of f, which must keep the shape."""
        params, out_shape = self.inner.init(key, shape)
        if out_shape != shape:
            raise ValueError(f"residual: layers, wanted a shape that stays {shape}, got {out_shape} from {self.inner}")
        return params, out_shape

    def forward(self, params: Params, x: Any, key: jax.Array | None = None) -> tuple[Any, Any]:
        """x + f(x)."""
        y, cache = self.inner.forward(params, x, key)
        return added(x, y), cache

    def backward(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any]:
        """dy + the dx of f."""
        dx, delta = self.inner.backward(params, cache, dy)
        return added(dy, dx), delta

    def backpropagate(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any, Params]:
        """The same, with the gradients of f."""
        dx, delta, gradients = self.inner.backpropagate(params, cache, dy)
        return added(dy, dx), delta, gradients

    def factors(self, params: Params, cache: Any, delta: Any) -> Any:
        """Those of f."""
        return self.inner.factors(params, cache, delta)

    def statistics(self, params: Params, cache: Any) -> Any:
        """Those of f."""
        return self.inner.statistics(params, cache)


Join = Literal["tuple", "sum", "concatenate"]


@factored
class Branched:
    """What branches keep.

    Attributes:
      parts: of each.
      sizes: of the last axis of their outputs, where these are joined along it.
    """

    parts: tuple[Any, ...]
    sizes: tuple[int, ...] = static(default=())


@dataclasses.dataclass(frozen=True, repr=False)
class Parallel(Several):
    """Layers side by side; `parallel` makes it.

    Attributes:
      join: what becomes of their outputs.
      split: whether each has an input of its own.
    """

    join: Join = "tuple"
    split: bool = False

    def init(self, key: jax.Array, shape: Shape) -> tuple[Params, Shape]:
        """Each branch for its input; ValueError where their outputs do not fit together."""
        if self.split and (not isinstance(shape, tuple | list) or len(shape) != len(self.parts)):
            raise ValueError(f"parallel: shape, wanted {len(self.parts)} shapes (one for each layer), got {shape}")
        keys = keys_for("parallel", key, len(self.parts))
        drawn = [part.init(*each) for part, *each in zip(self.parts, keys, self.inputs(shape), strict=True)]
        params, shapes = zip(*drawn, strict=True)
        return params, self._joined_shape(shapes)

    def forward(self, params: Params, x: Any, key: jax.Array | None = None) -> tuple[Any, Any]:
        """Every branch on its input."""
        outputs, cache, inputs = [], [], self.inputs(x)
        for i, (part, part_params, part_key) in enumerate(self.in_order(params, key)):
            with self.scope(i):
                y, kept = part.forward(part_params, inputs[i], part_key)
            outputs.append(y)
            cache.append(kept)
        sizes = tuple(y.shape[-1] for y in outputs) if self.join == "concatenate" else ()
        return _joined(self.join, outputs), Branched(tuple(cache), sizes)

    def backward(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any]:
        """What the branches send back, added up where they share their input."""
        return self._fan_in(params, cache, dy, without_gradients)

    def backpropagate(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any, Params]:
        """The same, with their gradients."""
        dx, found = self._fan_in(params, cache, dy, with_gradients)
        return dx, *apart(found)

    def factors(self, params: Params, cache: Any, delta: Any) -> Any:
        """A tuple of what the branches name."""
        return super().factors(params, cache.parts, delta)

    def statistics(self, params: Params, cache: Any) -> Any:
        """A tuple of those of the branches."""
        return super().statistics(params, cache.parts)

    def _fan_in(self, params, cache, dy, step):
        each = parted(self.join, dy, len(self.parts), cache.sizes)
        found = []
        for i, (part, *rest) in enumerate(zip(self.parts, params, cache.parts, each, strict=True)):
            with self.scope(i):
                found.append(step(part, *rest))
        return self._gathered([dx for dx, _ in found]), tuple(more for _, more in found)

    def _gathered(self, received):
        """dx from what the branches send back; one of integers sends nothing."""
        if self.split:
            return tuple(received)
        some = [dx for dx in received if dx is not None]
        return functools.reduce(added, some) if some else None

    def inputs(self, x: Any) -> Any:
        """The input of each branch."""
        return x if self.split else (x,) * len(self.parts)

    def _joined_shape(self, shapes):
        if self.join == "tuple":
            return shapes
        first = [shape if self.join == "sum" else shape[:-1] for shape in shapes]
        if any(other != first[0] for other in first):
            wanted = "branches of one shape" if self.join == "sum" else "branches alike but for the last axis"
            raise ValueError(f"parallel: layers, wanted {wanted}, got {', '.join(map(str, shapes))}")
        return shapes[0] if self.join == "sum" else (*shapes[0][:-1], sum(shape[-1] for shape in shapes))


def added(one: Any, other: Any) -> Any:
    """The sum of two trees."""
    return jax.tree.map(jnp.add, one, other)


def _joined(join, outputs):
    if join == "tuple":
        return tuple(outputs)
    return functools.reduce(jnp.add, outputs) if join == "sum" else jnp.concatenate(outputs, axis=-1)


def parted(join: Join, dy: Any, count: int, sizes: tuple[int, ...]) -> Sequence[Any]:
    """What each branch receives of dy."""
    if join == "tuple":
        return dy
    ends = [sum(sizes[: i + 1]) for i in range(count - 1)]
    return (dy,) * count if join == "sum" else jnp.split(dy, ends, axis=-1)


def residual(*layers: Layer) -> Residual:
    """y = x + f(x), f one layer or a chain of several, whose parameters are those of the whole.

    Raises:
      TypeError: an argument is not a `Layer`.
      ValueError: there is no layer; `init` raises it where f changes the shape.
    """
    check_layers("residual", layers)
    return Residual(layers[0] if len(layers) == 1 else chain(*layers))


def parallel(*layers: Layer, join: Join = "tuple", split: bool = False) -> Parallel:
    """Every layer on the same input; params, cache, deltas and factors are tuples with one entry for each.

    Args:
      layers: the branches.
      join: what becomes of their outputs: "tuple", such as a gate takes; "sum"; or "concatenate", of the last axis.
      split: whether the input is a tuple with one entry for each branch, instead of the same for all.

    Raises:
      TypeError: an argument is not a `Layer`.
      ValueError: there is no layer, or no such join; `init` raises it where the outputs do not fit together.
    """
    check_layers("parallel", layers)
    if join not in get_args(Join):
        raise ValueError(f"parallel: join, wanted one of {', '.join(get_args(Join))}, got {join!r}")
    return Parallel(layers, join, split)
