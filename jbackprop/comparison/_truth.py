"""What both sides are judged by: the other side in float64, and finite differences where its gradient is NaN.

An automatic gradient can be NaN where the function has a derivative, as that of √(x⁴) at 0: 0 · ∞.  Such an
entry is no truth.  There the slope of Σ u y along the entry is measured; u is the cotangent, y are the outputs.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop.functions import STEPS, Differentiable, as_float64, cast, extrapolated, is_real, precision, replaced

from ._device import on_device
from ._programs import whole_gradient

_MOST = 64
"""Of so many entries of an argument, at most, differences are taken."""
_TOLERANCE = 1e-9
"""What differences that look converged may be off by."""


class Slopes(NamedTuple):
    """Finite differences in the place of NaN.

    Attributes:
      nan: whether each entry of the automatic gradient is.
      entries: the flat numbers of those that differences were taken of.
      slopes: of these.
      doubts: how far each slope may be off.
    """

    nan: np.ndarray
    entries: np.ndarray
    slopes: np.ndarray
    doubts: np.ndarray


class Truth(NamedTuple):
    """Float64 values and gradients.

    Attributes:
      outputs: of the function.
      gradients: of each chosen argument, NaN among them.
      slopes: for each gradient what stands in the place of NaN, None where there is none.
    """

    outputs: list
    gradients: tuple
    slopes: tuple[Slopes | None, ...]

    def notes(self, names: Sequence[str], label: str) -> list[str]:
        """Where finite differences judge, in words."""
        found = zip(names, self.slopes, strict=True)
        return [_note(name, label, slopes) for name, slopes in found if slopes is not None]

    def gradient(self, i: int, got: Any) -> np.ndarray:
        """What one side's gradient is judged by: itself where nobody knows better, or it is no further off."""
        wanted, slopes = np.array(self.gradients[i]), self.slopes[i]
        if slopes is None:
            return wanted
        got = np.asarray(got).astype(wanted.dtype)
        wanted[slopes.nan] = got[slopes.nan]
        own = got.reshape(-1)[slopes.entries]
        known = np.isfinite(slopes.slopes) & ~(np.abs(own - slopes.slopes) <= slopes.doubts)
        wanted.reshape(-1)[slopes.entries[known]] = slopes.slopes[known]
        return wanted


def _note(name, label, slopes):
    count, taken = int(slopes.nan.sum()), len(slopes.entries)
    few = "" if taken == count else f" (the first {taken} of them)"
    return f"the {label} gradient ∂{name} is NaN at {count} of {slopes.nan.size} entries: finite differences judge{few}"


def true_values(problem_of: Callable[..., Differentiable], args: tuple, cotangents: Sequence) -> Truth:
    """The outputs and gradients in float64, on the CPU.

    Args:
      problem_of: (*args) -> the gradient taken apart; called anew, so that the function is traced with 64 bits.
      args: the arguments, of any dtype.
      cotangents: of the outputs, of any dtype.
    """
    cpu = jax.devices("cpu")[0]
    with precision("float64"), jax.default_device(cpu):
        args, cotangents = on_device(cast("float64", (args, list(cotangents))), cpu)
        problem = problem_of(*args)
        outputs, gradients = jax.jit(whole_gradient(problem))(problem.leaves, cotangents)
        slopes = tuple(_slopes(problem, cotangents, *one) for one in zip(problem.chosen, gradients, strict=True))
        return Truth(outputs, gradients, slopes)


def _slopes(problem, cotangents, position, gradient):
    nan = np.isnan(np.asarray(gradient))
    if not nan.any() or not all(map(is_real, (gradient, *cotangents))):
        return None
    entries = np.flatnonzero(nan)[:_MOST]
    slopes, doubts = jax.jit(_measured(problem, position))(problem.leaves, cotangents, entries)
    return Slopes(nan, entries, *as_float64((slopes, doubts)))


def _measured(problem, position):
    """(leaves, cotangents, entries) -> the slope of Σ u y along each entry of a leaf, and the doubt about it."""

    def measured(leaves, cotangents, entries):
        flat = leaves[position].reshape(-1)
        scales = jnp.maximum(1, jnp.abs(flat))

        def along(entry):
            def cost(step):
                moved = flat.at[entry].add(step * scales[entry]).reshape(leaves[position].shape)
                outputs = problem.primal(*replaced(leaves, [position], [moved]))
                return sum(jnp.vdot(u, y) for u, y in zip(cotangents, outputs, strict=True))

            slope, doubt = extrapolated(jax.lax.map(cost, jnp.array(STEPS)), float(jnp.finfo(flat.dtype).eps))
            return slope / scales[entry], (doubt + _TOLERANCE * jnp.abs(slope)) / scales[entry]

        return jax.lax.map(along, entries)

    return measured
