"""All small whole numbers and halves, which every dtype holds: for a rule that is wrong at one number of one dtype.

In float64 automatic differentiation judges, and what the rule finds there judges it in the other dtypes: at a kink it
takes the same choice in all of them.  Allowed in these are a few roundings, and what automatic differentiation is off
in the same dtype.  What overflows has no opinion: `large_inputs` has one.  The numbers do not go up evenly, since
matrices of such numbers have no inverse.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop.functions import UNITS, Arrays, absolute_errors, as_float64, cast, largest, replaced

from ._compare import gradients_agree, typical, worst
from ._numbers import HALVES, magnitude
from ._report import Failure
from ._subject import Subject

Pulls = Callable[[Arrays, Arrays, Arrays], Sequence[tuple[Arrays, Arrays]]]

_LOOKED_AT = 8
"""So many draws at most are looked at for choices at kinks."""
_TIMES, _NOISE = 4, 4
_LEAST = 1e-8
"""A difference of less than this share of the gradient is nothing that a wrong number makes."""


def starts(subject: Subject, draws: int) -> Arrays:
    """(draws, *shape) for each leaf in wrt: all the numbers over and over, in order but for a few places."""
    shapes = [np.shape(subject.leaves[position]) for position in subject.wrt]
    return tuple(np.resize(_mixed(subject.rng(16, i)), (draws, *shape)) for i, shape in enumerate(shapes))


def _mixed(rng):
    return HALVES[np.argsort(np.arange(HALVES.size) + rng.uniform(0, 8, HALVES.size))]


def judged(subject: Subject, draws: int) -> int:
    """How many draws it takes until each leaf was all of the numbers several times, under other cotangents."""
    smallest = min(np.size(subject.leaves[position]) for position in subject.wrt)
    return min(draws, _TIMES * -(-HALVES.size // max(smallest, 1)))


def in_float64(subject: Subject, start: Arrays, got: Arrays, wanted: Sequence[Any]) -> Iterator[Failure]:
    """The rule against automatic differentiation, draw by draw."""
    off = (
        draw for draw in range(judged(subject, len(start[0]))) if _is_off(subject, _at(got, draw), _at(wanted, draw))
    )
    for draw in itertools.islice(off, _LOOKED_AT):
        leaves = replaced(subject.leaves, subject.wrt, _at(start, draw))
        yield from gradients_agree(
            subject,
            "float64",
            _at(got, draw),
            _at(wanted, draw),
            lambda leaves=leaves: subject.noise_at("float64", leaves)[1],
            _note(draw),
            (leaves, subject.cotangents()),
        )


def in_other_dtypes(
    subject: Subject, pulls: Pulls, in_float64: Callable[[Arrays], Arrays], start: Arrays
) -> Iterator[Failure]:
    """The rule against what it finds in float64; all dtypes are one program.

    Where there are sums one argument at a time has such numbers: of sums of their products nothing but rounding
    may be left, as of the softmax in attention.
    """
    others = [dtype for dtype in subject.dtypes if dtype != "float64"]
    if not others or subject.is_random:
        return
    draws, program = judged(subject, len(start[0])), jax.jit(lambda calls: [pulls(*call) for call in calls])
    for chosen in _one_at_a_time(subject, start) if subject.length > 1 else [start]:
        few = _at(chosen, slice(draws))
        found = program([(cast(dtype, few), cast(dtype, subject.leaves), subject.cotangents()) for dtype in others])
        wanted = in_float64(chosen)
        for dtype, ((_, got), (_, twin)) in zip(others, found, strict=True):
            for draw in range(draws):
                at = (_at(arrays, draw) for arrays in (chosen, as_float64(got), as_float64(twin), wanted))
                yield from _judged(subject, dtype, draw, *at)


def _one_at_a_time(subject, start):
    given = [np.broadcast_to(subject.leaves[i], leaf.shape) for i, leaf in zip(subject.wrt, start, strict=True)]
    return [replaced(given, (i,), (leaf,)) for i, leaf in enumerate(start)]


def _judged(subject, dtype, draw, x, got, twin, wanted):
    share = float(jnp.finfo(dtype).eps) * magnitude(x)
    leaves = replaced(subject.leaves, subject.wrt, x)
    moved = functools.cache(lambda: subject.noise_at(dtype, leaves)[1])
    for i, (scale, g, t, w) in enumerate(zip(typical(subject), got, twin, wanted, strict=True)):
        known = np.where(np.isfinite(g) & np.isfinite(t), w, np.nan)
        noise = _NOISE * largest(absolute_errors(t, known)) + share * np.abs(w)
        what, allowance = f"gradient of {subject.name(i)}", subject.allowance(dtype, scale, noise)
        yield from worst(what, dtype, g, known, allowance, _note(draw), lambda i=i, n=noise: n + moved()[i], x[i])


def _is_off(subject, got, wanted):
    """Whether a draw is worth a look: the noise, which decides then, costs a program."""
    allowances = [subject.allowance("float64", scale) for scale in typical(subject)]
    return any(
        ((a.units(g, w) > UNITS) & (np.abs(g - w) > _LEAST * max(1.0, largest(w)))).any()
        for a, g, w in zip(allowances, got, wanted, strict=True)
    )


def _at(arrays, draw):
    return [array[draw] for array in arrays]


def _note(draw):
    return f"draw {draw} of whole numbers and halves"
