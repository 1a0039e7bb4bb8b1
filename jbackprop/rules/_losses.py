"""Costs: one value for each example, from the last layer's output and its target.

The cost of a batch is the mean of these values, so a cotangent of 1/m arrives with δᴸ, once.  Each loss from logits
holds its output activation, and the pair cancels to the canonical error, prediction minus target:

    squared_error           C = ½ Σ_k (a_k − y_k)²                        ∂C/∂a = a − y           ∂C/∂y = y − a
    sigmoid_cross_entropy   C = −Σ_k y_k log s_k + (1 − y_k) log(1 − s_k)
                              = Σ_k log(1 + e^{z_k}) − y_k z_k            δ = s − y               ∂C/∂y = −z
                            with s = sigmoid(z)
    softmax_cross_entropy   C = −Σ_k y_k log p_k
                              = Σ_k y_k (log Σ_j e^{z_j} − z_k)           δ = p Σ_k y_k − y       ∂C/∂y = −log p
                            with p = softmax(z); Σ y = 1 for probabilities, and then δ = p − y

Kept: the arguments, and for the softmax two numbers an example, the largest logit m and Σ e^{z − m}; p is recomputed
from them, so no array of the logits' size is written in the forward pass.

C. M. Bishop, "Neural Networks for Pattern Recognition", Oxford University Press, 1995, sections 6.1 to 6.9.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, Num

from ._arrays import check_floating, check_same_shape, cotangent, widen
from ._softmax import exponentials


@jax.custom_vjp
def squared_error(
    prediction: Float[Array, "*batch features"], target: Num[Array, "*batch features"]
) -> Float[Array, "*batch"]:
    """½ Σ (prediction − target)² over the last axis; `optax.l2_loss` is the same before the sum.

    Args:
      prediction: the last layer's output a.
      target: what it should have been, of the same shape.

    Raises:
      TypeError: the prediction is not floating point.
      ValueError: the shapes differ.
    """
    return _squared_error_fwd(prediction, target)[0]


def _squared_error_fwd(prediction, target):
    check_floating("squared_error", prediction=prediction)
    _check_pair("squared_error", prediction=prediction, target=target)
    values = 0.5 * jnp.square(widen(prediction) - target).sum(axis=-1)
    return values.astype(prediction.dtype), (prediction, target)


def _squared_error_bwd(residuals, dvalues):
    prediction, target = residuals
    da = widen(dvalues)[..., None] * (widen(prediction) - target)
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
      TypeError: the logits are not floating point.
      ValueError: the shapes differ.
    """
    return _sigmoid_cross_entropy_fwd(logits, labels)[0]


def _sigmoid_cross_entropy_fwd(logits, labels):
    check_floating("sigmoid_cross_entropy", logits=logits)
    _check_pair("sigmoid_cross_entropy", logits=logits, labels=labels)
    z = widen(logits)
    return (jnp.logaddexp(z, 0) - labels * z).sum(axis=-1).astype(logits.dtype), (logits, labels)


def _sigmoid_cross_entropy_bwd(residuals, dvalues):
    logits, labels = residuals
    z, dvalues = widen(logits), widen(dvalues)[..., None]
    return (
        cotangent(logits, dvalues * (jax.lax.logistic(z) - labels)),
        cotangent(labels, dvalues * -z),
    )


sigmoid_cross_entropy.defvjp(_sigmoid_cross_entropy_fwd, _sigmoid_cross_entropy_bwd)


@jax.custom_vjp
def softmax_cross_entropy(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"] | Num[Array, "*batch classes"],
) -> Float[Array, "*batch"]:
    """One class of many: −log softmax(logits) at the label, or −Σ y log softmax(logits) over the last axis.

    Does the work of `optax.softmax_cross_entropy_with_integer_labels` and of `optax.softmax_cross_entropy`.

    Args:
      logits: the last layer's pre-activation z.
      labels: class numbers without the class axis, or one weight for each class (one-hot, or any soft target) in the
        logits' shape.

    Raises:
      TypeError: the logits are not floating point, or the class numbers are not integers.
      ValueError: the shapes do not belong together, or a class number is outside [0, classes).  Under `jit` the
        numbers are not known yet: there the value and the gradient of such an example are NaN.
    """
    return _softmax_cross_entropy_fwd(logits, labels)[0]


def _softmax_cross_entropy_fwd(logits, labels):
    _check_classes(logits, labels)
    largest, total = exponentials(logits, axis=-1)
    y = _distribution(logits, labels)
    surprise = jnp.log(total) - (widen(logits) - largest)
    surprise = jnp.where((y == 0) & jnp.isinf(surprise), 0, surprise)  # an impossible class that is not wanted
    values = (y * surprise).sum(axis=-1)
    return values.astype(logits.dtype), (logits, largest, total, labels)


def _softmax_cross_entropy_bwd(residuals, dvalues):
    logits, largest, total, labels = residuals
    dvalues, centred = widen(dvalues)[..., None], widen(logits) - largest
    y = _distribution(logits, labels)
    p = jnp.exp(centred) / total
    delta = dvalues * (p * y.sum(axis=-1, keepdims=True) - y)
    return cotangent(logits, delta), cotangent(labels, dvalues * (jnp.log(total) - centred))


softmax_cross_entropy.defvjp(_softmax_cross_entropy_fwd, _softmax_cross_entropy_bwd)


def _distribution(logits, labels):
    """The labels as one weight for each class; NaN for a class number that names none."""
    if labels.ndim == logits.ndim:
        return widen(labels)
    classes = logits.shape[-1]
    known = (labels >= 0) & (labels < classes)
    one_hot = jax.nn.one_hot(labels, classes, dtype=widen(logits).dtype)
    return jnp.where(known[..., None], one_hot, jnp.nan)


def _check_pair(loss, **pair):
    check_same_shape(loss, **pair)
    for name, array in pair.items():
        if jnp.ndim(array) < 1:
            raise ValueError(f"{loss}: {name}, wanted at least one axis (the features), got ()")


def _check_classes(logits, labels):
    check_floating("softmax_cross_entropy", logits=logits)
    if jnp.ndim(logits) < 1 or labels.shape not in (logits.shape, logits.shape[:-1]):
        raise ValueError(
            f"softmax_cross_entropy: labels, wanted shape {logits.shape[:-1]} (class numbers) or "
            f"{logits.shape} (as logits), got {labels.shape}"
        )
    if labels.shape != logits.shape:
        _check_class_numbers(labels, logits.shape[-1])


def _check_class_numbers(labels, classes):
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"softmax_cross_entropy: labels, wanted integers, got {labels.dtype}")
    if isinstance(labels, jax.core.Tracer) or labels.size == 0:
        return
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"softmax_cross_entropy: labels, wanted class numbers in [0, {classes}), "
            f"got {labels.min()} to {labels.max()}"
        )
