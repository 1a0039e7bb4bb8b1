"""Costs: one value for each example, from the last layer's output and its target.

The cost of a batch is the mean of these values, so a cotangent of 1/m arrives with δᴸ, once.  The loss from logits
holds its output activation, and the pair cancels to the canonical error, prediction minus target:

    squared_error           C = ½ Σ_k (a_k − y_k)²                        ∂C/∂a = a − y           ∂C/∂y = y − a
    sigmoid_cross_entropy   C = −Σ_k y_k log s_k + (1 − y_k) log(1 − s_k)
                              = Σ_k log(1 + e^{z_k}) − y_k z_k            δ = s − y               ∂C/∂y = −z
                              = Σ_k (1 − y_k) z_k + log(1 + e^{−z_k})       = (1 − y) s − y (1 − s)
                            with s = sigmoid(z); of each, the form in which nothing cancels

Kept: the arguments.

C. M. Bishop, "Neural Networks for Pattern Recognition", Oxford University Press, 1995, sections 6.1 to 6.9.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jbackprop.rules._arrays import check_floating, check_pair, check_real, cotangent, difference, widen
from jbackprop.rules._scalars import binary_cross_entropy_slope, binary_cross_entropy_value


@jax.custom_vjp
def squared_error(
    prediction: Float[Array, "*batch features"], target: Num[Array, "*batch features"]
) -> Float[Array, "*batch"]:
    """½ Σ (prediction − target)² over the last axis.

    Unlike `optax.squared_error`, which has neither the ½ nor the sum; `optax.l2_loss` has the ½.

    Args:
      prediction: the last layer's output a.
      target: what it should have been, of the same shape.

    Raises:
      TypeError: the prediction is not floating point, or the target not real.
      ValueError: the shapes differ.
    """
    return _squared_error_fwd(prediction, target)[0]


def _squared_error_fwd(prediction, target):
    check_floating("squared_error", prediction=prediction)
    check_real("squared_error", target=target)
    check_pair("squared_error", prediction=prediction, target=target)
    values = 0.5 * jnp.square(difference(prediction, target)).sum(axis=-1)
    return values.astype(prediction.dtype), (prediction, target)


def _squared_error_bwd(residuals, dvalues):
    prediction, target = residuals
    da = widen(dvalues)[..., None] * difference(prediction, target)
    return cotangent(prediction, da), cotangent(target, -da)


squared_error.defvjp(_squared_error_fwd, _squared_error_bwd)


@jax.custom_vjp
def sigmoid_cross_entropy(
    logits: Float[Array, "*batch features"], labels: Num[Array, "*batch features"]
) -> Float[Array, "*batch"]:
    """Independent yes-or-no questions: −Σ y log s + (1 − y) log(1 − s) over the last axis, s = sigmoid(logits).

    `optax.sigmoid_binary_cross_entropy` is the same before the sum.

    Args:
      logits: the last layer's pre-activation z.
      labels: probabilities in [0, 1], of the same shape; integers and booleans are welcome.

    Raises:
      TypeError: the logits are not floating point, or the labels not real.
      ValueError: the shapes differ.
    """
    return _sigmoid_cross_entropy_fwd(logits, labels)[0]


def _sigmoid_cross_entropy_fwd(logits, labels):
    check_floating("sigmoid_cross_entropy", logits=logits)
    check_real("sigmoid_cross_entropy", labels=labels)
    check_pair("sigmoid_cross_entropy", logits=logits, labels=labels)
    values = binary_cross_entropy_value(widen(logits), widen(labels))
    return values.sum(axis=-1).astype(logits.dtype), (logits, labels)


def _sigmoid_cross_entropy_bwd(residuals, dvalues):
    logits, labels = residuals
    z, dvalues = widen(logits), widen(dvalues)[..., None]
    return (
        cotangent(logits, dvalues * binary_cross_entropy_slope(z, widen(labels))),
        cotangent(labels, dvalues * -z),
    )


sigmoid_cross_entropy.defvjp(_sigmoid_cross_entropy_fwd, _sigmoid_cross_entropy_bwd)
