"""How far apart two arrays are, in units of rounding.

One unit is ε s √n: the spacing ε of the dtype's numbers at 1, times the scale s of the array, times the square root of
the longest sum n, which is how rounding errors add up when their signs are random.  The scale is the largest entry that
the array has or typically has, since a sum of large terms may come out small and keeps its terms' rounding.

Where the function is badly conditioned, no result is that close, and what its conditioning explains is allowed as well
(`noise`): the error of automatic differentiation in the same dtype, since a rule need not be better than what it
replaces, and what the true result changes by when the arguments do by a rounding.  Both are told from float64; for a
function of random numbers, which is another one there, from the results close by.

N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, SIAM, 2002, chapters 3 and 4.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

UNITS = 4.0
"""How many units of rounding a right result may be off."""

FLOAT64_SHARE = 2.0**-29
"""Float64's rounding as a share of float32's: what autodiff gets wrong in float64 is told from its error in float32."""


@dataclasses.dataclass(frozen=True)
class Allowance:
    """What an entry may be off.

    Attributes:
      dtype: in which the result was computed.
      length: n, the longest sum in it.
      scale: s at least; the array's own largest entry may be larger.
      noise: an absolute error that is allowed besides.
      tolerance: a share of s that is allowed besides.
    """

    dtype: str
    length: int
    scale: float = 0.0
    noise: float | np.ndarray = 0.0
    tolerance: float = 0.0

    def unit(self, wanted: np.ndarray) -> float:
        """One unit of rounding for an array that should be `wanted`."""
        return float(jnp.finfo(self.dtype).eps) * self._scale_of(wanted) * np.sqrt(self.length)

    def units(self, got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """The error of each entry in units, beyond noise and tolerance.

        NaN in got is infinitely wrong, in wanted no opinion.
        """
        errors, allowed = absolute_errors(got, wanted), self.noise + self.tolerance * self._scale_of(wanted)
        with np.errstate(over="ignore", invalid="ignore"):
            units = np.where(np.isinf(errors), np.inf, np.maximum(errors - allowed, 0) / self.unit(wanted))
        return np.where(np.isfinite(wanted) & np.isfinite(self.noise), units, 0)

    def _scale_of(self, wanted):
        info = jnp.finfo(self.dtype)
        return max(self.scale, largest(wanted), float(info.tiny) / float(info.eps))


class Distance(NamedTuple):
    """How far an array lies from the truth.

    Both are absolute where the truth is zero, and infinite where an entry of one alone is not finite.

    Attributes:
      roundings: the largest error of an entry, in its dtype's ε times the largest entry of the truth.
      relative: ‖error‖ / ‖truth‖.
    """

    roundings: float
    relative: float


def distance_to_truth(got: Any, truth: Any) -> Distance:
    """How far an array lies from the truth, in roundings of its own dtype and relative."""
    eps, wide = float(jnp.finfo(got.dtype).eps), np.complex128 if jnp.iscomplexobj(got) else np.float64
    got, truth = (np.asarray(array).astype(wide) for array in (got, truth))
    missed, size = absolute_errors(got, truth), np.abs(np.where(np.isfinite(truth), truth, 0))
    roundings = missed.max(initial=0) / (eps * (largest(size) or 1.0))
    return Distance(float(roundings), float(np.linalg.norm(missed) / (np.linalg.norm(size) or 1.0)))


def absolute_errors(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """|got − wanted| of each entry: 0 where they are equal or both NaN, infinite where one alone is not finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(got - wanted)
    same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    return np.where(same, 0, np.where(np.isnan(apart), np.inf, apart))


def largest(array: np.ndarray) -> float:
    """The largest finite absolute value, 0 if there is none."""
    return float(np.max(np.abs(array), where=np.isfinite(array), initial=0))


def noise_of(
    got: Sequence[Any], truths: Sequence[Sequence[Any]], moved: Sequence[Sequence[Any]] = (), factor: float = 4.0
) -> list[float]:
    """What conditioning explains, array by array: `factor` times the larger of two errors.

    Args:
      got: the arrays by automatic differentiation in a dtype.
      truths: the true ones; of several that may be, the farthest counts.
      moved: the true ones where the arguments are `shaken`, by one rounding and by two, if at all.  What is no farther
        at two than at one is a jump, and has nothing to do with rounding.
      factor: see above.
    """
    errors = [max(largest(absolute_errors(g, t)) for t in true) for g, *true in zip(got, *truths, strict=True)]
    if moved:
        errors = list(map(max, errors, map(_movement, truths[0], *moved)))
    return [factor * error for error in errors]


def _movement(here, once, twice):
    one, two = absolute_errors(once, here), absolute_errors(twice, here)
    return largest(np.where(two >= 1.5 * one, one, 0))


def shaken(arrays: Sequence[Any], dtype: str, rng: np.random.Generator) -> list[tuple[Any, ...]]:
    """Float64 arrays with each number larger or smaller by a rounding of the dtype, as chance has it, and by two."""
    eps = float(jnp.finfo(dtype).eps)
    signs = [rng.choice((-eps, eps), size=np.shape(array)) for array in arrays]
    return [
        tuple(a * (1 + roundings * s) if a.dtype == np.float64 else a for a, s in zip(arrays, signs, strict=True))
        for roundings in (1, 2)
    ]


def neighbours(arrays: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The arrays with all floating point numbers a few roundings larger or smaller; zeros and ties stay what they are.

    What a function's results change by is its rounding, told without a second implementation.
    """
    return [tuple(_grown(array, roundings) for array in arrays) for roundings in (-2, -1, 1, 2)]


def _grown(array, roundings):
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return array
    exact = np.asarray(array, np.float64)
    return (exact * (1 + roundings * float(jnp.finfo(array.dtype).eps))).astype(array.dtype)
