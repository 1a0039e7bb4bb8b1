"""Losses that are satisfied with a margin: one value for each example.

    multiclass_hinge   C = max_k (z_k + 1 − 1[k=y]) − z_y          ∂C/∂z = 1[k=k*] − 1[k=y],  k* the first largest
    triplet            C = max(d⁺ − d⁻ + margin, 0)                where C > 0, else 0:
                       d± = √(Σ (a − p±)² + ε)                     ∂C/∂p⁺ = −(a − p⁺)/d⁺      ∂C/∂p⁻ = (a − p⁻)/d⁻
                                                                   ∂C/∂a = −∂C/∂p⁺ − ∂C/∂p⁻
                       ∂C/∂margin = 1                              ∂C/∂ε = ½ (1/d⁺ − 1/d⁻)

Kept: for the hinge k* and y, two numbers an example, and nothing of the scores but how many classes there are (an array
of no rows); for the triplet the arguments.

K. Crammer, Y. Singer, "On the algorithmic implementation of multiclass kernel-based vector machines", JMLR 2, 2001.
V. Balntas, E. Riba, D. Ponsa, K. Mikolajczyk, "Learning local feature descriptors with triplets and shallow
convolutional neural networks", BMVC, 2016.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jbackprop.rules._arrays import (
    check_axis,
    check_floating,
    check_integers,
    check_pair,
    cotangent,
    difference,
    magnitude,
    over_square,
    widen,
    without_entries,
)
from jbackprop.rules._options import Scalar, check_not_negative, check_number

from ._classes import check_class_numbers, one_hot


@jax.custom_vjp
def multiclass_hinge(
    scores: Float[Array, "*batch classes"], labels: Integer[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """By how much the label's score fails to lead every other one by 1, as `optax.losses.multiclass_hinge_loss`.

    Of several scores that lead alike the first has the gradient; in optax they share it.

    Raises:
      TypeError: the scores are not floating point, or the labels are not integers.
      ValueError: the shapes do not belong together, or a class number is outside [0, classes); under `jit`, where the
        numbers are not known, value and gradient of such an example are NaN.
    """
    return _multiclass_hinge_fwd(scores, labels)[0]


def _multiclass_hinge_fwd(scores, labels):
    _check_hinge(scores, labels)
    classes = scores.shape[-1]
    y = one_hot(labels, classes, widen(scores).dtype)
    margins = widen(scores) + (1 - y)
    winner = margins.argmax(axis=-1)
    most = jnp.take_along_axis(margins, winner[..., None], axis=-1)[..., 0]
    values = most - jnp.where(y == 0, 0, y * widen(scores)).sum(axis=-1)
    return values.astype(scores.dtype), (winner, labels, without_entries(scores))


def _multiclass_hinge_bwd(residuals, dvalues):
    winner, labels, like = residuals
    classes, wide = like.shape[-1], widen(dvalues)[..., None]
    ahead = jax.nn.one_hot(winner, classes, dtype=wide.dtype) - one_hot(labels, classes, wide.dtype)
    return cotangent(like, wide * ahead), None


multiclass_hinge.defvjp(_multiclass_hinge_fwd, _multiclass_hinge_bwd)


@partial(jax.custom_vjp, nondiff_argnames=("axis", "norm_degree"))
def triplet(
    anchors: Float[Array, "*shape"],
    positives: Float[Array, "*shape"],
    negatives: Float[Array, "*shape"],
    axis: int = -1,
    norm_degree: Literal[2] = 2,
    margin: Scalar = 1.0,
    eps: Scalar = 1e-6,
) -> Float[Array, "..."]:
    """By how much the negative fails to be further off than the positive, as `optax.losses.triplet_margin_loss`.

    The `norm_degree` is 2 here.

    Args:
      anchors: vectors along an axis.
      positives: vectors that should be near them, of the same shape.
      negatives: vectors that should be further off by the margin, of the same shape.
      axis: of the vectors.
      norm_degree: that of the distance, 2.
      margin: what satisfies the loss.
      eps: ε, added to each squared distance, so that a distance of 0 has a gradient.  Both may be traced, and have
        gradients.

    Raises:
      TypeError: an argument is not floating point.
      ValueError: the shapes differ, or an option is none of those.
    """
    return _triplet_fwd(anchors, positives, negatives, axis, norm_degree, margin, eps)[0]


def _triplet_fwd(anchors, positives, negatives, axis, norm_degree, margin, eps):
    check_floating("triplet", anchors=anchors, positives=positives, negatives=negatives)
    check_pair("triplet", anchors=anchors, positives=positives)
    check_pair("triplet", anchors=anchors, negatives=negatives)
    check_not_negative("triplet", eps=eps)
    check_axis("triplet", axis, anchors=anchors)
    if norm_degree != 2:
        raise ValueError(f"triplet: norm_degree, wanted 2, got {norm_degree}")
    check_number("triplet", margin=margin)
    near, far = (_distance(anchors, other, axis, eps) for other in (positives, negatives))
    gap = (near - far + margin).squeeze(axis)
    return jnp.where(gap <= 0, 0, gap).astype(anchors.dtype), (anchors, positives, negatives, margin, eps)


def _triplet_bwd(axis, norm_degree, residuals, dvalues):
    anchors, positives, negatives, margin, eps = residuals
    near, far = (_distance(anchors, other, axis, eps) for other in (positives, negatives))
    active = jnp.where(near - far + margin <= 0, 0, jnp.expand_dims(widen(dvalues), axis))
    to_positive = active * difference(positives, anchors) / jnp.where(near == 0, 1, near)
    to_negative = active * difference(anchors, negatives) / jnp.where(far == 0, 1, far)
    return (
        cotangent(anchors, -to_positive - to_negative),
        cotangent(positives, to_positive),
        cotangent(negatives, to_negative),
        cotangent(margin, active.sum()),
        cotangent(eps, (active * (1 / near - 1 / far)).sum() / 2),
    )


triplet.defvjp(_triplet_fwd, _triplet_bwd)


def _distance(a, b, axis, eps):
    apart = difference(a, b)
    unit = magnitude(apart, axis, least=jnp.sqrt(eps))
    return unit * jnp.sqrt(jnp.square(apart / unit).sum(axis=axis, keepdims=True) + over_square(eps, unit))


def _check_hinge(scores, labels):
    check_floating("multiclass_hinge", scores=scores)
    check_integers("multiclass_hinge", labels=labels)
    if scores.ndim < 1 or scores.shape[-1] == 0 or labels.shape != scores.shape[:-1]:
        raise ValueError(f"multiclass_hinge: labels, wanted shape {scores.shape[:-1]}, got {labels.shape}")
    check_class_numbers("multiclass_hinge", labels, scores.shape[-1])
