"""Is the rule right everywhere?  Many random inputs, and all small halves, by the policy of `_inputs.py`."""

import functools
from collections.abc import Iterator

import jax
import numpy as np

from jbackprop.functions import (
    FLOAT64_SHARE,
    as_float64,
    cast,
    largest,
    noise_of,
    precision,
    replaced,
    rounded_to,
    shaken,
)

from . import _sweep
from ._compare import typical, worst
from ._numbers import magnitude, spread
from ._pull import pull_back
from ._report import Failure
from ._subject import Subject

_NUMBERS = 2**17
"""How many random numbers `random_inputs` spreads over the input space."""
_OCTAVES = ((-10, -4), (-4, 0), (0, 2), (2, 5))
_COARSE, _DOUBTS, _SLACK = -4, 8, 1e-6
"""From which octave on differences judge; how many times their doubt is allowed, and which share of the gradient."""


def random_inputs(subject: Subject) -> Iterator[Failure]:
    """Thousands of inputs from a thousandth to thirty times the given ones, of both signs: for a fault in a corner.

    Besides all whole numbers and halves up to 64, in every dtype: a rule may be wrong at a single number.  Where f
    holds rules of `jax.custom_jvp`, which automatic differentiation takes for the truth, finite differences along a
    random direction judge too.
    """
    subject.need_twin()
    size = max(np.size(subject.leaves[i]) for i in subject.wrt)
    draws = max(4, min(1024, _NUMBERS // max(size, 1)))
    scale = typical(subject)
    of_both, of_rule, of_twin = (
        _over_draws(subject, *functions)
        for functions in ((subject.function, subject.twin), (subject.function,), (subject.twin,))
    )
    for number, octaves in enumerate(_OCTAVES):
        chosen = tuple(spread(subject.rng(7, number, i), subject.leaves[i], draws, octaves) for i in subject.wrt)
        start = rounded_to("float32", chosen)
        (_, got), (outputs, wanted) = _at_draws(subject, of_both, "float64", start)
        wanted = _without_opinions(subject, outputs, wanted)
        noises = functools.partial(_noise_at_draws, subject, of_twin, start, wanted)
        for i, (g, w) in enumerate(zip(got, wanted, strict=True)):
            scale[i] = max(scale[i], largest(w))
            what, note = f"gradient of {subject.name(i)}", "random inputs, the first index a draw"
            allowance = subject.allowance("float64", scale[i] * magnitude(chosen))
            yield from worst(what, "float64", g, w, allowance, note, lambda i=i, noises=noises: noises()[i], start[i])
        if octaves[0] >= _COARSE and subject.has_custom_jvp and subject.meant is None:
            yield from _against_differences(subject, number, start, got)
            for alone in _each_alone(subject, start):
                ((_, got),) = _at_draws(subject, of_rule, "float64", alone)
                yield from _against_differences(subject, number, alone, got)
    yield from _at_halves(subject, of_both, draws)


def _at_halves(subject, of_both, draws):
    start = _sweep.starts(subject, draws)
    (_, got), (outputs, wanted) = _at_draws(subject, of_both, "float64", start)
    wanted = _without_opinions(subject, outputs, wanted)
    yield from _sweep.in_float64(subject, start, got, wanted)
    yield from _sweep.in_other_dtypes(subject, start)


def _each_alone(subject, draws):
    """The draws of one argument while the others are as given: of what is not finite there is no opinion.

    A divergence, for example, has a value of no target that is negative, as every other one is in a draw.
    """
    given = [np.broadcast_to(subject.leaves[i], draw.shape) for i, draw in zip(subject.wrt, draws, strict=True)]
    for i in range(len(draws)) if len(draws) > 1 else ():
        yield tuple(draws[i] if i == j else leaf for j, leaf in enumerate(given))


def _against_differences(subject, number, draws, gradients):
    """Along one direction at each draw; steps are too wide for the smallest numbers.  NaN is for the policy."""
    rng = subject.rng(14, number)
    directions = tuple(rng.choice((-1.0, 1.0), size=np.shape(draw)) for draw in draws)
    with precision("float64"):
        found = subject.slopes_at(draws, directions, cast("float64", subject.leaves), subject.cotangents())
        slopes, doubts = as_float64(found)
    with np.errstate(invalid="ignore"):
        each = [(g * d).reshape(len(d), -1).sum(axis=1) for g, d in zip(gradients, directions, strict=True)]
        along = np.sum(each, axis=0)
        allowed = _DOUBTS * doubts + _SLACK * np.maximum(np.abs(slopes), largest(along))
        wrong = np.isfinite(slopes) & np.isfinite(allowed) & (np.abs(along - slopes) > allowed)
    if wrong.any():
        draw = int(wrong.argmax())
        note = "finite difference along a random direction at random inputs, the index a draw"
        yield Failure("gradient", "float64", (draw,), float(along[draw]), float(slopes[draw]), note=note)


def _without_opinions(subject, outputs, gradients):
    """The gradients at each draw, NaN in the entries that depend on outputs which are not finite there."""
    spoilt = [~np.isfinite(out) for out in outputs]
    draws = np.flatnonzero(sum(out.reshape(len(out), -1).any(axis=1) for out in spoilt))
    if not len(draws):
        return gradients
    reached = subject.reached([out[draws] for out in spoilt])
    without = [np.array(gradient) for gradient in gradients]
    for gradient, mask in zip(without, reached, strict=True):
        gradient[draws] = np.where(mask, np.nan, gradient[draws])
    return without


def _at_draws(subject, pulls, dtype, draws):
    """(outputs, gradients) of each function, at all draws."""
    with precision(dtype):
        found = pulls(cast(dtype, draws), cast(dtype, subject.leaves), subject.cotangents())
        return [(as_float64(outputs), as_float64(gradients)) for outputs, gradients in found]


def _noise_at_draws(subject, of_twin, draws, truth):
    ((_, narrow),) = _at_draws(subject, of_twin, "float32", draws)
    moved = [_at_draws(subject, of_twin, "float64", at)[0][1] for at in shaken(draws, "float32", subject.rng(13))]
    return [FLOAT64_SHARE * n for n in noise_of(narrow, [truth], moved)]


def _over_draws(subject, *functions):
    """(draws of the leaves in wrt, leaves, cotangents) -> outputs and gradients of each function at each draw."""
    pulls = [pull_back(function, subject.wrt) for function in functions]

    def over_draws(draws, leaves, u):
        return jax.lax.map(lambda draw: [pull(replaced(leaves, subject.wrt, draw), u) for pull in pulls], draws)

    return jax.jit(over_draws)
