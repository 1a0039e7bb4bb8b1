"""Rules whose backward pass is *not* the derivative of their forward pass, on purpose.

    rule                 forward          backward, from dy = ∂C/∂y
    straight_through     quantise(x)      dx = dy                              as if it were the identity
    reverse_gradient     x                dx = −scale · dy
    scale_gradient       x                dx = scale · dy
    clip_gradient        x                dx = min(max(dy, −limit), limit)
    clip_gradient_norm   x                dx = dy · min(1, limit / ‖dy‖)       ‖·‖ over an axis, each example alone
    stop_gradient        x                dx = 0

Nothing is kept, except the scale or the limit where there is one; these get a gradient of zero.

How to prove such a rule.  Its gradient disagrees with autodiff and with finite differences, so the checks of
`jbackprop.check` that hold it against them do not apply.  The others do: `structure`, `primal` against a reference of
the value, `reference` against a function whose derivative is the gradient that the rule puts in place (the identity for
straight_through, x ↦ −scale · x for reverse_gradient), `determinism`, `jit`, `vmap`, `scan`, `checkpoint`, `residuals`,
and `linearity` unless the rule clips:

    check(rules.reverse_gradient, x, reference=lambda x: -x, only=("structure", "linearity", "reference", "vmap"))

Y. Bengio, N. Léonard, A. Courville, "Estimating or propagating gradients through stochastic neurons for conditional
computation", arXiv:1308.3432, 2013 (straight_through).  Y. Ganin, V. Lempitsky, "Unsupervised domain adaptation by
backpropagation", ICML, 2015 (reverse_gradient).  R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training
recurrent neural networks", ICML, 2013 (clipping).
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._arrays import check_floating, magnitude, widen
from ._options import Scalar, check_not_negative, number


@partial(jax.custom_vjp, nondiff_argnames=("quantise",))
def straight_through(
    x: Float[Array, "*shape"], quantise: Callable[[Array], Array] = jnp.round
) -> Float[Array, "*shape"]:
    """quantise(x), with the gradient of the identity, which is *not* its derivative.

    Args:
      x: any array.
      quantise: a function of an array that keeps its shape (`jnp.round`, `jnp.sign`, your own), static: give the same
        object at each call, or it compiles again.

    Raises:
      TypeError: x is not floating point.
      ValueError: quantise changes the shape.
    """
    return _straight_through_fwd(x, quantise)[0]


def _straight_through_fwd(x, quantise):
    check_floating("straight_through", x=x)
    y = quantise(x)
    if y.shape != x.shape:
        raise ValueError(f"straight_through: quantise, wanted a result of shape {x.shape}, got {y.shape}")
    return y.astype(x.dtype), None


def _straight_through_bwd(quantise, residuals, dy):
    return (dy,)


straight_through.defvjp(_straight_through_fwd, _straight_through_bwd)


@jax.custom_vjp
def scale_gradient(x: Float[Array, "*shape"], scale: Scalar) -> Float[Array, "*shape"]:
    """x, with its gradient multiplied by a scale, which is *not* its derivative; TypeError unless x is floating.

    `optax.scale_gradient` does the same to a tree, for a scale that is known.
    """
    return _scale_gradient_fwd(x, scale)[0]


def _scale_gradient_fwd(x, scale):
    check_floating("scale_gradient", x=x)
    return x, scale


def _scale_gradient_bwd(scale, dy):
    wide = widen(dy)
    return (number(scale, wide) * wide).astype(dy.dtype), None


scale_gradient.defvjp(_scale_gradient_fwd, _scale_gradient_bwd)


@jax.custom_vjp
def reverse_gradient(x: Float[Array, "*shape"], scale: Scalar = 1.0) -> Float[Array, "*shape"]:
    """x, with its gradient multiplied by −scale, which is *not* its derivative; TypeError unless x is floating.

    What comes before learns to make the cost after it larger, such as that of a domain classifier.
    """
    return _reverse_gradient_fwd(x, scale)[0]


def _reverse_gradient_fwd(x, scale):
    check_floating("reverse_gradient", x=x)
    return x, scale


def _reverse_gradient_bwd(scale, dy):
    wide = widen(dy)
    return (-number(scale, wide) * wide).astype(dy.dtype), None


reverse_gradient.defvjp(_reverse_gradient_fwd, _reverse_gradient_bwd)


@jax.custom_vjp
def clip_gradient(x: Float[Array, "*shape"], limit: Scalar) -> Float[Array, "*shape"]:
    """x, with each entry of its gradient clipped to [−limit, limit], which is *not* its derivative.

    Raises:
      TypeError: x is not floating point.
      ValueError: the limit is negative.
    """
    return _clip_gradient_fwd(x, limit)[0]


def _clip_gradient_fwd(x, limit):
    check_floating("clip_gradient", x=x)
    check_not_negative("clip_gradient", limit=limit)
    return x, limit


def _clip_gradient_bwd(limit, dy):
    wide = widen(dy)
    most = number(limit, wide)
    return jnp.clip(wide, -most, most).astype(dy.dtype), None


clip_gradient.defvjp(_clip_gradient_fwd, _clip_gradient_bwd)


@partial(jax.custom_vjp, nondiff_argnames=("axis",))
def clip_gradient_norm(
    x: Float[Array, "*shape"], limit: Scalar, axis: int | tuple[int, ...] = -1
) -> Float[Array, "*shape"]:
    """x, with its gradient shrunk to a norm of at most the limit, which is *not* its derivative.

    Args:
      x: any array.
      limit: the largest Euclidean norm that passes as it is.
      axis: over which one norm is taken; every axis but the examples' makes it per example.

    Raises:
      TypeError: x is not floating point.
      ValueError: the limit is negative.
    """
    return _clip_gradient_norm_fwd(x, limit, axis)[0]


def _clip_gradient_norm_fwd(x, limit, axis):
    check_floating("clip_gradient_norm", x=x)
    check_not_negative("clip_gradient_norm", limit=limit)
    return x, limit


def _clip_gradient_norm_bwd(axis, limit, dy):
    wide = widen(dy)
    limit, unit = number(limit, wide), magnitude(wide, axis)
    norm = jnp.sqrt(jnp.square(wide / unit).sum(axis, keepdims=True))
    return jnp.where(norm > limit / unit, wide / unit / norm * limit, wide).astype(dy.dtype), None


clip_gradient_norm.defvjp(_clip_gradient_norm_fwd, _clip_gradient_norm_bwd)


@jax.custom_vjp
def stop_gradient(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x, with a gradient of zero, which is *not* its derivative, as `jax.lax.stop_gradient`.

    Raises:
      TypeError: x is not floating point.
    """
    return _stop_gradient_fwd(x)[0]


def _stop_gradient_fwd(x):
    check_floating("stop_gradient", x=x)
    return x, None


def _stop_gradient_bwd(residuals, dy):
    return (jnp.zeros_like(dy),)


stop_gradient.defvjp(_stop_gradient_fwd, _stop_gradient_bwd)
