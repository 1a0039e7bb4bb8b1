"""Two results side by side: at most one failure for each array, its worst entry."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ._report import Failure
from ._rounding import UNITS, Allowance, distance, largest
from ._subject import Subject


def worst(what: str, got: np.ndarray, wanted: np.ndarray, allowance: Allowance, note: str = "") -> Iterator[Failure]:
    """The entry that is furthest off, if it is further off than rounding explains."""
    if got.shape != wanted.shape:
        yield Failure(what, allowance.dtype, None, f"shape {got.shape}", f"shape {wanted.shape}", note=note)
        return
    units = allowance.units(got, wanted)
    if units.size and units.max() > UNITS:
        entry = tuple(int(i) for i in np.unravel_index(units.argmax(), units.shape))
        yield Failure(what, allowance.dtype, entry, float(got[entry]), float(wanted[entry]), float(units[entry]), note)


def gradients_agree(
    subject: Subject,
    dtype: str,
    got: Sequence[Any],
    wanted: Sequence[Any],
    noise: Iterable[float] | None = None,
    note: str = "",
) -> Iterator[Failure]:
    """One comparison for each leaf that is differentiated, on the scale of its typical gradient."""
    noise = [0.0] * len(wanted) if noise is None else noise
    for i, (g, w, noise_i) in enumerate(zip(got, wanted, noise, strict=True)):
        allowance = Allowance(dtype, subject.length, typical(subject)[i], noise_i)
        yield from worst(f"gradient of {subject.name(i)}", g, w, allowance, note)


def outputs_agree(
    subject: Subject,
    dtype: str,
    got: Sequence[Any],
    wanted: Sequence[Any],
    noise: Iterable[float] | None = None,
    note: str = "",
) -> Iterator[Failure]:
    """One comparison for each output."""
    noise = [0.0] * len(wanted) if noise is None else noise
    for i, (g, w, noise_i) in enumerate(zip(got, wanted, noise, strict=True)):
        what = "output" if len(wanted) == 1 else f"output {i}"
        yield from worst(what, np.asarray(g), np.asarray(w), Allowance(dtype, subject.length, 0.0, noise_i), note)


def typical(subject: Subject) -> list[float]:
    """The largest entry of each true gradient at the given arguments."""
    return [largest(gradient) for gradient in subject.truth[1]]


def twin_noise(got: Sequence[Any], truth: Sequence[Any], factor: float = 4.0) -> list[float]:
    """How far off automatic differentiation is in a dtype, array by array: a rule may be `factor` times as far off."""
    return [factor * distance(g, t) for g, t in zip(got, truth, strict=True)]
