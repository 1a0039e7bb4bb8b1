"""Is the rule right where hand-written rules break?  Zeros, ties, huge and non-finite numbers, other batches.

The policy, for a gradient entry by the rule (got) against automatic differentiation (twin):

    where the twin is finite    got is finite and equal to rounding, or a choice at a kink (see `_kinks.py`)
    where the twin is NaN       what the reference's gradient is, at inputs that are not huge; else anything goes
    where the twin is ±∞        anything but NaN

Where f holds rules of `jax.custom_jvp`, so does the twin: they are held against slopes of the values (`_tangents.py`).

Where an output of f is itself NaN or infinite there is no opinion on what its gradient adds to others: log has no slope
at −1, whatever g/x says, and that of a relu behind a NaN is 0 or 1.  So entries on which such an output depends are
nobody's business.  Which these are is told at random points, where most slopes are not 0.  Nor is the gradient by a NaN
itself.

Equal to rounding means that of a number as large as the inputs, at these inputs: the backward pass of a softmax may
take exp(x − lse) of a kept logarithm, and loses as many digits as x has before the point.
"""

import dataclasses
import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop.functions import UNITS, as_float64, cast, error_line, is_real, precision, replaced, rounded_to

from ._compare import gradients_agree, typical
from ._kinks import is_choice, with_choices
from ._numbers import LARGE, SPECIAL, magnitude, spoilt
from ._report import Failure, NotApplicableError
from ._subject import Subject
from ._tangents import Tangents
from ._together import together

_HUGE = 1e3


def special_inputs(subject: Subject) -> Iterator[Failure]:
    """Zeros, ties, ones, subnormal and tiny numbers: agreement, or a choice at a kink.

    In every argument at once, and in each while the others are as given: of two equal ones a difference is zero, and
    hides what is wrong with it.  Zeros and ties also in some entries alone: a matrix of zeros has no inverse.
    """
    yield from _at_each(subject, SPECIAL)


def large_inputs(subject: Subject) -> Iterator[Failure]:
    """Numbers from ±10 to ±10³⁰: agreement, as far as such numbers have digits, and no overflow that autodiff avoids.

    A rule that recomputes a softmax from the logarithm of its sum, as flash attention does, fails here by its nature.
    """
    yield from _at_each(subject, LARGE)


def _at_each(subject, changes):
    subject.need_twin()
    tangents = Tangents(subject)
    for name, change in changes.items():
        for positions in [subject.wrt, *([position] for position in subject.wrt if len(subject.wrt) > 1)]:
            changed = [change(subject.leaves[i], subject.rng(10, i)) for i in positions]
            note = f"{'inputs' if positions is subject.wrt else subject.names[positions[0]]} {name}"
            leaves = replaced(subject.leaves, positions, changed)
            yield from _by_policy(subject, leaves, note, kinks=True)
            if tangents.judges:
                yield from _by_slopes(tangents, leaves, note, finite=changes is SPECIAL)


def _by_slopes(tangents, leaves, note, finite):
    subject = tangents.subject
    start = rounded_to(subject.given, leaves)
    outputs, got = subject.evaluate(subject.pull, subject.given, start)
    yield from tangents.nan(start, got, outputs, note)
    if finite:
        yield from tangents.wrong_slopes(start, note)


def non_finite_inputs(subject: Subject) -> Iterator[Failure]:
    """One NaN or infinity among the inputs spoils no more than it does in automatic differentiation."""
    subject.need_twin()
    for name, value in (("∞", np.inf), ("−∞", -np.inf), ("NaN", np.nan)):
        for position in subject.wrt:
            leaves = list(subject.leaves)
            leaves[position] = spoilt(leaves[position], value)
            entry = ", ".join("0" * leaves[position].ndim)
            note = f"{name} at {subject.names[position]}[{entry}]"
            yield from _by_policy(subject, tuple(leaves), note, kinks=False)


def batches(subject: Subject) -> Iterator[Failure]:
    """A batch of none, a batch of one and more batch axes than were given, wherever automatic differentiation can.

    In float64.  The leading axis of the first argument is taken for a batch axis, and those of equal size with it.  A
    rule that refuses, by raising, is not wrong, unless its backward half alone does, of a batch with which the outputs
    begin too.  No batch is tried that whole numbers of other shapes may point beyond, as the rows of a table that are
    looked up or the ends of a graph's edges.
    """
    subject.need_twin()
    if not np.ndim(subject.leaves[subject.wrt[0]]):
        raise NotApplicableError("the first argument has no axis")
    changes = {
        _TWO_MORE: lambda leaf: np.broadcast_to(leaf, (3, 2, *np.shape(leaf))),
        "a batch of 0": lambda leaf: leaf[:0],
        "a batch of 1": lambda leaf: leaf[:1],
    }
    refusals = []
    for note, given, wanted, got in _of_batches(subject, changes):
        if not isinstance(got, Exception):
            results = as_float64(got[1]), as_float64(wanted[1])
            yield from gradients_agree(subject, "float64", *results, note=note, at=given)
        elif _batch_leads(subject, given[0]):
            wanted = f"a gradient: the value has one ({note})"
            yield Failure("call", "float64", None, error_line(got), wanted, hint=_HINTS.get(note, _NO_BATCHES))
        else:  # whatever its author raises
            refusals.append(f"{note} ({type(got).__name__})")
    if refusals:
        raise NotApplicableError(f"the rule refuses {', '.join(refusals)}")


_TWO_MORE = "two more batch axes"
_NO_BATCHES = "skip=['batches'], where f is not meant for such batches"
_HINTS = {_TWO_MORE: f"sum over every leading axis; or {_NO_BATCHES}"}


def _of_batches(subject, changes):
    """(change, arguments, result of the twin, of the rule), unless the twin refuses: what is changed is no batch."""
    with precision("float64"):
        arguments = {note: _of_batch(subject, change) for note, change in changes.items()}
        taken = {note: given for note, given in arguments.items() if given is not None}
        pulls = subject.pull_twin, subject.pull
        results = together([(pull, given) for given in taken.values() for pull in pulls])
    found = zip(taken, taken.values(), results[::2], results[1::2], strict=True)
    return [one for one in found if not isinstance(one[2], Exception)]


def _batch_leads(subject, leaves):
    """Whether the outputs begin with the axis that is taken for a batch, of another batch too: then it surely is one.

    And f can be computed of that, so that a backward half that cannot is no refusal.
    """
    try:
        with precision("float64"):
            outputs = jax.jit(subject.function)(*leaves)
    except Exception:
        return False
    given, other = (np.shape(arrays[subject.wrt[0]])[:1] for arrays in (subject.leaves, leaves))
    before = all(out.shape[:1] == given for out in subject.outputs)
    return before and all(out.shape[:1] == other for out in outputs)


def _of_batch(subject, change):
    """Leaves with another batch and cotangents that fit, None where the twin refuses them or others point beyond it."""
    first = np.shape(subject.leaves[subject.wrt[0]])[:1]
    changed = tuple(change(leaf) if np.shape(leaf)[:1] == first else leaf for leaf in subject.leaves)
    (before,), (after, *_) = first, np.shape(changed[subject.wrt[0]])
    others = (leaf for leaf in subject.leaves if np.ndim(leaf) and np.shape(leaf)[:1] != first)
    if any(_points_beyond(leaf, after, before) for leaf in others):
        return None
    leaves = cast("float64", changed)
    try:
        outputs = filter(is_real, jax.eval_shape(subject.twin, *leaves))
    except Exception:
        return None
    return leaves, tuple(subject.rng(8, i).normal(size=out.shape) for i, out in enumerate(outputs))


def _points_beyond(leaf, after, before):
    """Whether an array may hold places along an axis as long as before, some of them beyond one as long as after."""
    return jnp.issubdtype(leaf.dtype, jnp.integer) and after <= int(np.max(leaf, initial=-1)) < before


def _by_policy(subject, leaves, note, kinks):
    """Holds the gradients in the given dtype against the policy at the top of this file."""
    start = rounded_to(subject.given, leaves)
    _, got = subject.evaluate(subject.pull, subject.given, start)
    outputs, twin = subject.evaluate(subject.pull_twin, subject.given, start)
    allowances = [subject.allowance(subject.given, scale * magnitude(start)) for scale in typical(subject)]
    if all(itertools.starmap(_finite_and_equal, zip(got, twin, allowances, strict=True))):
        return
    _, truth = subject.true(subject.given, start)
    _, noises = subject.noise_at(subject.given, start)
    if kinks:
        twin, truth = _by_reference(subject, start, twin, truth)
    truth = _with_opinions(subject, start, outputs, got, twin, truth)
    wrong = [_wrong(*each) for each in zip(got, truth, allowances, noises, strict=True)]
    if any(map(np.any, wrong)):
        wrong = _without_choices(subject, start, got, wrong, kinks)
    for i, (g, w, where) in enumerate(zip(got, truth, wrong, strict=True)):
        if where.any():
            entry = tuple(int(k) for k in np.argwhere(where)[0])
            units = float(allowances[i].units(g, w)[entry])
            yield Failure(
                f"gradient of {subject.name(i)}", subject.given, entry, float(g[entry]), float(w[entry]), units, note
            )


def _by_reference(subject, start, twin, truth):
    """The reference's gradients in place of automatic ones that are NaN, as that of a norm at 0."""
    unknown = [np.isnan(t) & np.isnan(w) for t, w in zip(twin, truth, strict=True)]
    if subject.reference is None or not any(map(np.any, unknown)) or magnitude(start) > _HUGE:
        return twin, truth
    _, known = subject.evaluate(subject.pull_reference, "float64", start)
    return [[np.where(no, k, g) for no, k, g in zip(unknown, known, each, strict=True)] for each in (twin, truth)]


def _without_choices(subject, start, got, wrong, kinks):
    """The wrong entries less those at kinks, here, or where here is not finite, at the given arguments."""
    if kinks:
        chosen = is_choice(subject, subject.given, start, subject.cotangents(), got, wrong)
        return [np.zeros_like(where) if chosen else where for where in wrong]
    given = with_choices(subject, subject.leaves, subject.cotangents(), subject.truth[1])
    return [where & (g == w) for where, g, w in zip(wrong, given, subject.truth[1], strict=True)]


def _wrong(got, wanted, allowance, noise):
    units = dataclasses.replace(allowance, noise=noise).units(got, wanted)
    return (units > UNITS) | (np.isinf(wanted) & np.isnan(got))


def _with_opinions(subject, start, outputs, got, twin, truth):
    """The true gradients, NaN in the entries of which the policy has no opinion."""
    spoilt = _of_spoilt_outputs(subject, outputs)
    wanted = [
        np.where(np.isfinite(t), w, np.where(np.isinf(t) & np.isnan(g), t, np.nan))
        for g, t, w in zip(got, twin, truth, strict=True)
    ]
    no_opinion = [np.isnan(start[i]) | of for i, of in zip(subject.wrt, spoilt, strict=True)]
    return [np.where(none, np.nan, w) for none, w in zip(no_opinion, wanted, strict=True)]


def _finite_and_equal(got, twin, allowance):
    """By the same policy, for a gradient that autodiff in the same dtype confirms: the usual case, and cheap."""
    return np.isfinite(got).all() and np.isfinite(twin).all() and (allowance.units(got, twin) <= UNITS).all()


def _of_spoilt_outputs(subject, outputs):
    """Of each gradient the entries that depend on outputs which are not finite here."""
    spoilt = [~np.isfinite(out) for out in outputs]
    if not any(map(np.any, spoilt)):
        return [np.zeros(np.shape(subject.leaves[i]), bool) for i in subject.wrt]
    return [reached[0] for reached in subject.reached([out[None] for out in spoilt])]
