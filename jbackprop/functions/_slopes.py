"""The slope of values along a line, by differences, and how far it may be off.

With the one-sided slopes S±(h) = (f(±h) − f(0)) / ±h:

    D(h) = (S⁺(h) + S⁻(h)) / 2              = f' + c h² + O(h⁴)              central difference
    (4 D(h/2) − D(h)) / 3                   = f' + O(h⁴)                     Richardson's extrapolation
    |D(h/2) − D(h)|                         tells how far from converged D is; a kink near 0 makes it large
    |2 (S⁺−S⁻)(h/2) − (S⁺−S⁻)(h)|           = O(h³); at a kink of slopes a and b in 0 itself it is |a − b|

The last two, and rounding, are doubts about the slope, and a right gradient may be off by them.

L. F. Richardson, "The approximate arithmetical solution by finite differences of physical problems involving
differential equations", Philosophical Transactions of the Royal Society A 210, 1911.
"""

import jax
import jax.numpy as jnp

_STEP = 1e-3
STEPS = (0, _STEP, -_STEP, _STEP / 2, -_STEP / 2)
"""Where `extrapolated` wants the values."""


def extrapolated(values: jax.Array, spacing: float) -> tuple[jax.Array, jax.Array]:
    """The slope at 0 and the doubt about it.

    Args:
      values: those of a function at all `STEPS`, an axis of them in front.
      spacing: the rounding of the numbers that the function computes with.
    """
    here, ahead, behind, half_ahead, half_behind = values
    forward, backward = (ahead - here) / _STEP, (here - behind) / _STEP
    half_forward, half_backward = (half_ahead - here) / (_STEP / 2), (here - half_behind) / (_STEP / 2)
    coarse, fine = (forward + backward) / 2, (half_forward + half_backward) / 2
    jump = jnp.abs(2 * (half_forward - half_backward) - (forward - backward))
    rounding = 8 * spacing * jnp.abs(here).max(initial=0) / _STEP
    return (4 * fine - coarse) / 3, jnp.abs(fine - coarse) + jump + rounding
