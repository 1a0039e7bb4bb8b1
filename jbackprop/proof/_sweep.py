"""All small whole numbers and halves, which every dtype holds: for a rule that is wrong at one number of one dtype.

In float64 automatic differentiation judges, and what the rule finds there judges it in the other dtypes: at a kink it
takes the same choice in all of them.  Allowed in these are a few roundings, what automatic differentiation is off in
the same dtype, and what a rounding of the arguments changes.  What overflows has no opinion: `large_inputs` has one.
The numbers do not go up evenly, since matrices of such numbers have no inverse.
"""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jbackprop.functions import UNITS, Arrays, absolute_errors, largest, replaced

from ._compare import gradients_agree, typical, worst
from ._numbers import HALVES, magnitude
from ._report import Failure
from ._subject import Subject

_LOOKED_AT, _FEW = 8, 64
"""So many draws at most are looked at for choices at kinks; are tried of one argument, each a call in each dtype."""
_TIMES, _NOISE = 4, 16
_LEAST = 1e-8
"""A difference of less than this share of the gradient is nothing that a wrong number makes."""
_SHRUNK = 16
"""So many times smaller the other arguments are at every other draw."""
_MANY, _WINDOW = 16, 8
"""Where so many entries meet in one of an output, a draw holds so many numbers alone: the largest outweigh the rest."""


def starts(subject: Subject, draws: int) -> Arrays:
    """(draws, *shape) for each leaf in wrt: all the numbers over and over, in order but for a few places."""
    return tuple(_numbers(subject, i, draws, subject.leaves[position]) for i, position in enumerate(subject.wrt))


def _numbers(subject, i, draws, leaf):
    mixed = HALVES[np.argsort(np.arange(HALVES.size) + subject.rng(16, i).uniform(0, 8, HALVES.size))]
    drawn = np.resize(mixed, (draws, *np.shape(leaf)))
    if _meets_many(subject, leaf):
        windows = np.resize(mixed, (-(-HALVES.size // _WINDOW), _WINDOW))
        for draw, window in zip(range(1, draws, 2), itertools.cycle(windows)):
            drawn[draw] = np.resize(window, np.shape(leaf))
    return drawn


def _meets_many(subject, leaf):
    return np.size(leaf) >= _MANY * sum(math.prod(out.shape) for out in subject.outputs)


def _enough(subject, most, *positions):
    """How many draws it takes until each leaf was all of the numbers several times, beside others; at most so many.

    But once at least, however few it holds.
    """
    leaves = [subject.leaves[position] for position in positions]
    once = max(-(-HALVES.size // max(np.size(leaf), 1)) for leaf in leaves)
    windows = 2 * -(-HALVES.size // _WINDOW) if any(_meets_many(subject, leaf) for leaf in leaves) else 0
    return max(min(most, _TIMES * once), once, windows)


def in_float64(subject: Subject, start: Arrays, got: Arrays, wanted: Sequence[Any]) -> Iterator[Failure]:
    """The rule against automatic differentiation, draw by draw."""
    off = (
        draw
        for draw in range(min(len(start[0]), _enough(subject, len(start[0]), *subject.wrt)))
        if _is_off(subject, _at(got, draw), _at(wanted, draw))
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


def in_other_dtypes(subject: Subject, start: Arrays) -> Iterator[Failure]:
    """The rule against what it finds in float64, draw by draw: other checks have compiled these programs.

    Where there are sums one argument at a time has such numbers: of sums of their products nothing but rounding may be
    left, as of the softmax in attention.  At every other draw the other arguments are small, or gates that they enter
    would all be shut, and nothing but rounding left of their gradients.
    """
    narrow = [dtype for dtype in subject.dtypes if dtype != "float64"]
    if not narrow:
        return
    everywhere, most = dict(zip(subject.wrt, start, strict=True)), len(start[0])
    apart = subject.length > 1
    small = replaced(subject.leaves, subject.wrt, [subject.leaves[i] / _SHRUNK for i in subject.wrt])
    for chosen in [{position: leaf} for position, leaf in everywhere.items()] if apart else [everywhere]:
        for draw in range(min(most, _enough(subject, _FEW if apart else most, *chosen))):
            others = small if apart and draw % 2 else subject.leaves
            leaves = replaced(others, list(chosen), _at(chosen.values(), draw))
            _, wanted = subject.evaluate(subject.pull, "float64", leaves)
            for dtype in narrow:
                yield from _judged(subject, dtype, leaves, wanted, _note(draw))


def _judged(subject, dtype, leaves, wanted, note):
    _, got = subject.evaluate(subject.pull, dtype, leaves)
    share = float(jnp.finfo(dtype).eps) * magnitude([leaves[i] for i in subject.wrt])
    if not subject.is_random and _are_close(subject, dtype, share, got, wanted):
        return  # nobody has to be asked what autodiff is off
    _, twin = subject.evaluate(subject.pull_twin, dtype, leaves)
    if subject.is_random:
        wanted = _of_random(subject, leaves, wanted, twin)
    moved = functools.cache(lambda: subject.noise_at(dtype, leaves)[1])
    for i, (scale, g, t, w) in enumerate(zip(typical(subject), got, twin, wanted, strict=True)):
        known = np.where(np.isfinite(g) & np.isfinite(t), w, np.nan)
        noise = _NOISE * largest(absolute_errors(t, known)) + share * np.abs(w)
        what, allowance = f"gradient of {subject.name(i)}", subject.allowance(dtype, scale, noise)
        x = leaves[subject.wrt[i]]
        yield from worst(what, dtype, g, known, allowance, note, lambda i=i, n=noise: n + moved()[i], x)


def _are_close(subject, dtype, share, got, wanted):
    each = zip(typical(subject), got, wanted, strict=True)
    return all((subject.allowance(dtype, scale, share * np.abs(w)).units(g, w) <= UNITS).all() for scale, g, w in each)


def _of_random(subject, leaves, own, twin):
    """What draws other random numbers in another dtype the twin judges, but where the two choose at a kink."""
    _, others = subject.evaluate(subject.pull_twin, "float64", leaves)
    same = [subject.allowance("float64").units(a, b) <= UNITS for a, b in zip(own, others, strict=True)]
    return [np.where(agree, t, np.nan) for agree, t in zip(same, twin, strict=True)]


def _is_off(subject, got, wanted):
    """Whether a draw is worth a look: the noise, which decides then, costs a program."""
    for scale, g, w in zip(typical(subject), got, wanted, strict=True):
        off = subject.allowance("float64", scale).units(g, w) > UNITS
        if (off & (absolute_errors(g, w) > _LEAST * max(scale, largest(w)))).any():
            return True
    return False


def _at(arrays, draw):
    return [array[draw] for array in arrays]


def _note(draw):
    return f"draw {draw} of whole numbers and halves"
