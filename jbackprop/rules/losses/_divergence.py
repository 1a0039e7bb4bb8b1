"""Kullback–Leibler divergence of a predicted distribution from a target: one value for each example.

With the prediction given as log probabilities ℓ, sums over the last axis:

    kl_divergence                    C = Σ_k t_k (log t_k − ℓ_k)       ∂C/∂ℓ = −t     ∂C/∂t = log t − ℓ + 1
    kl_divergence_with_log_targets   C = Σ_k t_k (λ_k − ℓ_k), t = e^λ  ∂C/∂ℓ = −t     ∂C/∂λ = t (λ − ℓ + 1)

Where t is 0 the term is 0, whatever ℓ; the slope by t, −∞ there, is given as 0.  Kept: the arguments.

S. Kullback, R. A. Leibler, "On information and sufficiency", The Annals of Mathematical Statistics 22, 1951.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jbackprop.rules._arrays import check_floating, check_pair, cotangent, widen


@jax.custom_vjp
def kl_divergence(
    log_predictions: Float[Array, "*batch features"], targets: Float[Array, "*batch features"]
) -> Float[Array, "*batch"]:
    """Σ targets · (log targets − log_predictions) over the last axis, as `optax.kl_divergence`.

    Args:
      log_predictions: log probabilities, from `log_softmax` for instance.
      targets: probabilities, of the same shape.

    Raises:
      TypeError: an argument is not floating point.
      ValueError: the shapes differ.
    """
    return _kl_divergence_fwd(log_predictions, targets)[0]


def _kl_divergence_fwd(log_predictions, targets):
    check_floating("kl_divergence", log_predictions=log_predictions, targets=targets)
    check_pair("kl_divergence", log_predictions=log_predictions, targets=targets)
    t, ratio = widen(targets), _log_ratio(log_predictions, targets)
    return (t * ratio).sum(axis=-1).astype(log_predictions.dtype), (log_predictions, targets)


def _kl_divergence_bwd(residuals, dvalues):
    log_predictions, targets = residuals
    t, dvalues = widen(targets), widen(dvalues)[..., None]
    dt = dvalues * jnp.where(t == 0, 0, _log_ratio(log_predictions, targets) + 1)
    return cotangent(log_predictions, dvalues * -t), cotangent(targets, dt)


kl_divergence.defvjp(_kl_divergence_fwd, _kl_divergence_bwd)


def _log_ratio(log_predictions, targets):
    """log t − ℓ, and 0 where t is 0."""
    absent = targets == 0
    return jnp.where(absent, 0, jnp.log(jnp.where(absent, 1, widen(targets))) - widen(log_predictions))


@jax.custom_vjp
def kl_divergence_with_log_targets(
    log_predictions: Float[Array, "*batch features"], log_targets: Float[Array, "*batch features"]
) -> Float[Array, "*batch"]:
    """Σ e^{log_targets} (log_targets − log_predictions) over the last axis, as its namesake in optax.

    Args:
      log_predictions: log probabilities.
      log_targets: log probabilities of the same shape; −∞ for a probability of 0.

    Raises:
      TypeError: an argument is not floating point.
      ValueError: the shapes differ.
    """
    return _kl_divergence_with_log_targets_fwd(log_predictions, log_targets)[0]


def _kl_divergence_with_log_targets_fwd(log_predictions, log_targets):
    name, pair = "kl_divergence_with_log_targets", {"log_predictions": log_predictions, "log_targets": log_targets}
    check_floating(name, **pair)
    check_pair(name, **pair)
    t, ratio = _exponential_and_log_ratio(log_predictions, log_targets)
    return (t * ratio).sum(axis=-1).astype(log_predictions.dtype), (log_predictions, log_targets)


def _kl_divergence_with_log_targets_bwd(residuals, dvalues):
    log_predictions, log_targets = residuals
    (t, ratio), dvalues = _exponential_and_log_ratio(log_predictions, log_targets), widen(dvalues)[..., None]
    dlog = dvalues * t * (ratio + 1)
    return cotangent(log_predictions, dvalues * -t), cotangent(log_targets, dlog)


kl_divergence_with_log_targets.defvjp(_kl_divergence_with_log_targets_fwd, _kl_divergence_with_log_targets_bwd)


def _exponential_and_log_ratio(log_predictions, log_targets):
    """t = e^λ, and λ − ℓ, or 0 where t is 0."""
    t = jnp.exp(widen(log_targets))
    return t, jnp.where(t == 0, 0, widen(log_targets) - widen(log_predictions))
