"""What every normalisation shares: x̂ = (x − μ) ρ over some axes, y = γ x̂ + β, and their backward pass.

The derivation stands in `_normalisation.py`; n entries are standardised together, and g = γ ⊙ dy = ∂C/∂x̂:

    dx = ρ (g − mean g − x̂ mean(g ⊙ x̂))        dγ = Σ dy ⊙ x̂        dβ = Σ dy

γ is constant within a channel, so the sums of dy and of dy ⊙ x̂ over the entries of one channel in one set serve all
four.
"""

import math
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jbackprop.rules._arrays import beside, check_floating, computed_once, magnitude, over_square, widen
from jbackprop.rules._factors import Summed, totals
from jbackprop.rules._options import check_not_negative

Keep = Literal["input", "normalised", "output"]


class Kept(NamedTuple):
    """What the backward pass needs: x, x̂ or y, the statistics with their axes kept, and the parameters."""

    array: Array
    mean: Array | None
    rstd: Array
    scale: Array | None
    offset: Array | None


def standardise(x, scale, offset, axes, eps, keep, centre=True):
    """y, (μ, σ²) with their axes kept, and what is kept for the backward pass."""
    wide = widen(x)
    mean = computed_once(mean_over(wide, axes)) if centre else jnp.zeros((), wide.dtype)
    centred = wide - mean
    unit = _unit(centred, axes, eps)
    variance = mean_over(jnp.square(centred / unit), axes)
    rstd = computed_once(jax.lax.rsqrt(variance + over_square(eps, unit)) / unit)
    normalised = centred * rstd
    y = affine(normalised, scale, offset).astype(x.dtype)
    needed = mean if centre and keep == "input" else None
    kept = Kept(chosen(keep, x, normalised, y), needed, rstd, scale, offset)
    return y, (mean, variance * unit * unit), kept


def _unit(centred, axes, eps):
    """A power of 2 over which the squares of x − μ neither overflow nor vanish beside ε.

    That is a number for an ε as usual, of which it leaves 2⁻⁴⁸, enough for derivatives of ρ; for a smaller one it takes
    a look at every entry, which would be half the time of a forward pass.  So it does where ε is not known.
    """
    if isinstance(eps, jax.Array):
        return magnitude(centred, axes, least=jnp.sqrt(eps))
    if eps < 1e-10:
        return magnitude(centred, axes, least=math.sqrt(eps))
    return 2.0 ** round(24 + math.log2(eps) / 2)


def chosen(keep, x, normalised, y):
    """The one array of x's size and dtype that is kept."""
    return {"input": x, "normalised": normalised.astype(x.dtype), "output": y}[keep]


def standardise_backward(kept, dy, axes, keep, centre=True):
    """dx, dγ and dβ."""
    dparameters = totals(standardise_factors(kept, dy, axes, keep), scale=kept.scale, offset=kept.offset)
    return standardise_travel(kept, dy, axes, keep, centre)[0], *dparameters


def standardise_travel(kept, dy, axes, keep, centre=True):
    """dx, and δ = dy, which γ and β multiply and add up."""
    return wide_travel(kept, dy, axes, normalised_from(kept, keep), centre).astype(dy.dtype), dy


def standardise_factors(kept, dy, axes, keep):
    """What γ and β get: dy ⊙ x̂ and dy, summed over the set that each example standardises."""
    products, sums = _in_sets(dy, axes, normalised_from(kept, keep))
    return {"scale": Summed(products), "offset": Summed(sums)}


def wide_travel(kept, dy, axes, normalised, centre=True):
    """dx in float32 at least."""
    products, sums = _in_sets(dy, axes, normalised)
    n = max(math.prod(dy.shape[axis] for axis in axes), 1)

    def mean_of(part):
        return computed_once(scaled(part, kept.scale).sum(axes, keepdims=True) / n)

    return kept.rstd * (scaled(dy, kept.scale) - (mean_of(sums) if centre else 0) - normalised * mean_of(products))


def by_epsilon(given, kept, dy):
    """dε = −½ Σ ρ² g ⊙ x̂."""
    products = scaled(dy, kept.scale) * normalised_from(kept, given["keep"])
    rstd = beside(kept.rstd, products)
    return -0.5 * (rstd * (rstd * products)).sum()


def _in_sets(dy, axes, normalised):
    """The sums of dy ⊙ x̂ and of dy over the entries of one channel in one set, their axes kept."""
    own = tuple(axis for axis in axes if axis != -1)
    return tuple(part.sum(own, keepdims=True) for part in (widen(dy) * normalised, widen(dy)))


def scaled(dy, scale):
    """g = γ ⊙ dy."""
    return widen(dy) if scale is None else widen(dy) * beside(scale, widen(dy))


def normalised_from(kept, keep):
    """x̂ again, from whichever array was kept."""
    if keep == "input":
        x = widen(kept.array)
        centred = x if kept.mean is None else x - beside(kept.mean, x)
        return centred * beside(kept.rstd, x)
    return widen(kept.array) if keep == "normalised" else _invert_affine(kept.array, kept.scale, kept.offset)


def affine(normalised, scale, offset):
    """γ x̂ + β, in x̂'s dtype or wider."""
    y = normalised if scale is None else normalised * beside(scale, normalised)
    return y if offset is None else y + beside(offset, y)


def _invert_affine(y, scale, offset):
    """x̂ = (y − β) / γ, and NaN where γ is 0."""
    shifted = widen(y) if offset is None else widen(y) - beside(offset, widen(y))
    return shifted if scale is None else shifted / beside(jnp.where(scale == 0, jnp.nan, widen(scale)), shifted)


def mean_over(x, axes):
    """The mean with its axes kept; that of nothing is 0."""
    count = math.prod(x.shape[axis] for axis in axes)
    return x.sum(axes, keepdims=True) / max(count, 1)


def check_parameters(rule, x, scale, offset, eps, keep, axes):
    """Raises what the rules of this family say that they raise; `axes` is how many axes x needs."""
    parameters = {name: p for name, p in (("scale", scale), ("offset", offset)) if p is not None}
    check_floating(rule, x=x, **parameters)
    if jnp.ndim(x) < axes:
        raise ValueError(f"{rule}: x, wanted at least {axes} axes, got {jnp.shape(x)}")
    for name, parameter in parameters.items():
        if jnp.shape(parameter) != x.shape[-1:]:
            raise ValueError(f"{rule}: {name}, wanted shape {x.shape[-1:]} (channels of x), got {jnp.shape(parameter)}")
    check_not_negative(rule, eps=eps)
    _check_keep(rule, keep, scale)


def _check_keep(rule, keep, scale):
    if keep not in get_args(Keep):
        raise ValueError(f"{rule}: keep, wanted one of {', '.join(get_args(Keep))}, got {keep!r}")
    if keep != "output" or scale is None or isinstance(scale, jax.core.Tracer):
        return
    if not np.asarray(scale).all():
        raise ValueError(f"{rule}: scale, wanted no 0 where the output is kept (x̂ is lost there), got {scale}")
