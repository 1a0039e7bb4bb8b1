"""Kullback–Leibler divergence of a predicted distribution from a target: one value for each example.

With the prediction given as log probabilities ℓ, sums over the axis:

    kl_divergence                    C = Σ_k t_k (log t_k − ℓ_k)       ∂C/∂ℓ = −t     ∂C/∂t = log t − ℓ + 1
    kl_divergence_with_log_targets   C = Σ_k t_k (λ_k − ℓ_k), t = e^λ  ∂C/∂ℓ = −t     ∂C/∂λ = t (λ − ℓ + 1)

Where t is 0 the term is 0, whatever ℓ; the slope by t, −∞ there, is given as 0.  An entry that does not
count has no term, and gradient 0.  Kept: the arguments.

S. Kullback, R. A. Leibler, "On information and sufficiency", The Annals of Mathematical Statistics 22, 1951.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jbackprop.rules._arrays import (
    Axis,
    check_axis,
    check_floating,
    check_pair,
    check_where,
    cotangent,
    counted,
    put_back,
    widen,
)


@partial(jax.custom_vjp, nondiff_argnames=("axis",))
def kl_divergence(
    log_predictions: Float[Array, "*shape"],
    targets: Float[Array, "*shape"],
    axis: Axis = -1,
    where: Bool[Array, "..."] | None = None,
) -> Float[Array, "..."]:
    """Σ targets · (log targets − log_predictions) over an axis, as `optax.kl_divergence`.

    A target of 0 costs nothing, beside a log prediction of −∞ too, and has gradient 0, where optax has NaN.

    Args:
      log_predictions: log probabilities, from `log_softmax` for instance.
      targets: probabilities, of the same shape.
      axis: an integer, several, or None for all.
      where: which entries count; it broadcasts to them.

    Raises:
      TypeError: an argument is not floating point, or where not boolean.
      ValueError: the shapes differ, or there is no such axis.
    """
    return _kl_divergence_fwd(log_predictions, targets, axis, where)[0]


def _kl_divergence_fwd(log_predictions, targets, axis, where):
    _check("kl_divergence", axis, where, log_predictions=log_predictions, targets=targets)
    terms = counted(widen(targets) * _log_ratio(log_predictions, targets), where)
    return terms.sum(axis).astype(log_predictions.dtype), (log_predictions, targets, where)


def _kl_divergence_bwd(axis, residuals, dvalues):
    log_predictions, targets, where = residuals
    dterms = put_back(widen(dvalues), axis, targets.ndim)
    by_target = jnp.where(targets == 0, 0, _log_ratio(log_predictions, targets) + 1)
    gradients = counted(dterms * -widen(targets), where), counted(dterms * by_target, where)
    return *map(cotangent, (log_predictions, targets), gradients), None


kl_divergence.defvjp(_kl_divergence_fwd, _kl_divergence_bwd)


def _log_ratio(log_predictions, targets):
    """log t − ℓ, and 0 where t is 0."""
    absent = targets == 0
    return jnp.where(absent, 0, jnp.log(jnp.where(absent, 1, widen(targets))) - widen(log_predictions))


@partial(jax.custom_vjp, nondiff_argnames=("axis",))
def kl_divergence_with_log_targets(
    log_predictions: Float[Array, "*shape"],
    log_targets: Float[Array, "*shape"],
    axis: Axis = -1,
    where: Bool[Array, "..."] | None = None,
) -> Float[Array, "..."]:
    """Σ e^{log_targets} (log_targets − log_predictions) over an axis, as its namesake in `optax.losses`.

    Args:
      log_predictions: log probabilities.
      log_targets: log probabilities of the same shape; −∞ for a probability of 0.
      axis: an integer, several, or None for all.
      where: which entries count; it broadcasts to them.

    Raises:
      TypeError: an argument is not floating point, or where not boolean.
      ValueError: the shapes differ, or there is no such axis.
    """
    return _kl_divergence_with_log_targets_fwd(log_predictions, log_targets, axis, where)[0]


def _kl_divergence_with_log_targets_fwd(log_predictions, log_targets, axis, where):
    pair = {"log_predictions": log_predictions, "log_targets": log_targets}
    _check("kl_divergence_with_log_targets", axis, where, **pair)
    t, ratio = _exponential_and_log_ratio(log_predictions, log_targets)
    return counted(t * ratio, where).sum(axis).astype(log_predictions.dtype), (*pair.values(), where)


def _kl_divergence_with_log_targets_bwd(axis, residuals, dvalues):
    log_predictions, log_targets, where = residuals
    t, ratio = _exponential_and_log_ratio(log_predictions, log_targets)
    dterms = put_back(widen(dvalues), axis, t.ndim)
    gradients = counted(dterms * -t, where), counted(dterms * t * (ratio + 1), where)
    return *map(cotangent, (log_predictions, log_targets), gradients), None


kl_divergence_with_log_targets.defvjp(_kl_divergence_with_log_targets_fwd, _kl_divergence_with_log_targets_bwd)


def _exponential_and_log_ratio(log_predictions, log_targets):
    """t = e^λ, and λ − ℓ, or 0 where t is 0."""
    t = jnp.exp(widen(log_targets))
    return t, jnp.where(t == 0, 0, widen(log_targets) - widen(log_predictions))


def _check(loss, axis, where, **pair):
    check_floating(loss, **pair)
    check_pair(loss, **pair)
    ((name, array), _) = pair.items()
    check_axis(loss, axis, **{name: array})
    check_where(loss, where, **{name: array})
