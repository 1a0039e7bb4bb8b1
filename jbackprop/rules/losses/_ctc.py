"""Connectionist temporal classification: C = −log of the probability that the frames spell the labels.

The labels, a blank before, between and behind them, are S = 2N + 1 states l_s.  A path goes through them in order, one
state a frame: it stays, steps on by one, or by two over a blank that stands between two different labels.  With
e_t(s) = log p_t(l_s), p_t = softmax(z_t), and r → s where a path may go from r to s,

    α_t(s) = e_t(s) + log Σ_{r → s} e^{α_{t−1}(r)}          of all paths that end in s at t
    C = −log Z,  Z = Σ e^{α_T(s)}                           s the last label and the blank behind it

    γ_T(s) = e^{α_T(s)} / Z                                 the probability that a path is in s at t
    γ_{t−1}(r) = Σ_{s: r → s} γ_t(s) e^{α_{t−1}(r)} / Σ_{q → s} e^{α_{t−1}(q)}
    ∂C/∂e_t(s) = −γ_t(s)                                    ∂C/∂z_tk = p_tk Σ_s γ_t(s) − Σ_{s: l_s = k} γ_t(s)

What all states of a frame have in common is taken out of α and added to log Z again.

γ is e^{α + β} / Z with the usual β of the paths that begin in s.  Its own recursion takes differences of neighbours
alone, where α + β − log Z would lose all digits of large logits.

A padded frame changes neither α nor γ and has gradient 0.  Labels that no path spells (more of them than frames, or a
class of logit −∞) cost ∞, with gradient 0.

Kept: the arguments, α, and two numbers a frame for the softmax, which is computed again.  For that the rule takes up to
a tenth more time on a CPU than autodiff of the same forward pass, and two thirds of its memory; it is faster than
autodiff of optax's loss.

A. Graves, S. Fernández, F. Gomez, J. Schmidhuber, "Connectionist temporal classification: labelling unsegmented
sequence data with recurrent neural networks", ICML, 2006.  P. A. Devijver, "Baum's forward-backward algorithm
revisited", Pattern Recognition Letters 3, 1985 (γ without β).
"""

from functools import partial, reduce

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Integer, Num

from jbackprop.rules._arrays import beside, check_floating, check_integers, check_real, cotangent, whole, widen
from jbackprop.rules._compiled import compiled_once, over_steps
from jbackprop.rules._meshes import by_compiler, layout, varied_like
from jbackprop.rules._softmax import exponentials

from ._classes import check_class_numbers


@partial(jax.custom_vjp, nondiff_argnames=("blank_id",))
def ctc(
    logits: Float[Array, "*batch frames classes"],
    logit_paddings: Num[Array, "*batch frames"],
    labels: Integer[Array, "*batch labels"],
    label_paddings: Num[Array, "*batch labels"],
    blank_id: int = 0,
) -> Float[Array, "*batch"]:
    """The cost of a sequence of labels that is not aligned with the frames, as `optax.ctc_loss` without `log_epsilon`.

    A sequence that no path spells costs ∞ here.

    Args:
      logits: the network's pre-activations for each frame, the blank among the classes.
      logit_paddings: 1 where a frame is padding, else 0.
      labels: class numbers, none of them the blank.
      label_paddings: 1 where a label is padding, behind all that are not, else 0.
      blank_id: the class that spells nothing.

    Returns:
      −log of the probability of all paths, ∞ where there is none (optax has a large number there).  No labels at all
      are spelt by blanks alone; no frames at all spell no labels, at cost 0.

    Raises:
      TypeError: the logits are not floating point, or the labels are not integers.
      ValueError: the shapes do not belong together, or blank_id or a label names no class; under `jit`, where the
        labels are not known, value and gradient of such a sequence are NaN.
    """
    return _ctc_fwd(logits, logit_paddings, labels, label_paddings, blank_id)[0]


def _ctc_fwd(logits, logit_paddings, labels, label_paddings, blank_id):
    _check(logits, logit_paddings, labels, label_paddings, blank_id)
    return _forward(logits, logit_paddings, labels, label_paddings, blank_id)


@compiled_once(static_argnames="blank_id")
def _forward(logits, logit_paddings, labels, label_paddings, blank_id):
    arguments, batch = (logits, logit_paddings, labels, label_paddings), layout(logits)[:-2]
    values, *kept = by_compiler(
        partial(_values, blank_id),
        *arguments,
        layouts=lambda: [batch, *[(*batch, None, None)] * 2, (None, *batch, None), (*batch, None)],
    )
    return values, (*arguments, *kept)


def _values(blank_id, logits, logit_paddings, labels, label_paddings):
    """The costs, and what is kept besides the arguments."""
    z = _frames(logits, logit_paddings)
    largest, total = exponentials(z, axis=-1)
    states, skips, ends = _states(labels, label_paddings, blank_id)
    log_p = z - largest - jnp.log(_divisor(total))
    emitted, likeliest = _relative(jnp.take_along_axis(log_p, states[..., None, :], axis=-1))
    first = beside(jnp.arange(states.shape[-1]) == 0, states)
    start = jnp.where(first, 0.0, jnp.full(states.shape, -jnp.inf, emitted.dtype))
    start = varied_like(start, emitted, logit_paddings)

    def step(alpha, frame):
        e, padded = frame
        return jnp.where(padded, alpha, e + _log_sum(*_sources(alpha, skips))), alpha

    last, before = over_steps(step, start, (jnp.moveaxis(emitted, -2, 0), _padded(logit_paddings)))
    most, count = exponentials(jnp.where(ends, last, -jnp.inf), axis=-1)
    values = -(most + _log(count))[..., 0] - jnp.where(logit_paddings > 0, 0, likeliest).sum(axis=-1)
    return values.astype(logits.dtype), largest, total, before, last


@compiled_once(static_argnames="blank_id")
def _ctc_bwd(blank_id, residuals, dvalues):
    logits, logit_paddings, _, label_paddings, *_ = residuals
    dz = by_compiler(partial(_gradient, blank_id), *residuals, dvalues, layouts=lambda: [layout(logits)])
    of_frames, of_labels = (cotangent(array, jnp.zeros(array.shape)) for array in (logit_paddings, label_paddings))
    return cotangent(logits, dz), of_frames, None, of_labels


def _gradient(blank_id, logits, logit_paddings, labels, label_paddings, largest, total, before, last, dvalues):
    """∂C/∂z."""
    states, skips, ends = _states(labels, label_paddings, blank_id)
    last, padded = jnp.where(ends, last, -jnp.inf), _padded(logit_paddings)

    def step(gamma, frame):
        (stay, by_one, by_two), padded = frame
        pulled = gamma * stay + _shifted(gamma * by_one, -1, 0) + _shifted(gamma * by_two, -2, 0)
        return jnp.where(padded, gamma, pulled), gamma

    most, count = exponentials(last, axis=-1)
    gamma = jnp.exp(last - most) * jnp.where(count == 0, 0, widen(dvalues)[..., None] / _divisor(count))
    gamma = varied_like(gamma, before, skips, padded)
    _, gamma = over_steps(step, gamma, (_shares(*_sources(before, skips)), padded), reverse=True)
    gamma = jnp.moveaxis(jnp.where(padded, 0, gamma), 0, -2)
    p = jnp.exp(_frames(logits, logit_paddings) - largest) / _divisor(total)
    return p * gamma.sum(axis=-1, keepdims=True) - _by_class(gamma, states, logits.shape[-1])


ctc.defvjp(_ctc_fwd, _ctc_bwd)


def _frames(logits, logit_paddings):
    """The logits, 0 in padded frames: whatever fills them counts for nothing."""
    return jnp.where(logit_paddings[..., None] > 0, 0, widen(logits))


def _relative(emitted):
    """e_t(s) less its largest over s, a constant that no path can avoid, and that constant.

    It stays out of α, where it would take the digits that tell one path from another.
    """
    largest = lax.stop_gradient(emitted.max(axis=-1))
    largest = jnp.where(jnp.isinf(largest), 0, largest)
    return emitted - largest[..., None], largest


def _states(labels, label_paddings, blank_id):
    """l_s, whether s may be entered from s − 2, and whether a path may end in s: each (*batch, S)."""
    labels = jnp.where(label_paddings > 0, blank_id, whole(labels))
    blanks = jnp.full_like(labels, blank_id)
    states = jnp.stack([blanks, labels], axis=-1).reshape(*labels.shape[:-1], -1)
    states = jnp.pad(states, [(0, 0)] * (states.ndim - 1) + [(0, 1)], constant_values=blank_id)
    skips = (states != blank_id) & (states != _shifted(states, 2, blank_id))
    place, count = beside(jnp.arange(states.shape[-1]), states), (label_paddings <= 0).sum(axis=-1, keepdims=True)
    return states, skips, (place == 2 * count) | (place == 2 * count - 1)


def _padded(logit_paddings):
    """(T, *batch, 1): which frames are padding."""
    return jnp.moveaxis(logit_paddings, -1, 0)[..., None] > 0


def _sources(alpha, skips):
    """α of the states from which each state may be entered: itself, the one before, the one before that."""
    return alpha, _shifted(alpha, 1, -jnp.inf), jnp.where(skips, _shifted(alpha, 2, -jnp.inf), -jnp.inf)


def _log_sum(*terms):
    largest, powers = _powers(terms)
    return largest + _log(sum(powers))


def _shares(*terms):
    """e^term / Σ e^term, and 0 where every term is −∞."""
    _, powers = _powers(terms)
    total = _divisor(sum(powers))
    return [power / total for power in powers]


def _powers(terms):
    """m = max of the terms, 0 where that is −∞, and e^{term − m}."""
    largest = lax.stop_gradient(reduce(jnp.maximum, terms))
    largest = jnp.where(jnp.isinf(largest), 0, largest)
    return largest, [jnp.exp(term - largest) for term in terms]


def _log(total):
    """log Σ, and a constant −∞ of nothing."""
    return jnp.where(total == 0, -jnp.inf, jnp.log(_divisor(total)))


def _divisor(total):
    return jnp.where(total == 0, 1, total)


def _shifted(array, by, fill):
    """The array moved along its last axis, the gap filled."""
    size = array.shape[-1]
    widths = [(0, 0)] * (array.ndim - 1) + [(max(by, 0), max(-by, 0))]
    moved = jnp.pad(array, widths, constant_values=fill)
    return moved[..., :size] if by > 0 else moved[..., -size:]


def _by_class(gamma, states, classes):
    """Σ_{s: l_s = k} γ_t(s).  t is a frame, s a state that spells, k a class; every other state is blank."""
    spelt = jax.nn.one_hot(states[..., 1::2], classes, dtype=gamma.dtype)
    blank = jax.nn.one_hot(states[..., :1], classes, dtype=gamma.dtype)
    rests = gamma[..., ::2].sum(axis=-1, keepdims=True)
    return jnp.einsum("...ts,...sk->...tk", gamma[..., 1::2], spelt) + rests * blank


def _check(logits, logit_paddings, labels, label_paddings, blank_id):
    check_floating("ctc", logits=logits)
    check_integers("ctc", labels=labels)
    check_real("ctc", logit_paddings=logit_paddings, label_paddings=label_paddings)
    if logits.ndim < 2:
        raise ValueError(f"ctc: logits, wanted shape (*batch, frames, classes), got {logits.shape}")
    if logit_paddings.shape != logits.shape[:-1]:
        raise ValueError(f"ctc: logit_paddings, wanted shape {logits.shape[:-1]}, got {logit_paddings.shape}")
    if labels.ndim < 1 or labels.shape[:-1] != logits.shape[:-2]:
        raise ValueError(f"ctc: labels, wanted batch axes {logits.shape[:-2]} (as logits), got shape {labels.shape}")
    if label_paddings.shape != labels.shape:
        raise ValueError(f"ctc: label_paddings, wanted shape {labels.shape} (as labels), got {label_paddings.shape}")
    if not 0 <= blank_id < logits.shape[-1]:
        raise ValueError(f"ctc: blank_id, wanted a class number in [0, {logits.shape[-1]}), got {blank_id}")
    check_class_numbers("ctc", jnp.where(label_paddings > 0, blank_id, whole(labels)), logits.shape[-1])
