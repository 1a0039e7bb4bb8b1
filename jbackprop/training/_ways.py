"""Other ways to one batch's gradients: in parts, and in half precision over parameters of float32.

    in parts            ∂C/∂p = 1/n Σ_k ∂C_k/∂p of n equal parts, one after the other     ‖δ‖ = 1/n √Σ_k ‖δ_k‖²
    half precision      ∂C/∂p = 1/s ∂(s C)/∂p̂ at p̂ = p in the other dtype, s the loss scale

P. Micikevicius et al., "Mixed precision training", ICLR, 2018, for the second.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jbackprop.layers import Backpropagate, Loss, Params, Pass, check_parts, in_turn, keys_for, norm
from jbackprop.rules import check_within

from ._scale import DynamicScale


@dataclasses.dataclass(frozen=True)
class Around(Backpropagate):
    """A way to the gradients by another one.

    Attributes:
      way: the other one.
    """

    way: Backpropagate

    @property
    def averages(self) -> bool:
        """Whether the other one's are."""
        return self.way.averages

    def scaled(self, loss: Loss, scale: Any) -> "Around":
        """The same around the other one of a scaled loss."""
        return dataclasses.replace(self, loss=loss, way=self.way.scaled(loss, scale))


@dataclasses.dataclass(frozen=True)
class InParts(Around):
    """Gradients of a batch in parts, `way` those of a part; `in_parts` makes it.

    Attributes:
      parts: how many there are.
      norms: whether deltas are norms.
    """

    parts: int
    norms: bool = False

    def telling_norms(self) -> "InParts":
        """The same, with the norm of the whole batch's δ in place of δ."""
        return dataclasses.replace(self, way=self.way.telling_norms(), norms=True)

    def whole(self, params: Params, x: Any, y: Any, key: jax.Array | None = None) -> Pass:
        """Cost, gradients and statistics, the means over the parts; deltas of each part's cost, parts in front."""
        examples = len(jax.tree.leaves(x)[0])
        check_parts("in_parts", examples, self.parts)
        keys = None if key is None else keys_for("in_parts", key, self.parts)
        parts = *in_turn((x, y), self.parts), keys

        def step(sums, part):
            found = self.way.whole(params, *part)
            return jax.tree.map(jnp.add, sums, found.gradients), (found.cost, found.deltas, found.statistics)

        none = jax.tree.map(lambda p: jnp.zeros_like(p, jnp.promote_types(p.dtype, jnp.float32)), params)
        sums, (costs, deltas, statistics) = jax.lax.scan(step, none, parts)
        return Pass(
            costs.mean(),
            jax.tree.map(lambda total, p: (total / self.parts).astype(p.dtype), sums, params),
            jax.tree.map(self._norm, deltas) if self.norms else deltas,
            jax.tree.map(lambda array: array.mean(0), statistics),
        )

    def _norm(self, norms):
        return norm(norms, axis=0) / self.parts


def in_parts(backpropagate: Backpropagate, parts: int) -> InParts:
    """The gradients of a batch from equal parts of it, one after the other: the memory of a part.

    Args:
      backpropagate: from `jbackprop.backprop`, `autodiff`, or any other here.
      parts: how many; they divide the examples.

    Raises:
      TypeError: backpropagate is none of those.
      ValueError: parts is not positive; the function raises it where they do not divide the batch.

    The function's deltas are those of each part's own cost, with an axis of parts in front.  A network that normalises
    by its batch does so by each part, and its statistics are the means over the parts.  A loss that is one number for a
    whole batch is taken of each part and averaged: another cost, unless that number is a mean over the examples.
    """
    _check("in_parts", backpropagate)
    if parts < 1 or parts != int(parts):
        raise ValueError(f"in_parts: parts, wanted a positive whole number, got {parts}")
    if not backpropagate.averages:
        raise ValueError("in_parts: backpropagate, wanted means of examples, got sums (mean=False): use micro_batches")
    return InParts(backpropagate.net, backpropagate.loss, backpropagate, parts)


@dataclasses.dataclass(frozen=True)
class MixedPrecision(Around):
    """Gradients by arithmetic of another dtype than the parameters'; `mixed_precision` makes it.

    Attributes:
      dtype: of the arithmetic.
      scale: of the loss; of a dynamic one its first, until training says where it stands.
    """

    dtype: DTypeLike
    scale: float | DynamicScale | jax.Array = 1.0

    def telling_norms(self) -> "MixedPrecision":
        """The same, with the norms of δ in place of δ."""
        return dataclasses.replace(self, way=self.way.telling_norms())

    def whole(self, params: Params, x: Any, y: Any, key: jax.Array | None = None) -> Pass:
        """Cost and gradients in the parameters' dtype, deltas unscaled."""
        lower = partial(jax.tree.map, partial(_cast, self.dtype))
        scale = self.scale.initial if isinstance(self.scale, DynamicScale) else self.scale
        way = self.way if _is_one(scale) else self.way.scaled(partial(_scaled, self.loss, scale), scale)
        found = way.whole(lower(params), lower(x), y, key)
        return Pass(
            _unscaled(scale, found.cost, jnp.dtype(jnp.float32)),
            jax.tree.map(lambda gradient, p: _unscaled(scale, gradient, p.dtype), found.gradients, params),
            jax.tree.map(lambda delta: _unscaled(scale, delta, delta.dtype), found.deltas),
            found.statistics,
        )


def mixed_precision(
    backpropagate: Backpropagate, dtype: DTypeLike = jnp.bfloat16, scale: float | DynamicScale | jax.Array = 1.0
) -> MixedPrecision:
    """Gradients by arithmetic in half precision, for parameters and an optimizer that stay in float32.

    Args:
      backpropagate: from `jbackprop.backprop`, `autodiff`, or any other here.
      dtype: what parameters and floating-point inputs become for the two passes.
      scale: the loss is multiplied by it and the gradients divided, in float32: float16, whose smallest number is 6e-8,
        wants some 2¹⁰, bfloat16 none.  With `DynamicScale()`, training finds it: 2¹⁵ at first, halved at an overflow,
        doubled after 2000 steps without one; it stands in the `State`.  A step whose gradients overflow is not taken.

    Raises:
      TypeError: backpropagate is none of those, or dtype is no floating point.
      ValueError: scale is not positive, or not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> import jbackprop as jb
      >>> from jbackprop import layers, rules, training
      >>> way = jb.backprop(layers.linear(3), rules.softmax_cross_entropy)
      >>> half = training.mixed_precision(way, jnp.float16, training.DynamicScale(growth_interval=500))
    """
    _check("mixed_precision", backpropagate)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"mixed_precision: dtype, wanted a floating point, got {dtype}")
    if not isinstance(scale, DynamicScale):
        check_within("mixed_precision", "a positive number", lambda number: 0 < number < math.inf, scale=scale)
    return MixedPrecision(backpropagate.net, backpropagate.loss, backpropagate, dtype, scale)


def dynamic_scale(backpropagate: Callable) -> DynamicScale | None:
    """How the loss scale moves that a way finds itself, if it does."""
    scale = getattr(backpropagate, "scale", None)
    if isinstance(backpropagate, MixedPrecision) and isinstance(scale, DynamicScale):
        return scale
    return dynamic_scale(backpropagate.way) if isinstance(backpropagate, Around) else None


def at_scale(backpropagate: Any, now: Any) -> Any:
    """The way at a dynamic scale's place, or itself where `now` is ()."""
    if not now:
        return backpropagate
    if isinstance(backpropagate, MixedPrecision) and isinstance(backpropagate.scale, DynamicScale):
        return dataclasses.replace(backpropagate, scale=now.scale)
    return dataclasses.replace(backpropagate, way=at_scale(backpropagate.way, now))


def _is_one(scale):
    return not isinstance(scale, jax.Array) and scale == 1


def _scaled(loss, scale, output, y):
    """The loss in single precision, where the scaled one has room."""
    values = loss(output, y)
    return values.astype(jnp.promote_types(values.dtype, jnp.float32)) * scale


def _unscaled(scale, array, dtype):
    return (array.astype(jnp.promote_types(dtype, jnp.float32)) / scale).astype(dtype)


def _cast(dtype, array):
    return array.astype(dtype) if jnp.issubdtype(jnp.result_type(array), jnp.floating) else array


def _check(maker, backpropagate):
    if not isinstance(backpropagate, Backpropagate):
        raise TypeError(f"{maker}: backpropagate, wanted what jbackprop.backprop makes, got {backpropagate!r}")
