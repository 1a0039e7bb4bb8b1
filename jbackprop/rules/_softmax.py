"""softmax, log softmax and log-sum-exp along an axis.

With p = softmax(z), the sums running along the axis:

    p_j = e^{z_j} / Σ_k e^{z_k}       ∂p_j/∂z_i = p_j (1[i=j] − p_i)
    softmax       ∂C/∂z_i = Σ_j da_j p_j (1[i=j] − p_i)                  dz = p ⊙ (da − Σ da ⊙ p)      kept: p

    ℓ_j = z_j − log Σ_k e^{z_k}       ∂ℓ_j/∂z_i = 1[i=j] − p_i
    log_softmax   ∂C/∂z_i = Σ_j da_j (1[i=j] − p_i)                      dz = da − p Σ da              kept: z, m, Σ

    y = log Σ_k e^{z_k}               ∂y/∂z_i = e^{z_i − y} = p_i
    logsumexp     ∂C/∂z_i = dy p_i                                       dz = dy p                     kept: z, m, Σ

With weights b, y = log Σ_k b_k e^{z_k}, its sign kept apart where it is asked for:

    ∂y/∂z_i = b_i e^{z_i − m} / Σ_k b_k e^{z_k − m}       ∂y/∂b_i = e^{z_i − m} / Σ_k b_k e^{z_k − m}    kept: b besides

An entry that does not count (`where`) is −∞ in all sums, and has gradient 0.

The largest entry m is subtracted before each exponential, so nothing overflows, and p = e^{z − m} / Σ e^{z − m} is
computed again from what is kept.  Half precision is computed in float32.  softmax keeps its output alone; on a CPU that
costs a fifth more time than autodiff, which keeps an array of exponentials besides.

J. S. Bridle, "Probabilistic interpretation of feedforward classification network outputs, with relationships to
statistical pattern recognition", in Neurocomputing, Springer, 1990.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Num

from ._arrays import (
    Axis,
    beside,
    check_axis,
    check_broadcasts,
    check_real,
    check_where,
    cotangent,
    counted,
    in_floating_point,
    summed_as,
    widen,
)


@partial(jax.custom_vjp, nondiff_argnames=("axis",))
def softmax(
    x: Num[Array, "*shape"], axis: Axis = -1, where: Bool[Array, "..."] | None = None
) -> Float[Array, "*shape"]:
    """e^z / Σ e^z along an axis (an integer, several, or None for all), as `jax.nn.softmax`.

    Entries that do not count are 0.
    """
    return _softmax_fwd(x, axis, where)[0]


def _softmax_fwd(z, axis, where):
    z = _checked("softmax", z, axis, where)
    largest = jax.lax.stop_gradient(counted(widen(z), where, -jnp.inf).max(axis, keepdims=True, initial=-jnp.inf))
    e = counted(jnp.exp(widen(z) - largest), where)
    p = counted(e / e.sum(axis, keepdims=True), where).astype(z.dtype)
    return p, (p, where)


def _softmax_bwd(axis, residuals, da):
    p, where = residuals
    wide_p, wide_da = widen(p), counted(widen(da), where)
    dz = wide_p * (wide_da - (wide_da * wide_p).sum(axis, keepdims=True))
    return counted(dz, where).astype(p.dtype), None


softmax.defvjp(_softmax_fwd, _softmax_bwd)


@partial(jax.custom_vjp, nondiff_argnames=("axis",))
def log_softmax(
    x: Num[Array, "*shape"], axis: Axis = -1, where: Bool[Array, "..."] | None = None
) -> Float[Array, "*shape"]:
    """z − log Σ e^z along an axis (an integer, several, or None for all), as `jax.nn.log_softmax`.

    Entries that do not count are −∞.
    """
    return _log_softmax_fwd(x, axis, where)[0]


def _log_softmax_fwd(z, axis, where):
    z = _checked("log_softmax", z, axis, where)
    largest, total = exponentials(counted(z, where, -jnp.inf), axis)
    values = counted(widen(z) - largest - jnp.log(total), where, -jnp.inf)
    return values.astype(z.dtype), (z, largest, total, where)


def _log_softmax_bwd(axis, residuals, da):
    z, largest, total, where = residuals
    wide_da = counted(widen(da), where)
    dz = wide_da - jnp.exp(widen(z) - largest) * (wide_da.sum(axis, keepdims=True) / total)
    return counted(dz, where).astype(z.dtype), None


log_softmax.defvjp(_log_softmax_fwd, _log_softmax_bwd)


@partial(jax.custom_vjp, nondiff_argnames=("axis", "keepdims", "return_sign"))
def logsumexp(
    a: Num[Array, "*shape"],
    axis: Axis = None,
    b: Num[Array, "..."] | None = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: Bool[Array, "..."] | None = None,
) -> Float[Array, "..."] | tuple[Float[Array, "..."], Float[Array, "..."]]:
    """log Σ b e^z over an axis (an integer, several, or None for all), as `jax.nn.logsumexp`.

    The sum over no finite entry is −∞, with a gradient of zero; a weight of zero has gradient zero.

    Args:
      a: any array.
      axis: what the sum runs along.
      b: weights, which broadcast to z; 1 unless given.
      keepdims: whether the result keeps the axis, with size 1.
      return_sign: whether the sum's sign is returned beside the logarithm of its size; without it, that of a negative
        sum is NaN.
      where: which entries count; it broadcasts to z.

    Raises:
      TypeError: z or b does not hold real numbers, or where booleans.
      ValueError: there is no such axis, or b or where does not broadcast to z.
    """
    return _logsumexp_fwd(a, axis, b, keepdims, return_sign, where)[0]


def _logsumexp_fwd(z, axis, b, keepdims, return_sign, where):
    z = _checked("logsumexp", z, axis, where, name="a")
    _check_weights(z, b)
    largest, total = _weighed(z, axis, b, where)
    y, sign = largest + jnp.log(jnp.abs(total) if return_sign else total), jnp.sign(total)
    y, sign = ((array if keepdims else array.squeeze(axis)).astype(z.dtype) for array in (y, sign))
    return (y, sign) if return_sign else y, (z, b, where, largest, total)


def _logsumexp_bwd(axis, keepdims, return_sign, residuals, dy):
    z, b, where, largest, total = residuals
    rate = widen(dy[0] if return_sign else dy).reshape(total.shape) / jnp.where(total == 0, 1, total)
    e = rate * jnp.exp(widen(z) - largest)
    if b is None:
        return cotangent(z, counted(e, where)), None, None
    db = counted(jnp.where(jnp.asarray(b) == 0, 0, e), where)
    return cotangent(z, counted(_times(b, e), where)), cotangent(b, summed_as(db, jnp.shape(b))), None


logsumexp.defvjp(_logsumexp_fwd, _logsumexp_bwd)


def _weighed(z, axis, b, where):
    """m and Σ b e^{z − m} over what counts, the axis kept; m is of the entries whose weight is not 0."""
    of = counted(z, where, -jnp.inf)
    if b is None:
        return exponentials(of, axis)
    largest, _ = exponentials(jnp.where(jnp.asarray(b) == 0, -jnp.inf, of), axis)
    return largest, counted(_times(b, jnp.exp(widen(of) - largest)), where).sum(axis, keepdims=True)


def _times(b, e):
    """b e, and 0 where b is, whatever e is."""
    b = beside(b, e)
    return jnp.where(b == 0, 0, b * e)


def exponentials(z, axis):
    """m = max z and Σ e^{z − m} in float32 at least, the axis kept; m is 0 where the largest entry is not finite.

    e^{z − m} / Σ is the softmax.  From m + log Σ alone it could not be had: where z is large, the logarithm is lost in
    the sum's rounding.
    """
    largest = jax.lax.stop_gradient(widen(z).max(axis, keepdims=True, initial=-jnp.inf))
    largest = jnp.where(jnp.isinf(largest), 0, largest)
    return largest, jnp.exp(widen(z) - largest).sum(axis, keepdims=True)


def _checked(rule, z, axis, where, name="x"):
    """z; integers in floating point, as JAX takes them."""
    given = {name: z}
    check_real(rule, **given)
    check_axis(rule, axis, **given)
    check_where(rule, where, **given)
    return in_floating_point(z)


def _check_weights(z, b):
    if b is None:
        return
    if jnp.issubdtype(jnp.result_type(b), jnp.bool_):
        raise TypeError("logsumexp: b, wanted real numbers, got bool")
    check_real("logsumexp", b=b)
    check_broadcasts("logsumexp", "b", b, a=z)
