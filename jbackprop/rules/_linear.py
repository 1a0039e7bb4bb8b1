"""z = x W + b.

Examples are rows: x is (*batch, n_in), W is (n_in, n_out), and every batch axis is alike.  With δ = ∂C/∂z given,

    z_ij = Σ_k x_ik W_kj + b_j

    ∂C/∂x_ik = Σ_j δ_ij ∂z_ij/∂x_ik = Σ_j δ_ij W_kj      dx = δ Wᵀ       what travels on
    ∂C/∂W_kj = Σ_i δ_ij ∂z_ij/∂W_kj = Σ_i x_ik δ_ij      dW = xᵀ δ       what the parameters get
    ∂C/∂b_j  = Σ_i δ_ij                                  db = Σ_rows δ

The sums over i run over all batch axes.

Kept: the arguments x, W and b, and nothing else.

D. E. Rumelhart, G. E. Hinton, R. J. Williams, "Learning representations by back-propagating errors", Nature, 1986.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._arrays import beside, check_floating, cotangent, given, product
from ._factors import Outer, Summed, totals
from ._pieces import in_two


@jax.custom_vjp
def linear(
    x: Float[Array, "*batch n_in"],
    w: Float[Array, "n_in n_out"],
    b: Float[Array, " n_out"] | None = None,
) -> Float[Array, "*batch n_out"]:
    """z = x W + b, with any number of batch axes and an optional bias.

    Args:
      x: inputs, features last.
      w: weights, one column for each output.
      b: biases, or None for a purely linear map.

    Returns:
      The pre-activations z in the arguments' common dtype; half precision is accumulated in float32.

    Raises:
      TypeError: an argument is not floating point.
      ValueError: the shapes do not belong together.
    """
    return _linear_fwd(x, w, b)[0]


def _linear_fwd(x, w, b):
    _check(x, w, b)
    z = product(x, w, rounded=True)
    z = (z if b is None else z + beside(b, z)).astype(jnp.result_type(*given(x=x, w=w, b=b).values()))
    return z, (x, w, b)


def _linear_travel(residuals, delta):
    x, w, _ = residuals
    return cotangent(x, input_gradient(delta, w)), delta


def _linear_factors(residuals, delta):
    return {"w": Outer(residuals[0], delta), "b": Summed(delta)}


def _linear_bwd(residuals, delta):
    _, w, b = residuals
    dx, delta = _linear_travel(residuals, delta)
    return dx, *totals(_linear_factors(residuals, delta), w=w, b=b)


linear.defvjp(_linear_fwd, _linear_bwd)
in_two(linear, _linear_travel, _linear_factors)


def input_gradient(delta: Float[Array, "*batch n_out"], w: Float[Array, "n_in n_out"]) -> Float[Array, "*batch n_in"]:
    """δ Wᵀ: what travels on to the layer before, in the arguments' common dtype."""
    return product(delta, w.T, rounded=True)


def weight_gradient(x: Float[Array, "*batch n_in"], delta: Float[Array, "*batch n_out"]) -> Float[Array, "n_in n_out"]:
    """xᵀ δ, summed over every batch axis, in the arguments' common dtype."""
    return Outer(x, delta).total()


def bias_gradient(delta: Float[Array, "*batch n_out"]) -> Float[Array, " n_out"]:
    """Σ δ over every batch axis, in δ's dtype."""
    return Summed(delta).total()


def _check(x, w, b):
    check_floating("linear", x=x, w=w, **given(b=b))
    if jnp.ndim(w) != 2:
        raise ValueError(f"linear: w, wanted shape (n_in, n_out), got {jnp.shape(w)}")
    n_in, n_out = w.shape
    if jnp.ndim(x) < 1 or x.shape[-1] != n_in:
        raise ValueError(f"linear: x, wanted {n_in} features (rows of w) last, got {jnp.shape(x)}")
    if b is not None and b.shape != (n_out,):
        raise ValueError(f"linear: b, wanted shape ({n_out},) (columns of w), got {jnp.shape(b)}")
