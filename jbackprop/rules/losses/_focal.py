"""Focal loss: a binary cross-entropy in which questions that are answered well count little.

With p = sigmoid(z), q = 1 − p, and u the probability of the wrong answer,

    C = Σ w u^γ H      u = (1 − y) p + y q      H = −y log p − (1 − y) log q      w = α y + (1 − α)(1 − y), or 1

    ∂H/∂z = p − y       ∂u/∂z = (1 − 2y) p q     ∂C/∂z = w u^γ (p − y + γ H (1 − 2y) p q / u)
    ∂H/∂y = −z          ∂u/∂y = q − p            ∂C/∂y = w u^γ (−z + γ H (q − p) / u) + (2α − 1) u^γ H

The quotients are taken as 0 where u is 0.  Kept: the arguments.

T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár, "Focal loss for dense object detection", ICCV, 2017.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jbackprop.rules._arrays import check_floating, check_pair, cotangent, widen
from jbackprop.rules._scalars import sigmoid_value, softplus_value


@partial(jax.custom_vjp, nondiff_argnames=("alpha", "gamma"))
def sigmoid_focal(
    logits: Float[Array, "*batch features"],
    labels: Num[Array, "*batch features"],
    alpha: float | None = None,
    gamma: float = 2.0,
) -> Float[Array, "*batch"]:
    """The focal loss of independent yes-or-no questions, summed over the last axis.

    `optax.sigmoid_focal_loss` is the same before the sum.

    Args:
      logits: the last layer's pre-activation z.
      labels: probabilities in [0, 1], of the same shape; integers and booleans are welcome.
      alpha: the weight of a yes; 1 − alpha is that of a no.  None weighs both 1.
      gamma: how little a good answer counts; 0 is `sigmoid_cross_entropy`.

    Raises:
      TypeError: the logits are not floating point.
      ValueError: the shapes differ, or gamma is negative.
    """
    return _sigmoid_focal_fwd(logits, labels, alpha, gamma)[0]


def _sigmoid_focal_fwd(logits, labels, alpha, gamma):
    check_floating("sigmoid_focal", logits=logits)
    check_pair("sigmoid_focal", logits=logits, labels=labels)
    if gamma < 0:
        raise ValueError(f"sigmoid_focal: gamma, wanted a number that is not negative, got {gamma}")
    z, y = widen(logits), widen(labels)
    entropy, wrong, weight = _parts(z, y, alpha)
    return (weight * wrong**gamma * entropy).sum(axis=-1).astype(logits.dtype), (logits, labels)


def _sigmoid_focal_bwd(alpha, gamma, residuals, dvalues):
    logits, labels = residuals
    z, y, dvalues = widen(logits), widen(labels), widen(dvalues)[..., None]
    p, q = sigmoid_value(z), sigmoid_value(-z)
    entropy, wrong, weight = _parts(z, y, alpha)
    focus = wrong**gamma
    tilt = gamma * entropy * jnp.where(wrong == 0, 0, 1 / jnp.where(wrong == 0, 1, wrong))
    dz = weight * focus * (p - y + tilt * (1 - 2 * y) * p * q)
    dy = weight * focus * (tilt * (q - p) - z) + (0 if alpha is None else 2 * alpha - 1) * focus * entropy
    return cotangent(logits, dvalues * dz), cotangent(labels, dvalues * dy)


sigmoid_focal.defvjp(_sigmoid_focal_fwd, _sigmoid_focal_bwd)


def _parts(z, y, alpha):
    """H, u and w of the derivation."""
    entropy = softplus_value(z) - y * z
    wrong = (1 - y) * sigmoid_value(z) + y * sigmoid_value(-z)
    return entropy, wrong, 1 if alpha is None else alpha * y + (1 - alpha) * (1 - y)
