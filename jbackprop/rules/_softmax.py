"""softmax, log softmax and log-sum-exp along an axis.

With p = softmax(z), the sums running along the axis:

    p_j = e^{z_j} / Σ_k e^{z_k}       ∂p_j/∂z_i = p_j (1[i=j] − p_i)
    softmax       ∂C/∂z_i = Σ_j da_j p_j (1[i=j] − p_i)                  dz = p ⊙ (da − Σ da ⊙ p)      kept: p

    ℓ_j = z_j − log Σ_k e^{z_k}       ∂ℓ_j/∂z_i = 1[i=j] − p_i
    log_softmax   ∂C/∂z_i = Σ_j da_j (1[i=j] − p_i)                      dz = da − p Σ da              kept: z, m, Σ

    y = log Σ_k e^{z_k}               ∂y/∂z_i = e^{z_i − y} = p_i
    logsumexp     ∂C/∂z_i = dy p_i                                       dz = dy p                     kept: z, m, Σ

The largest entry m is subtracted before each exponential, so nothing overflows, and p = e^{z − m} / Σ e^{z − m} is
computed again from what is kept.  Half precision is computed in float32.  softmax keeps its output alone; on a CPU that
costs a fifth more time than autodiff, which keeps an array of exponentials besides.

J. S. Bridle, "Probabilistic interpretation of feedforward classification network outputs, with relationships to
statistical pattern recognition", in Neurocomputing, Springer, 1990.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._arrays import Axis, check_floating, widen


@partial(jax.custom_vjp, nondiff_argnames=("axis",))
def softmax(z: Float[Array, "*shape"], axis: Axis = -1) -> Float[Array, "*shape"]:
    """e^z / Σ e^z along an axis (an integer, several, or None for all), as `jax.nn.softmax`."""
    return _softmax_fwd(z, axis)[0]


def _softmax_fwd(z, axis):
    _check("softmax", z, axis)
    if z.size == 0 and 0 in _sizes(z, axis):
        raise ValueError(f"softmax: z, wanted at least one entry along axis {axis}, got shape {z.shape}")
    largest = jax.lax.stop_gradient(widen(z).max(axis, keepdims=True))
    e = jnp.exp(widen(z) - largest)
    p = (e / e.sum(axis, keepdims=True)).astype(z.dtype)
    return p, p


def _softmax_bwd(axis, p, da):
    wide_p, wide_da = widen(p), widen(da)
    dz = wide_p * (wide_da - (wide_da * wide_p).sum(axis, keepdims=True))
    return (dz.astype(p.dtype),)


softmax.defvjp(_softmax_fwd, _softmax_bwd)


@partial(jax.custom_vjp, nondiff_argnames=("axis",))
def log_softmax(z: Float[Array, "*shape"], axis: Axis = -1) -> Float[Array, "*shape"]:
    """z − log Σ e^z along an axis (an integer, several, or None for all), as `jax.nn.log_softmax`."""
    return _log_softmax_fwd(z, axis)[0]


def _log_softmax_fwd(z, axis):
    _check("log_softmax", z, axis)
    largest, total = exponentials(z, axis)
    return (widen(z) - largest - jnp.log(total)).astype(z.dtype), (z, largest, total)


def _log_softmax_bwd(axis, residuals, da):
    z, largest, total = residuals
    wide_da = widen(da)
    dz = wide_da - jnp.exp(widen(z) - largest) * (wide_da.sum(axis, keepdims=True) / total)
    return (dz.astype(z.dtype),)


log_softmax.defvjp(_log_softmax_fwd, _log_softmax_bwd)


@partial(jax.custom_vjp, nondiff_argnames=("axis", "keepdims"))
def logsumexp(z: Float[Array, "*shape"], axis: Axis = None, keepdims: bool = False) -> Float[Array, "..."]:
    """log Σ e^z over an axis (an integer, several, or None for all), as `jax.nn.logsumexp`.

    The sum over no finite entry is −∞, with a gradient of zero.
    """
    return _logsumexp_fwd(z, axis, keepdims)[0]


def _logsumexp_fwd(z, axis, keepdims):
    _check("logsumexp", z, axis)
    largest, total = exponentials(z, axis)
    y = largest + jnp.log(total)
    return (y if keepdims else y.squeeze(axis)).astype(z.dtype), (z, largest, total)


def _logsumexp_bwd(axis, keepdims, residuals, dy):
    z, largest, total = residuals
    p = jnp.exp(widen(z) - largest) / jnp.where(total == 0, 1, total)
    return ((widen(dy).reshape(total.shape) * p).astype(z.dtype),)


logsumexp.defvjp(_logsumexp_fwd, _logsumexp_bwd)


def exponentials(z, axis):
    """m = max z and Σ e^{z − m} in float32 at least, the axis kept; m is 0 where the largest entry is not finite.

    e^{z − m} / Σ is the softmax.  From m + log Σ alone it could not be had: where z is large, the logarithm is lost in
    the sum's rounding.
    """
    largest = jax.lax.stop_gradient(widen(z).max(axis, keepdims=True, initial=-jnp.inf))
    largest = jnp.where(jnp.isinf(largest), 0, largest)
    return largest, jnp.exp(widen(z) - largest).sum(axis, keepdims=True)


def _check(rule, z, axis):
    check_floating(rule, z=z)
    for number in (axis,) if isinstance(axis, int) else axis or ():
        if not -jnp.ndim(z) <= number < jnp.ndim(z):
            raise ValueError(f"{rule}: axis, wanted one of the {jnp.ndim(z)} of z, got {axis}")


def _sizes(z, axis):
    """How many entries z has along each of the axes."""
    axes = range(z.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return [z.shape[number] for number in axes]
