"""Two results side by side: at most one failure for each array, its worst entry."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ._report import Failure
from ._rounding import UNITS, Allowance, largest
from ._subject import Subject


def worst(
    what: str, dtype: str, got: np.ndarray, wanted: np.ndarray, allowance: Allowance, note: str = ""
) -> Iterator[Failure]:
    """The entry that is furthest off, if it is further off than rounding explains."""
    if got.shape != wanted.shape:
        yield Failure(what, dtype, None, f"shape {got.shape}", f"shape {wanted.shape}", note=note)
        return
    units = allowance.units(got, wanted)
    if units.size and units.max() > UNITS:
        entry = tuple(int(i) for i in np.unravel_index(units.argmax(), units.shape))
        yield Failure(what, dtype, entry, float(got[entry]), float(wanted[entry]), float(units[entry]), note)


def gradients_agree(
    subject: Subject,
    dtype: str,
    got: Sequence[Any],
    wanted: Sequence[Any],
    noise: Iterable[float] | None = None,
    note: str = "",
) -> Iterator[Failure]:
    """One comparison for each leaf that is differentiated, on the scale of its typical gradient.

    The noise is that at the given arguments, unless another is known.
    """
    noise = subject.noise(dtype)[1] if noise is None else noise
    for i, (g, w, noise_i) in enumerate(zip(got, wanted, noise, strict=True)):
        allowance = subject.allowance(dtype, typical(subject)[i], noise_i)
        yield from worst(f"gradient of {subject.name(i)}", dtype, g, w, allowance, note)


def outputs_agree(
    subject: Subject,
    dtype: str,
    got: Sequence[Any],
    wanted: Sequence[Any],
    noise: Iterable[float] | None = None,
    note: str = "",
) -> Iterator[Failure]:
    """One comparison for each output."""
    noise = subject.noise(dtype)[0] if noise is None else noise
    for i, (g, w, noise_i) in enumerate(zip(got, wanted, noise, strict=True)):
        what = "output" if len(wanted) == 1 else f"output {i}"
        allowance = subject.allowance(dtype, noise=noise_i)
        yield from worst(what, dtype, np.asarray(g), np.asarray(w), allowance, note)


def typical(subject: Subject) -> list[float]:
    """The largest entry of each true gradient at the given arguments."""
    return [largest(gradient) for gradient in subject.truth[1]]
