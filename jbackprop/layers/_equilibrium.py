"""A layer whose output is a fixed point of another: z = f(x, z), as deep as it takes, with the memory of one layer.

    u = dy + (∂f/∂z)ᵀ u       the δ recursion through f, over and over, until it stands still
    dx, δ                     those of f at the fixed point, for u

The derivation stands with `rules.fixed_point`; here both products with (∂f/∂z)ᵀ are f's own backward pass, so that its
δ and its factored gradients are those of the whole.

S. Bai, J. Z. Kolter, V. Koltun, "Deep equilibrium models", NeurIPS, 2019.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jbackprop import rules

from ._branches import added
from ._layer import About, Layer, Params, Shape, check_layer


@dataclasses.dataclass(frozen=True, repr=False)
class Equilibrium(Layer):
    """z = f(x, z), iterated from zeros; `equilibrium` makes it.

    Attributes:
      inner: f, of a pair (x, z) of one shape.
      tolerance: as in `rules.fixed_point`.
      max_iterations: as in `rules.fixed_point`.
    """

    inner: Layer
    tolerance: float | None = None
    max_iterations: int = 1000

    def init(self, key: jax.Array, shape: Shape) -> tuple[Params, Shape]:
        """Those of f; ValueError where its output has another shape than x."""
        params, out_shape = self.inner.init(key, (shape, shape))
        if out_shape != shape:
            raise ValueError(f"equilibrium: inner, wanted an output of the shape {shape}, got {out_shape}")
        return params, out_shape

    def forward(self, params: Params, x: jax.Array, key: jax.Array | None = None) -> tuple[jax.Array, Any]:
        """The fixed point, by one key throughout; kept is what f keeps there.  NaN where it does not converge."""
        z = rules.fixed_point(self._output, (params, x, key), jnp.zeros_like(x), self.tolerance, self.max_iterations)
        return z, self.inner.forward(params, (x, z), key)[1]

    def backward(self, params: Params, cache: Any, dy: jax.Array) -> tuple[Any, Any]:
        """∂C/∂x and δ of f, for the u that stands still."""
        given = params, cache, dy
        u = rules.fixed_point(self._signal, given, jnp.zeros_like(dy), self.tolerance, self.max_iterations)
        (dx, _), delta = self.inner.backward(params, cache, u)
        return dx, delta

    def factors(self, params: Params, cache: Any, delta: Any) -> Any:
        """Those of f at the fixed point."""
        return self.inner.factors(params, cache, delta)

    def statistics(self, params: Params, cache: Any) -> Any:
        """Those of f at the fixed point."""
        return self.inner.statistics(params, cache)

    def about(self) -> About:
        """z = f(x, z)."""
        return About("equilibrium", "z = f({x}, z)", input="(∂f/∂{x})ᵀ (I − ∂f/∂z)⁻ᵀ {dy}")

    def _output(self, given, z):
        params, x, key = given
        return self.inner.forward(params, (x, z), key)[0]

    def _signal(self, given, u):
        params, cache, dy = given
        (_, back), _ = self.inner.backward(params, cache, u)
        return added(dy, back)


def equilibrium(inner: Layer, *, tolerance: float | None = None, max_iterations: int = 1000) -> Equilibrium:
    """The fixed point z = f(x, z) of a layer, by iteration from zeros.

    Every iteration draws the same random numbers, so dropout in f drops the same entries of all.  The statistics of
    batch normalisation in f are those at the fixed point.  JAX does not go forward through the rule: second derivatives
    are gradients of gradients, and `signals.hessian_vector_product` raises TypeError.

    Args:
      inner: f, a layer of pairs (x, z), a contraction in z; z has x's shape.
      tolerance: the iteration has converged when it changes z by no more than this share of its largest entry (or of
        1); 8 roundings unless given.
      max_iterations: at most so many times f is taken, forward and again backward.

    Raises:
      TypeError: inner is not a `Layer`.

    Example:
      >>> import jax
      >>> from jbackprop import layers
      >>> both = layers.parallel(layers.linear(4), layers.linear(4, bias=False), join="sum", split=True)
      >>> net = layers.equilibrium(layers.chain(both, layers.tanh()))        # z = tanh(x U + z W + b)
    """
    check_layer("equilibrium", inner=inner)
    return Equilibrium(inner, tolerance, max_iterations)
