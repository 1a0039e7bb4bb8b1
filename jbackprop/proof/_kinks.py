"""At a kink a derivative is a choice: which of a rule's gradients are one, and which are wrong.

With S±(d) the slopes of ⟨u, f⟩ ahead of x and behind it, along a direction d, a gradient g is a choice at x if

    along each axis     S⁻(eₖ) ≤ gₖ ≤ S⁺(eₖ), or the other way round

where the two differ, so that there is a kink, and if its entries fit together.  (At a kink they may be equal too, of a
u with equal entries; the slopes of another u tell.)  Kinks that have nothing to do with each other, as those of single
entries, add up:

    S±(Σₖ eₖ) = Σₖ S±(eₖ)                                then every choice of each is a choice of all

Of several equal maxima they do not: together they move the maximum once, each alone moves it too.  There g lies between
the slopes along the sum of the axes as well, so that no two ties get the whole of it.

Where several outputs have a kink at one entry, as overlapping windows with one maximum have, slopes of opposite u
cancel in S±, and each output's choice is none of the sum.  So g may fit for |u| instead: a backward pass is linear.

J.-B. Hiriart-Urruty, C. Lemaréchal, "Fundamentals of Convex Analysis", Springer, 2001, chapter D (subgradients).
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop.functions import UNITS, Arrays, as_float64, cast, is_real, largest, precision, replaced

from ._numbers import magnitude
from ._subject import Subject

_AXES = 512
"""So many entries at most are moved, those that differ from automatic differentiation first."""
_MEMORY = 2**23
"""How many numbers all directions may be."""
_STEP = 1e-6
_SLACK = 1e-4
_ROUNDINGS = 32 * float(np.finfo(np.float64).eps)


def with_choices(subject: Subject, leaves: Arrays, cotangents: Arrays, truth: Sequence[Any]) -> list[np.ndarray]:
    """The true gradients, and where they are a choice at a kink the one that the rule takes in float64."""
    _, own = subject.evaluate(subject.pull, "float64", leaves, cotangents)
    wrong = _differ(subject, "float64", own, truth)
    if not any(map(np.any, wrong)) or not is_choice(subject, "float64", leaves, cotangents, own, wrong):
        return list(truth)
    return [np.where(where, g, w) for where, g, w in zip(wrong, own, truth, strict=True)]


def is_choice(
    subject: Subject, dtype: str, leaves: Arrays, cotangents: Arrays, gradients: Sequence[Any], suspects: Sequence[Any]
) -> bool:
    """Whether gradients are a choice at a kink, wherever they differ from the automatic ones.

    Args:
      subject: the function, or the one whose gradient it is to have.
      dtype: what the gradients were computed in.
      leaves: where.
      cotangents: of its outputs.
      gradients: of each leaf that is differentiated.
      suspects: the entries that differ, in the same shapes.
    """
    if _fits(subject, leaves, cotangents, gradients, suspects):
        return True
    positive = tuple(map(np.abs, cotangents))
    if all(map(np.array_equal, positive, cotangents)):
        return False
    got, wanted = (subject.evaluate(pull, dtype, leaves, positive)[1] for pull in (subject.pull, subject.pull_twin))
    differ = _differ(subject, dtype, got, wanted)
    as_before = all((here | ~there).all() for here, there in zip(differ, suspects, strict=True))
    return as_before and _fits(subject, leaves, positive, got, differ)


def _differ(subject, dtype, got, wanted):
    """Which entries of each gradient differ by more than rounding."""
    scales = [subject.allowance(dtype, largest(w)) for w in wanted]
    return [scale.units(g, w) > UNITS for scale, g, w in zip(scales, got, wanted, strict=True)]


def _fits(subject, leaves, cotangents, gradients, suspects):
    flat, wrong = (np.concatenate([np.ravel(a) for a in arrays]) for arrays in (gradients, suspects))
    if not np.isfinite(flat).all():
        return False
    axes = moved(subject, wrong)
    directions = along_axes(axes, len(flat))
    behind, ahead, slack = slopes(subject, leaves, cotangents, directions)
    low, high = np.minimum(behind, ahead) - slack, np.maximum(behind, ahead) + slack
    got = directions @ flat
    inside = (low <= got) & (got <= high)
    if not inside[:-1][wrong[axes]].all():
        return False
    is_kink = np.abs(ahead - behind) > 2 * slack
    if not is_kink[:-1][wrong[axes]].all():
        is_kink |= _has_kink(subject, leaves, directions)
    if not is_kink[:-1][wrong[axes]].all():
        return False
    return all(adds_up(side, slack.sum()) for side in (behind, ahead)) or bool(inside[-1])


def _has_kink(subject, leaves, directions):
    """Along which directions the outputs have a kink, whatever u is: of some u their slopes cancel."""
    generic = tuple(subject.rng(17, i).normal(size=u.shape) for i, u in enumerate(subject.cotangents()))
    behind, ahead, slack = slopes(subject, leaves, generic, directions)
    return np.abs(ahead - behind) > 2 * slack


def adds_up(side: np.ndarray, slack: float) -> bool:
    """Whether the slopes of one side along axes are together the one along the sum of the axes, which is last."""
    return bool(abs(side[:-1].sum() - side[-1]) <= slack)


def moved(subject: Subject, wrong: np.ndarray) -> np.ndarray:
    """The entries to move, as many as can be afforded: of those that differ, and of the others, some by chance."""
    most = int(np.clip(_MEMORY // max(len(wrong), 1), 8, _AXES))
    order = subject.rng(9).permutation(len(wrong))
    return np.concatenate([order[wrong[order]], order[~wrong[order]]])[:most]


def along_axes(axes: np.ndarray, size: int) -> np.ndarray:
    """(n + 1, size): the direction of each of n entries, and their sum."""
    directions = np.zeros((len(axes) + 1, size))
    directions[np.arange(len(axes)), axes], directions[-1, axes] = 1, 1
    return directions


def moved_by(leaves: Arrays, wrt: Sequence[int], by: jax.Array) -> Arrays:
    """The leaves with those in wrt moved, by numbers laid one after the other."""
    shapes = [np.shape(leaves[position]) for position in wrt]
    parts = jnp.split(by, np.cumsum([math.prod(shape) for shape in shapes])[:-1])
    steps = zip(wrt, parts, shapes, strict=True)
    return replaced(leaves, wrt, [leaves[position] + part.reshape(shape) for position, part, shape in steps])


def slopes(
    subject: Subject, leaves: Arrays, cotangents: Arrays, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The slopes of ⟨u, f⟩ behind the leaves and ahead of them, along directions, and what each may be off.

    A direction goes through the entries of all leaves that are differentiated, one after the other.  A slope may be off
    a share of itself, and of the largest where that is less than 1: the slopes of a mean over many are all small.
    Besides what it differs by from that of twice the step, for f may be curved, and the rounding of differences.
    """
    coarse, fine, rounding = _one_sided(subject, leaves, cotangents, directions)
    largest_at = np.abs(fine).max(axis=0)
    bent = np.abs(fine - coarse).max(axis=0)
    return *fine, _SLACK * np.maximum(min(1, largest(largest_at)), largest_at) + 2 * bent + rounding


def _one_sided(subject, leaves, cotangents, directions):
    function = subject.meant or subject.function
    step = _STEP * magnitude([leaves[position] for position in subject.wrt])

    def terms(leaves, u, by):
        outputs = filter(is_real, function(*moved_by(leaves, subject.wrt, by)))
        return jnp.concatenate([jnp.ravel(a * out) for a, out in zip(u, outputs, strict=True)])

    def slopes(leaves, u, directions):
        here = terms(leaves, u, jnp.zeros(directions.shape[1:]))

        def along(direction):
            return jax.lax.map(lambda s: (terms(leaves, u, s * direction) - here).sum() / s, steps)

        return jax.lax.map(along, directions).T.reshape(2, 2, -1), _ROUNDINGS * jnp.abs(here).sum() / steps.max()

    with precision("float64"):
        steps = step * jnp.array([-1, 1, -0.5, 0.5])
        (coarse, fine), rounding = as_float64(jax.jit(slopes)(cast("float64", leaves), cotangents, directions))
    return coarse, fine, rounding
