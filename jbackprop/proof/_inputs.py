"""Is the rule right everywhere?  Many random inputs, and those where hand-written rules break.

The policy, for a gradient entry by the rule (got) against automatic differentiation (twin):

    where the twin is finite    got is finite and equal to rounding, or, at a kink, where derivatives are a choice,
                                between the slopes on its two sides, along every axis and along the diagonal
    where the twin is NaN       anything goes, and a number is better
    where the twin is ±∞        anything but NaN, which also goes where an output is not finite itself

At an infinite or NaN input the same holds: what it spoils in the twin it may spoil, and the gradient of an output that
is not finite, and nothing else.  The gradient by a NaN itself is nobody's business.

Equal to rounding means that of a number as large as the inputs, at these inputs: the backward pass of a softmax may
take exp(x − lse) of a kept logarithm, and loses as many digits as x has before the point.

J.-B. Hiriart-Urruty, C. Lemaréchal, "Fundamentals of Convex Analysis", Springer, 2001, chapter D (subgradients).
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterator

import jax
import numpy as np

from jbackprop.functions import (
    FLOAT64_SHARE,
    UNITS,
    as_float64,
    cast,
    is_real,
    largest,
    precision,
    replaced,
    rounded_to,
    twin_noise,
)

from ._compare import gradients_agree, typical, worst
from ._numbers import LARGE, SPECIAL, spoilt, spread
from ._report import Failure, NotApplicableError
from ._subject import Subject, pull_back
from ._together import together

_NUMBERS = 2**17
"""How many random numbers `random_inputs` spreads over the input space."""
_SUSPECTS = 32
"""At so many entries of an array at most the slopes on both sides are measured."""
_OCTAVES = ((-10, -4), (-4, 0), (0, 2), (2, 5))


def random_inputs(subject: Subject) -> Iterator[Failure]:
    """Thousands of inputs from a thousandth to thirty times the given ones, of both signs: for a fault in a corner."""
    subject.need_twin()
    size = max(np.size(subject.leaves[i]) for i in subject.wrt)
    draws = max(4, min(1024, _NUMBERS // max(size, 1)))
    scale = typical(subject)
    of_both, of_twin = (
        _over_draws(subject, *functions) for functions in ((subject.function, subject.twin), (subject.twin,))
    )
    for number, octaves in enumerate(_OCTAVES):
        chosen = tuple(spread(subject.rng(7, number, i), subject.leaves[i], draws, octaves) for i in subject.wrt)
        start = rounded_to("float32", chosen)
        got, wanted = _at_draws(subject, of_both, "float64", start)
        noises = functools.partial(_noise_at_draws, subject, of_twin, start, wanted)
        for i, (g, w) in enumerate(zip(got, wanted, strict=True)):
            scale[i] = max(scale[i], largest(w))
            what, note = f"gradient of {subject.name(i)}", "random inputs, the first index a draw"
            allowance = subject.allowance("float64", scale[i] * _magnitude(chosen))
            yield from worst(what, "float64", g, w, allowance, note, lambda i=i, noises=noises: noises()[i])


def _at_draws(subject, pulls, dtype, draws):
    with precision(dtype):
        return [as_float64(g) for g in pulls(cast(dtype, draws), cast(dtype, subject.leaves), subject.cotangents())]


def _noise_at_draws(subject, of_twin, draws, truth):
    (narrow,) = _at_draws(subject, of_twin, "float32", draws)
    return [FLOAT64_SHARE * n for n in twin_noise(narrow, truth)]


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
    for name, change in changes.items():
        for positions in [subject.wrt, *([position] for position in subject.wrt if len(subject.wrt) > 1)]:
            changed = [change(subject.leaves[i], subject.rng(10, i)) for i in positions]
            note = f"{'inputs' if positions is subject.wrt else subject.names[positions[0]]} {name}"
            yield from _by_policy(subject, replaced(subject.leaves, positions, changed), note, kinks=True)


def _magnitude(arrays):
    return max([1.0, *(largest(array) for array in arrays if is_real(array))])


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
    rule that refuses, by raising, is not wrong.
    """
    subject.need_twin()
    if not np.ndim(subject.leaves[subject.wrt[0]]):
        raise NotApplicableError("the first argument has no axis")
    changes = {
        "two more batch axes": lambda leaf: np.broadcast_to(leaf, (3, 2, *np.shape(leaf))),
        "a batch of 0": lambda leaf: leaf[:0],
        "a batch of 1": lambda leaf: leaf[:1],
    }
    refusals = []
    for note, wanted, got in _of_batches(subject, changes):
        if isinstance(got, Exception):  # whatever its author raises
            refusals.append(f"{note} ({type(got).__name__})")
        else:
            yield from gradients_agree(subject, "float64", as_float64(got[1]), as_float64(wanted[1]), note=note)
    if refusals:
        raise NotApplicableError(f"the rule refuses {', '.join(refusals)}")


def _of_batches(subject, changes):
    """(change, result of the twin, result of the rule), unless the twin itself refuses: what is changed is no batch."""
    with precision("float64"):
        arguments = {note: _of_batch(subject, change) for note, change in changes.items()}
        notes = [note for note, given in arguments.items() if given]
        results = together([(pull, arguments[note]) for note in notes for pull in (subject.pull_twin, subject.pull)])
    triples = zip(notes, results[::2], results[1::2], strict=True)
    return [triple for triple in triples if not isinstance(triple[1], Exception)]


def _of_batch(subject, change):
    """Leaves with another batch and cotangents that fit, nothing where the twin refuses them."""
    first = np.shape(subject.leaves[subject.wrt[0]])[:1]
    changed = (change(leaf) if np.shape(leaf)[:1] == first else leaf for leaf in subject.leaves)
    leaves = cast("float64", tuple(changed))
    try:
        outputs = filter(is_real, jax.eval_shape(subject.twin, *leaves))
    except Exception:
        return ()
    return leaves, tuple(subject.rng(8, i).normal(size=out.shape) for i, out in enumerate(outputs))


def _over_draws(subject, *functions):
    """(draws of the leaves in wrt, leaves, cotangents) -> the gradients of each function at each draw."""
    pulls = [pull_back(function, subject.wrt) for function in functions]

    def over_draws(draws, leaves, u):
        return jax.lax.map(lambda draw: [pull(replaced(leaves, subject.wrt, draw), u)[1] for pull in pulls], draws)

    return jax.jit(over_draws)


def _by_policy(subject, leaves, note, kinks):
    """Holds the gradients in the given dtype against the policy at the top of this file."""
    start = rounded_to(subject.given, leaves)
    _, got = subject.evaluate(subject.pull, subject.given, start)
    outputs, twin = subject.evaluate(subject.pull_twin, subject.given, start)
    allowances = [subject.allowance(subject.given, scale * _magnitude(start)) for scale in typical(subject)]
    if all(itertools.starmap(_finite_and_equal, zip(got, twin, allowances, strict=True))):
        return
    _, truth = subject.true(subject.given, start)
    _, noises = subject.noise_at(subject.given, start)
    for i, (g, t, w) in enumerate(zip(got, twin, truth, strict=True)):
        wanted = np.where(np.isfinite(t), w, np.where(np.isinf(t) & np.isnan(g), t, np.nan))
        wanted = np.where(np.isnan(start[subject.wrt[i]]), np.nan, wanted)
        units = dataclasses.replace(allowances[i], noise=noises[i]).units(g, wanted)
        wrong = (units > UNITS) | (np.isinf(wanted) & np.isnan(g))
        if wrong.any():
            wrong &= ~(_of_spoilt_outputs(subject, outputs)[i] & (np.isinf(wanted) if kinks else True))
        by_choice = kinks and subject.meant is None and wrong.any() and _between_slopes(subject, start, i, got, wrong)
        if wrong.any() and not by_choice:
            entry = tuple(int(k) for k in np.argwhere(wrong)[0])
            numbers = float(g[entry]), float(w[entry]), float(units[entry])
            yield Failure(f"gradient of {subject.name(i)}", subject.given, entry, *numbers, note)


def _finite_and_equal(got, twin, allowance):
    """By the same policy, for a gradient that autodiff in the same dtype confirms: the usual case, and cheap."""
    return np.isfinite(got).all() and np.isfinite(twin).all() and (allowance.units(got, twin) <= UNITS).all()


def _of_spoilt_outputs(subject, outputs):
    """Of each gradient the entries that outputs depend on, at the given arguments, which are not finite here."""
    spoilt = tuple(u * ~np.isfinite(out) for u, out in zip(subject.cotangents(), outputs, strict=True))
    return [g != 0 for g in subject.evaluate(subject.pull_twin, subject.given, cotangents=spoilt)[1]]


def _between_slopes(subject, leaves, i, got, suspects):
    """Whether gradient i is a choice at a kink: between the slopes of ⟨u, f⟩ on both sides of x.

    Along the axes of the suspect entries (of a few, where there are many), and along two diagonals, in which all
    entries of the leaf move, and those of all leaves: a rule that gives the whole slope to each of several ties passes
    the first and fails the others.
    """
    if not all(np.isfinite(g).all() for g in got):
        return False
    zeros = [np.zeros(g.shape) for g in got]
    axes = subject.rng(9).permutation(np.flatnonzero(suspects))[:_SUSPECTS]
    own = [np.ones(got[i].shape), *(_axis(got[i].shape, k) for k in axes)]
    directions = [[1 + zero for zero in zeros], *([*zeros[:i], direction, *zeros[i + 1 :]] for direction in own)]
    return all(_within(subject, leaves, got, direction) for direction in directions)


def _axis(shape, k):
    direction = np.zeros(shape)
    direction.reshape(-1)[k] = 1
    return direction


def _within(subject, leaves, got, directions):
    low, high = sorted(_one_sided(subject, leaves, directions))
    slack = 1e-4 * max(1.0, abs(low), abs(high))
    slope = sum(float((g * d).sum()) for g, d in zip(got, directions, strict=True))
    return low - slack <= slope <= high + slack


def _one_sided(subject, leaves, directions):
    """The slopes of ⟨u, f⟩ ahead of and behind the leaves, all of which move."""
    step = 1e-6 * _magnitude([leaves[position] for position in subject.wrt])

    def total(step):
        moved = [leaves[position] + step * d for position, d in zip(subject.wrt, directions, strict=True)]
        outputs, _ = subject.evaluate(subject.pull, "float64", replaced(leaves, subject.wrt, moved))
        return sum(float((u * out).sum()) for u, out in zip(subject.cotangents(), outputs, strict=True))

    here = total(0)
    return (total(step) - here) / step, (here - total(-step)) / step
