"""Focal loss: a binary cross-entropy in which questions that are answered well count little.

With p = sigmoid(z), q = 1 − p, and u the probability of the wrong answer,

    C = Σ w u^γ H      u = (1 − y) p + y q      H = −y log p − (1 − y) log q      w = α y + (1 − α)(1 − y), or 1

    ∂H/∂z = p − y       ∂u/∂z = (1 − 2y) p q     ∂C/∂z = w u^γ (p − y + γ H (1 − 2y) p q / u)
    ∂H/∂y = −z          ∂u/∂y = q − p            ∂C/∂y = w u^γ (−z + γ H (q − p) / u) + (2α − 1) u^γ H
    ∂C/∂α = Σ (2y − 1) u^γ H                     ∂C/∂γ = Σ w u^γ H log u

Where u is 0 to rounding, as for a sure and right answer, u^γ is taken by log u, and the quotients by what is left of
them once u cancels, so that none of this is 0/0.  Kept: the arguments.

T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár, "Focal loss for dense object detection", ICCV, 2017.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jbackprop.rules._arrays import check_floating, check_pair, check_real, cotangent, given, widen
from jbackprop.rules._meshes import laid_like
from jbackprop.rules._options import Scalar, check_not_negative, check_number
from jbackprop.rules._scalars import binary_cross_entropy_slope, binary_cross_entropy_value, decay


@jax.custom_vjp
def sigmoid_focal(
    logits: Float[Array, "*batch features"],
    labels: Num[Array, "*batch features"],
    alpha: Scalar | None = None,
    gamma: Scalar = 2.0,
) -> Float[Array, "*batch"]:
    """The focal loss of independent yes-or-no questions, summed over the last axis.

    `optax.sigmoid_focal_loss` is the same before the sum.

    Args:
      logits: the last layer's pre-activation z.
      labels: probabilities in [0, 1], of the same shape; integers and booleans are welcome.
      alpha: the weight of a yes; 1 − alpha is that of a no.  None weighs both 1.
      gamma: how little a good answer counts; 0 is `sigmoid_cross_entropy`.  Both may be traced, and have gradients.

    Raises:
      TypeError: the logits are not floating point, or the labels not real.
      ValueError: the shapes differ, or gamma is negative.
    """
    return _sigmoid_focal_fwd(logits, labels, alpha, gamma)[0]


def _sigmoid_focal_fwd(logits, labels, alpha, gamma):
    check_floating("sigmoid_focal", logits=logits)
    check_real("sigmoid_focal", labels=labels)
    check_pair("sigmoid_focal", logits=logits, labels=labels)
    check_not_negative("sigmoid_focal", gamma=gamma)
    check_number("sigmoid_focal", **given(alpha=alpha))
    z, y = widen(logits), laid_like(widen(labels), logits)
    values = _weight(y, alpha) * _focus(z, y, gamma) * binary_cross_entropy_value(z, y)
    return values.sum(axis=-1).astype(logits.dtype), (logits, labels, alpha, gamma)


def _sigmoid_focal_bwd(residuals, dvalues):
    logits, labels, alpha, gamma = residuals
    z, y, dvalues = widen(logits), laid_like(widen(labels), logits), widen(dvalues)[..., None]
    entropy, focus = binary_cross_entropy_value(z, y), _focus(z, y, gamma)
    by_logit, by_label = _quotients(z, y)
    dz = _weight(y, alpha) * focus * (binary_cross_entropy_slope(z, y) + gamma * entropy * (1 - 2 * y) * by_logit)
    dy = _weight(y, alpha) * focus * (gamma * entropy * by_label - z)
    dy = dy if alpha is None else dy + (2 * alpha - 1) * focus * entropy
    weighed = dvalues * focus * entropy
    dalpha, dgamma = (weighed * (2 * y - 1)).sum(), (weighed * _weight(y, alpha) * _log_wrong(z, y)).sum()
    gradients = dvalues * dz, dvalues * dy, dalpha, dgamma
    return tuple(map(cotangent, (logits, labels, alpha, gamma), gradients))


sigmoid_focal.defvjp(_sigmoid_focal_fwd, _sigmoid_focal_bwd)


def _weight(y, alpha):
    """w."""
    return 1 if alpha is None else alpha * y + (1 - alpha) * (1 - y)


def _focus(z, y, gamma):
    """u^γ; where u vanishes, as only for a label of 0 or 1, by its logarithm."""
    vanishing, wrong, log_vanishing = _wrong(z, y)
    return jnp.where(vanishing, jnp.exp(gamma * log_vanishing), wrong**gamma)


def _log_wrong(z, y):
    """log u."""
    vanishing, wrong, log_vanishing = _wrong(z, y)
    return jnp.where(vanishing, log_vanishing, jnp.log(wrong))


def _wrong(z, y):
    """Whether u vanishes; u, or 1 where it does; and log u where it does."""
    e, against, size = _parts(z, y)
    wrong = (against + (1 - against) * e) / (1 + e)
    vanishing = jnp.abs(wrong) < 1e-18
    log_vanishing = jnp.log1p(jnp.where(vanishing, against, 0) * _odds(size)) - size
    return vanishing, jnp.where(vanishing, 1, wrong), log_vanishing


def _quotients(z, y):
    """p q / u and (q − p) / u, in both of which e cancels."""
    e, against, size = _parts(z, y)
    odds = _odds(size)
    share = against * odds + (1 - against)
    return 1 / share / (1 + e), jnp.where(z >= 0, 1 - odds, odds - 1) / share


def _parts(z, y):
    """e = e^{−|z|}; a, how much the label is against z's sign; |z|: with them u = (a + (1 − a) e) / (1 + e)."""
    return decay(z), jnp.where(z >= 0, 1 - y, y), jnp.where(z >= 0, z, -z)


def _odds(size):
    """1 / e; where it is larger than e⁸⁰, it is in no sum that counts."""
    return jnp.exp(jnp.minimum(size, 80))
