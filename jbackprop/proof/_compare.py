"""Two results side by side: at most one failure for each array, its worst entry."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from jbackprop.functions import UNITS, Allowance, Arrays, largest

from ._guess import guess
from ._kinks import with_choices
from ._report import Failure
from ._subject import Subject

Noise = Callable[[], Sequence[float]]
"""The error of automatic differentiation in each array, computed only where it decides: that compiles the twin anew."""


def worst(
    what: str,
    dtype: str,
    got: np.ndarray,
    wanted: np.ndarray,
    allowance: Allowance,
    note: str = "",
    noise: Callable[[], float] = float,
    x: np.ndarray | None = None,
) -> Iterator[Failure]:
    """The entry that is furthest off, if it is further off than rounding explains, and then than the noise does.

    Where it is a gradient by x, x may help to guess what is wrong.
    """
    if got.shape != wanted.shape:
        yield Failure(what, dtype, None, f"shape {got.shape}", f"shape {wanted.shape}", note=note)
        return
    units = allowance.units(got, wanted)
    if units.max(initial=0) > UNITS:
        allowance = dataclasses.replace(allowance, noise=noise())
        units = allowance.units(got, wanted)
    if units.max(initial=0) > UNITS:
        entry = tuple(int(i) for i in np.unravel_index(units.argmax(), units.shape))
        hint = guess(got, wanted, lambda a, b: allowance.units(a, b) <= UNITS, x)
        yield Failure(what, dtype, entry, float(got[entry]), float(wanted[entry]), float(units[entry]), note, hint)


def gradients_agree(
    subject: Subject,
    dtype: str,
    got: Sequence[Any],
    wanted: Sequence[Any],
    noise: Noise | None = None,
    note: str = "",
    at: tuple[Arrays, Arrays] | None = None,
) -> Iterator[Failure]:
    """One comparison for each leaf that is differentiated, on the scale of its typical gradient.

    The noise is that at the given arguments, unless another is known.  Where the arguments and cotangents are told
    (`at`), the wanted gradients are automatic ones, and a choice at a kink is as good.
    """
    noises = functools.cache(noise or (lambda: subject.noise(dtype)[1]))
    allowances = [subject.allowance(dtype, scale) for scale in typical(subject)]
    if at is not None and any(map(_is_off, allowances, got, wanted)):
        wanted = with_choices(subject, *at, wanted)
    leaves = subject.leaves if at is None else at[0]
    for i, (allowance, g, w) in enumerate(zip(allowances, got, wanted, strict=True)):
        x = leaves[subject.wrt[i]] if np.shape(leaves[subject.wrt[i]]) == np.shape(g) else None
        yield from worst(f"gradient of {subject.name(i)}", dtype, g, w, allowance, note, lambda i=i: noises()[i], x)


def outputs_agree(
    subject: Subject,
    dtype: str,
    got: Sequence[Any],
    wanted: Sequence[Any],
    noise: Noise | None = None,
    note: str = "",
) -> Iterator[Failure]:
    """One comparison for each output."""
    noises = functools.cache(noise or (lambda: subject.noise(dtype)[0]))
    for i, (g, w) in enumerate(zip(got, wanted, strict=True)):
        what = "output" if len(wanted) == 1 else f"output {i}"
        allowance = subject.allowance_of_values(dtype)
        yield from worst(what, dtype, np.asarray(g), np.asarray(w), allowance, note, lambda i=i: noises()[i])


def _is_off(allowance, got, wanted):
    return got.shape == wanted.shape and (allowance.units(got, wanted) > UNITS).any()


def typical(subject: Subject) -> list[float]:
    """The largest entry of each true gradient at the given arguments."""
    return [largest(gradient) for gradient in subject.truth[1]]
