"""Finite differences: the one proof that asks nothing of the code under proof but its values.

In float64, along a direction d, Richardson's extrapolation of (f(x + h d) − f(x − h d)) / 2h tells f'(x) d, and its
doubt how far a right gradient may be off: see `functions.extrapolated`.  Directions are all coordinates where these
are few, and the cotangents all unit ones, so that the whole Jacobian is compared, entry by entry.  Otherwise they are
random single entries, and random directions, in which every entry takes part.
"""

import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop.functions import STEPS, Arrays, absolute_errors, as_float64, extrapolated, is_real, precision

from ._compare import typical
from ._pull import real_outputs
from ._report import Failure, NotApplicableError
from ._subject import Subject

_COORDINATES = 512
"""Up to so many entries of a leaf, every one is moved."""
_MEMORY = 2**24
"""How many numbers all directions of a larger leaf, or all slopes along them, may be."""
_OUTPUTS = 64
"""Up to so many entries of all outputs, every one is pulled back."""


def finite_differences(subject: Subject) -> Iterator[Failure]:
    """The gradient against differences of the values: the whole Jacobian, or random directions and single entries."""
    if not any(math.prod(out.shape) for out in subject.outputs):
        raise NotApplicableError("every output is empty")
    if subject.meant is not None:
        raise NotApplicableError("its gradient is another function's by design")
    yield from subject.unless_stopped(_against_rule(subject))


def _against_rule(subject):
    cotangents, moved = _cotangents(subject), [subject.leaves[position] for position in subject.wrt]
    directions = [_directions(subject.rng(2, i), leaf, _affordable(subject, leaf)) for i, leaf in enumerate(moved)]
    gradients, slopes, doubts = _measured(subject, cotangents, directions)
    ends = np.cumsum([len(along) for along in directions])
    for i, (end, along) in enumerate(zip(ends, directions, strict=True)):
        if len(along):
            own = [[numbers[end - len(along) : end] for numbers in of_outputs] for of_outputs in (slopes, doubts)]
            yield from _compared(subject, i, along, cotangents, gradients[i], *own)


def _compared(subject, i, directions, cotangents, gradients, slopes, doubts):
    """got and wanted are (cotangents, directions): each slope as the rule and as the differences tell it."""
    with np.errstate(invalid="ignore"):  # what is not finite is judged below
        got = np.tensordot(gradients, directions, (range(1, gradients.ndim), range(1, directions.ndim)))
        wanted = np.sum([_contracted(u, slope) for u, slope in zip(cotangents, slopes, strict=True)], axis=0)
        doubt = np.sum([_contracted(np.abs(u), doubt) for u, doubt in zip(cotangents, doubts, strict=True)], axis=0)
    reach = np.abs(directions).reshape(len(directions), -1).sum(axis=1)
    allowed = doubt + max(1e-9, _spacing(subject)) * np.maximum(np.abs(wanted), typical(subject)[i] * reach)
    with np.errstate(invalid="ignore"):
        excess = np.where(np.isfinite(wanted), absolute_errors(got, wanted) / np.maximum(allowed, 1e-300), 0)
    excess = np.where(np.isnan(excess), np.inf, excess)
    which, along = np.unravel_index(excess.argmax(), excess.shape)
    if excess[which, along] > 1:
        moved = np.argwhere(directions[along])
        entry = tuple(int(k) for k in moved[0]) if len(moved) == 1 else None
        note = (
            "finite difference"
            + ("" if entry is not None else " along a random direction")
            + _source(cotangents, which)
        )
        numbers = float(got[which, along]), float(wanted[which, along])
        yield Failure(f"gradient of {subject.name(i)}", "float64", entry, *numbers, note=note)


def _contracted(cotangents, slopes):
    """(cotangents, directions) from (cotangents, *shape) and (directions, *shape)."""
    axes = range(1, slopes.ndim)
    return np.tensordot(cotangents, slopes, (axes, axes))


def _source(cotangents, which):
    alone = [(j, np.argwhere(u[which])) for j, u in enumerate(cotangents) if u[which].any()]
    if len(alone) != 1 or len(alone[0][1]) != 1:
        return ""
    output, entry = alone[0][0], ", ".join(map(str, alone[0][1][0]))
    return f" of output {output}[{entry}]" if entry else f" of output {output}"


def _cotangents(subject) -> Arrays:
    """(cotangents, *shape) for each output: the unit ones where they are few, else two random ones."""
    outs = [out for out in subject.outputs if is_real(out)]
    sizes = [math.prod(out.shape) for out in outs]
    if sum(sizes) > _OUTPUTS:
        return tuple(map(np.stack, zip(subject.cotangents(0), subject.cotangents(1), strict=True)))
    columns = np.split(np.eye(sum(sizes)), np.cumsum(sizes)[:-1], axis=1)
    return tuple(column.reshape(-1, *out.shape) for column, out in zip(columns, outs, strict=True))


def _affordable(subject, leaf):
    """How many directions: 64, fewer where the arrays are large."""
    largest = max(leaf.size, *(math.prod(out.shape) for out in subject.outputs))
    return int(np.clip(_MEMORY // (largest * len(subject.wrt)), 4, 64))


def _directions(rng, leaf, count):
    """(directions, *leaf.shape): the axes, or for a large leaf three quarters of random axes and a quarter of signs."""
    if leaf.size <= _COORDINATES:
        return np.eye(leaf.size).reshape(leaf.size, *leaf.shape)
    directions, axes = np.zeros((count, leaf.size)), 3 * count // 4
    directions[np.arange(axes), rng.choice(leaf.size, axes, replace=False)] = 1
    directions[axes:] = rng.choice([-1.0, 1.0], size=(count - axes, leaf.size)) / np.sqrt(leaf.size)
    return directions.reshape(count, *leaf.shape)


def _measured(subject, cotangents, directions):
    """The gradients for each cotangent; ∂output/∂leaf along each direction, and the doubt about it.

    The first are (cotangents, *shape) for each leaf, the others (all directions, *shape) for each output.
    """
    which = np.repeat(range(len(directions)), [len(along) for along in directions])
    flat = [along.reshape(len(along), -1) for along in directions]
    widest = max(along.shape[1] for along in flat)
    padded = np.concatenate([np.pad(along, ((0, 0), (0, widest - along.shape[1]))) for along in flat])

    def measured(leaves, us, which, directions):
        gradients = jax.lax.map(lambda u: subject.pull(leaves, u)[1], us)
        return gradients, *jax.lax.map(lambda one: _slopes(subject, leaves, *one), (which, directions))

    with precision("float64"):
        return tuple(map(as_float64, jax.jit(measured)(subject.leaves, cotangents, which, padded)))


def _slopes(subject, leaves, which, direction):
    """∂output/∂(leaf which) along a direction, which is flat and padded, and the doubt about it, for each output."""
    chosen = [leaves[position] for position in subject.wrt]

    def values(step):
        steps = [step * direction[: leaf.size].reshape(leaf.shape) for leaf in chosen]
        moved = (leaf + jnp.where(which == i, d, 0) for i, (leaf, d) in enumerate(zip(chosen, steps, strict=True)))
        return real_outputs(subject.function, leaves, subject.wrt)(*moved)

    slopes = [extrapolated(along, _spacing(subject)) for along in jax.lax.map(values, jnp.array(STEPS))]
    return [slope for slope, _ in slopes], [doubt for _, doubt in slopes]


def _spacing(subject):
    """Of the numbers that the function computes with when it is given float64, or that its solver tells apart."""
    return max(float(jnp.finfo(subject.finest).eps), subject.tolerance)
