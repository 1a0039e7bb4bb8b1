"""One class of many: C = −Σ_k y_k log p_k with p = softmax(z), one value for each example.

The cost from logits holds its output activation, and the pair cancels to the canonical error:

    C = Σ_k y_k s_k,   s_k = log Σ_j e^{z_j} − z_k = −log p_k      ∂s_k/∂z_i = p_i − 1[i=k]

    ∂C/∂z = p Σ_k y_k − y, which is p − y where Σ y = 1           ∂C/∂y = s

Options change y, and add a term:

    label_smoothing ε    y' = (1 − ε) y + ε / K                    ∂C/∂y = (1 − ε) ∂C/∂y'    ∂C/∂ε = Σ (1/K − y) ∂C/∂y'
    weights w            y'' = w ⊙ y'                              ∂C/∂y' = w ⊙ s        ∂C/∂w = Σ_examples y' ⊙ s
    z_loss ζ             C + ζ L²,  L = log Σ_j e^{z_j}            ∂C/∂z = … + 2 ζ L p       ∂C/∂ζ = L²
    where, ignore_index  C = 0 for an example that is left out, and all its gradients; for an entry, e^z = 0 and y = 0

Kept: the arguments, and two numbers an example, the largest logit m and Σ e^{z − m}; p is recomputed from them, so no
array of the logits' size is written in the forward pass.  On a CPU that costs up to a seventh more time than autodiff.

C. M. Bishop, "Neural Networks for Pattern Recognition", Oxford University Press, 1995, section 6.9.  C. Szegedy et al.,
"Rethinking the Inception architecture for computer vision", CVPR, 2016 (label smoothing).  A. Chowdhery et al., "PaLM:
scaling language modeling with pathways", JMLR 24, 2023 (z-loss).
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, Num

from jbackprop.rules._arrays import (
    Axis,
    added_at_rows,
    at_rows,
    beside,
    check_axis,
    check_floating,
    check_real,
    check_where,
    cotangent,
    counted,
    given,
    whole,
    wide_dtype,
    widen,
)
from jbackprop.rules._options import Scalar, check_number, check_share
from jbackprop.rules._softmax import exponentials

from ._class_axis import axes_of, put_back, rows_of
from ._classes import check_class_numbers


@partial(jax.custom_vjp, nondiff_argnames=("axis", "ignore_index"))
def softmax_cross_entropy(
    logits: Float[Array, "*shape"],
    labels: Integer[Array, "..."] | Num[Array, "*shape"] | int | Sequence[int],
    axis: Axis = -1,
    where: Bool[Array, "..."] | None = None,
    weights: Float[Array, " classes"] | None = None,
    ignore_index: int | None = None,
    label_smoothing: Scalar | None = None,
    z_loss: Scalar | None = None,
) -> Float[Array, "..."]:
    """−log softmax(logits) at the label, or −Σ y log softmax(logits) over the class axis.

    The same as `optax.softmax_cross_entropy_with_integer_labels` and as `optax.softmax_cross_entropy`, but that a
    class of logit −∞ that is not wanted costs 0 there, not NaN.

    Args:
      logits: the last layer's pre-activation z, (*batch, classes) unless an axis is given.
      labels: class numbers without the class axis, or one weight for each class (one-hot, or any soft target) in the
        logits' shape.
      axis: of the classes; several, or None for all, are one row of classes, of which a class number is the place.
      where: which examples count, in the shape of the class numbers; the others have value and gradient 0.  Or, with as
        many axes as the logits, which entries: the others have probability 0 (a label among them costs as if it had
        been counted apart).
      weights: what each class counts, for class numbers; 1 unless given.
      ignore_index: a class number that says the same of an example that has it.
      label_smoothing: ε in [0, 1], the share of the target that is spread evenly over the classes; none unless given.
      z_loss: ζ, the weight of the squared log-sum-exp, which keeps the logits from drifting; 0 unless given.  Both may
        be traced, and have gradients.

    Raises:
      TypeError: the logits are not floating point, or the labels not real, or the class numbers not integers.
      ValueError: the shapes do not belong together, an option is out of its range, or a class number is outside
        [0, classes).  Under `jit` the numbers are not known yet: there the value and the gradient of such an example
        are NaN.
    """
    return _softmax_cross_entropy_fwd(logits, labels, axis, where, weights, ignore_index, label_smoothing, z_loss)[0]


def _softmax_cross_entropy_fwd(logits, labels, axis, where, weights, ignore_index, label_smoothing, z_loss):
    if labels is None:
        raise TypeError("softmax_cross_entropy: labels, wanted an array, got None")
    labels = jnp.asarray(labels)
    _check(logits, labels, weights, where, ignore_index, label_smoothing, z_loss, axis)
    rows = rows_of(logits, labels, where, axis)
    largest, total = exponentials(rows.counted, axis=-1)
    y = _target(rows, weights, ignore_index, label_smoothing)
    values = z_loss * jnp.square(largest + jnp.log(total))[..., 0] if _counts(z_loss) else 0
    if y.spread is not None:
        values = values + (y.spread * _wanted(y.spread, _surprise(rows.counted, largest, total))).sum(axis=-1)
    if y.share is not None:
        values = values + (y.share * _surprise(_at(rows.logits, y.label), largest, total))[..., 0]
    values = _counted(values, rows, ignore_index)
    return values.astype(logits.dtype), (logits, largest, total, labels, where, weights, label_smoothing, z_loss)


def _softmax_cross_entropy_bwd(axis, ignore_index, residuals, dvalues):
    logits, largest, total, labels, where, weights, label_smoothing, z_loss = residuals
    rows = rows_of(logits, labels, where, axis)
    of_examples = partial(_counted, rows=rows, ignore_index=ignore_index)
    dvalues = widen(dvalues)[..., None]
    y = _target(rows, weights, ignore_index, label_smoothing)
    pull = _sum(y) + (2 * z_loss * (largest + jnp.log(total)) if _counts(z_loss) else 0)
    delta = jnp.exp(widen(rows.counted) - largest) * (dvalues * pull / total)
    if y.spread is not None:
        delta = delta - dvalues * y.spread
    if y.share is not None and y.label is not None:
        classes = beside(jnp.arange(rows.logits.shape[-1]), y.label)
        delta = delta - jnp.where(classes == y.label, dvalues * y.share, 0)
    dlabels = dweights = None
    if y.share is None:
        surprise = counted(_surprise(rows.counted, largest, total), rows.entries)
        dlabels = cotangent(labels, put_back(of_examples(_rest(label_smoothing) * dvalues * surprise), logits, axis))
    if weights is not None:
        dweights = cotangent(weights, _weights_gradient(rows, residuals, y, of_examples, dvalues))
    doptions = _options_gradients(rows, residuals, of_examples, dvalues, y.label)
    return cotangent(logits, put_back(of_examples(delta), logits, axis)), dlabels, None, dweights, *doptions


softmax_cross_entropy.defvjp(_softmax_cross_entropy_fwd, _softmax_cross_entropy_bwd)


class _Target(NamedTuple):
    """y'' of the derivation = spread + share at the label; a part that is None is 0.

    Class numbers are not spread out to one weight for each class: that would be another array of the logits' size.
    """

    spread: Array | None
    share: Array | None = None
    label: Array | None = None


def _target(rows, weights, ignore_index, label_smoothing):
    classes, dtype = rows.logits.shape[-1], wide_dtype(rows.logits)
    if rows.labels.ndim == rows.logits.ndim:
        y = widen(rows.labels)
        smoothed = _counts(label_smoothing)
        y = _rest(label_smoothing) * y + label_smoothing / classes if smoothed else y
        return _Target(counted(y, rows.entries))
    label = whole(rows.labels)
    label = (label if ignore_index is None else jnp.where(label == ignore_index, 0, label))[..., None]
    of_class = jnp.ones(classes, dtype) if weights is None else widen(weights)
    spread = label_smoothing / classes * beside(of_class, rows.logits) if _counts(label_smoothing) else None
    known = (label >= 0) & (label < classes)
    share = jnp.where(known, _rest(label_smoothing) * at_rows(of_class, label), jnp.nan)
    return _Target(spread, share, label)


def _counts(option):
    """Whether an option makes a difference, or may: a traced one is not known."""
    return option is not None and (isinstance(option, jax.core.Tracer) or np.asarray(option) != 0)


def _rest(label_smoothing):
    """1 − ε."""
    return 1 if label_smoothing is None else 1 - label_smoothing


def _sum(y):
    """Σ_k y''_k, the class axis kept."""
    spread = 0 if y.spread is None else y.spread.sum(axis=-1, keepdims=True)
    return spread if y.share is None else spread + y.share


def _surprise(logits, largest, total):
    """s = −log p."""
    return jnp.log(total) - (widen(logits) - largest)


def _wanted(y, surprise):
    """s, and 0 for an impossible class that is not wanted."""
    return jnp.where((y == 0) & jnp.isinf(surprise), 0, surprise)


def _at(logits, label):
    """The logit of each example's label, the class axis kept."""
    return jnp.take_along_axis(logits, label, axis=-1, mode="clip")


def _weights_gradient(rows, residuals, y, of_examples, dvalues):
    """Σ_examples y' ⊙ s: what each class has at the labels, and what smoothing spreads."""
    _, largest, total, *_, label_smoothing, _ = residuals
    classes = rows.logits.shape[-1]
    at_label = _rest(label_smoothing) * dvalues * _surprise(_at(rows.logits, y.label), largest, total)
    at_label = of_examples(jnp.where(jnp.isnan(y.share), jnp.nan, at_label))
    dweights = added_at_rows(classes, y.label, at_label)
    if y.spread is None:
        return dweights
    surprise = _wanted(y.spread, _surprise(rows.logits, largest, total))
    terms = of_examples(label_smoothing / classes * dvalues * surprise)
    return dweights + terms.sum(axis=range(terms.ndim - 1))


def _options_gradients(rows, residuals, of_examples, dvalues, label):
    """∂C/∂ε = Σ w (1/K − y) s and ∂C/∂ζ = Σ L², None where the option was not given."""
    _, largest, total, _, _, weights, label_smoothing, z_loss = residuals
    by_smoothing, by_z_loss, classes = None, None, rows.logits.shape[-1]
    if label_smoothing is not None:
        y = widen(rows.labels) if label is None else jax.nn.one_hot(label[..., 0], classes, dtype=dvalues.dtype)
        moved = (1 / classes - y) * (1 if weights is None else beside(weights, y))
        terms = moved * _wanted(moved, _surprise(rows.logits, largest, total))
        by_smoothing = cotangent(label_smoothing, of_examples(dvalues * terms).sum())
    if z_loss is not None:
        by_z_loss = cotangent(z_loss, of_examples(dvalues * jnp.square(largest + jnp.log(total))).sum())
    return by_smoothing, by_z_loss


def _counted(array, rows, ignore_index):
    """An array, one entry or row for each example, with 0 for those that are left out."""
    for counts in (rows.examples, None if ignore_index is None else whole(rows.labels) != ignore_index):
        if counts is not None:
            array = jnp.where(counts if array.ndim == counts.ndim else counts[..., None], array, 0)
    return array


def _check(logits, labels, weights, where, ignore_index, label_smoothing, z_loss, axis):
    name = "softmax_cross_entropy"
    check_floating(name, logits=logits)
    check_real(name, labels=labels)
    check_axis(name, axis, logits=logits)
    axes = axes_of(axis, logits.ndim)
    batch, classes = (tuple(n for i, n in enumerate(logits.shape) if (i in axes) == of) for of in (False, True))
    if labels.shape not in (logits.shape, batch):
        raise ValueError(
            f"{name}: labels, wanted shape {batch} (class numbers) or {logits.shape} (as logits), got {labels.shape}"
        )
    if labels.shape != logits.shape:
        check_class_numbers(name, labels, math.prod(classes), ignore_index)
    elif ignore_index is not None:
        raise ValueError(f"{name}: ignore_index, wanted None with one weight for each class, got {ignore_index}")
    if weights is not None and labels.shape == logits.shape:
        raise ValueError(
            f"{name}: weights, wanted None with one weight for each class (labels hold them), got an array"
        )
    if weights is not None and weights.shape != (math.prod(classes),):
        raise ValueError(f"{name}: weights, wanted shape {(math.prod(classes),)} (classes), got {weights.shape}")
    _check_where(logits, where, batch, label_smoothing)
    check_share(name, **given(label_smoothing=label_smoothing))
    check_number(name, **given(z_loss=z_loss))


def _check_where(logits, where, batch, label_smoothing):
    name = "softmax_cross_entropy"
    if where is not None and jnp.ndim(where) == logits.ndim:
        check_where(name, where, logits=logits)
        if label_smoothing is not None:
            raise ValueError(f"{name}: label_smoothing, wanted None where `where` names entries, got {label_smoothing}")
    elif where is not None and (where.shape != batch or where.dtype != bool):
        raise ValueError(f"{name}: where, wanted booleans of shape {batch}, got {where.dtype} of {where.shape}")
