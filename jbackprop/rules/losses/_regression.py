"""Costs of an error e = prediction − target that grow more slowly than its square: one value for each example.

    C = Σ_k c(e_k)        ∂C/∂prediction = c'(e)        ∂C/∂target = −c'(e)

    loss             c(e)                                     c'(e)               at the kink
    absolute_error   |e|                                      sign(e)             0
    huber            ½ e² where |e| ≤ δ, else δ |e| − ½ δ²    e clipped to ±δ     smooth      ∂c/∂δ = max(|e| − δ, 0)
    log_cosh         log cosh e                               tanh e              smooth

Kept: the arguments.  On a CPU the terms are written before they are summed, an array of the prediction's size.

P. J. Huber, "Robust estimation of a location parameter", The Annals of Mathematical Statistics 35, 1964.
P. Chen, G. Chen, S. Zhang, "Log hyperbolic cosine loss improves variational auto-encoder", 2019.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from jbackprop.rules._arrays import check_floating, check_pair, check_real, cotangent, difference, widen
from jbackprop.rules._options import Scalar, check_positive


def _define_slope(rule: jax.custom_vjp, slope: Callable) -> None:
    """Gives Σ c(e) its backward pass from c'."""

    def fwd(prediction, target):
        return rule.fun(prediction, target), (prediction, target)

    def bwd(residuals, dvalues):
        prediction, target = residuals
        da = widen(dvalues)[..., None] * slope(difference(prediction, target))
        return cotangent(prediction, da), cotangent(target, -da)

    rule.defvjp(fwd, bwd)


def _summed(name, cost, prediction, target):
    """Σ c(e) over the last axis, computed in float32 at least and rounded once."""
    check_floating(name, prediction=prediction)
    check_real(name, target=target)
    check_pair(name, prediction=prediction, target=target)
    return cost(difference(prediction, target)).sum(axis=-1).astype(prediction.dtype)


@jax.custom_vjp
def absolute_error(
    prediction: Float[Array, "*batch features"], target: Num[Array, "*batch features"]
) -> Float[Array, "*batch"]:
    """Σ |prediction − target| over the last axis; TypeError and ValueError as `squared_error`."""
    return _summed("absolute_error", lambda e: e * jax.lax.stop_gradient(jnp.sign(e)), prediction, target)


_define_slope(absolute_error, jnp.sign)


@jax.custom_vjp
def huber(
    prediction: Float[Array, "*batch features"], target: Num[Array, "*batch features"], delta: Scalar = 1.0
) -> Float[Array, "*batch"]:
    """½ e² up to an error of delta and a straight line beyond, summed over the last axis.

    `optax.huber_loss` is the same before the sum.  delta may be traced, and has its gradient.

    Raises:
      TypeError: the prediction is not floating point, or the target not real.
      ValueError: the shapes differ, or delta is not positive.
    """
    return _huber_fwd(prediction, target, delta)[0]


def _huber_fwd(prediction, target, delta):
    check_positive("huber", delta=delta)
    return _summed("huber", partial(_huber, delta=delta), prediction, target), (prediction, target, delta)


def _huber_bwd(residuals, dvalues):
    prediction, target, delta = residuals
    e, dvalues = difference(prediction, target), widen(dvalues)[..., None]
    da = dvalues * jnp.clip(e, -delta, delta)
    ddelta = (dvalues * jnp.maximum(jnp.abs(e) - delta, 0)).sum()
    return cotangent(prediction, da), cotangent(target, -da), cotangent(delta, ddelta)


huber.defvjp(_huber_fwd, _huber_bwd)


def _huber(e, delta):
    size = jnp.abs(e)
    return jnp.where(size <= delta, 0.5 * jnp.square(e), delta * (size - 0.5 * delta))


@jax.custom_vjp
def log_cosh(
    prediction: Float[Array, "*batch features"], target: Num[Array, "*batch features"]
) -> Float[Array, "*batch"]:
    """Σ log cosh(prediction − target) over the last axis; TypeError and ValueError as `squared_error`.

    Unlike `optax.log_cosh`, which is the same before the sum.
    """
    return _summed("log_cosh", lambda e: jnp.logaddexp(e, -e) - np.log(2), prediction, target)


_define_slope(log_cosh, jnp.tanh)
