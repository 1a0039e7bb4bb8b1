"""y = γ (x − μ) ρ + β, ρ = 1/√(σ² + ε), with the mean and variance of each channel over everything else.

In training μ and σ² are of the batch, so an example's output depends on the others.  With g = γ ⊙ dy and n the number
of entries of a channel, dx, dγ and dβ are those of `_normalisation.py`.  μ and σ² are outputs too, for running
averages; what depends on them adds to dx:

    ∂μ/∂x_i = 1/n        ∂σ²/∂x_i = 2 (x_i − μ) / n        dx += dμ/n + 2 dσ² x̂ / (n ρ)

In evaluation μ and σ² are given, and constants of x:

    y_i = γ (x_i − μ) ρ + β                          dx = ρ g
    ∂C/∂μ = Σ_i g_i (−ρ)                             dμ = −ρ Σ g
    ∂ρ/∂σ² = −½ ρ³                                   dσ² = −½ ρ² Σ g ⊙ x̂

Kept: as in `_normalisation.py`; x, x̂ or y by the option `keep`, and one number a channel for each statistic.  Where σ²
overflows, its own gradient is 0 unless x is kept.

S. Ioffe, C. Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate shift",
ICML, 2015.  S. Rota Bulò, L. Porzi, P. Kontschieder, "In-place activated BatchNorm for memory-optimized training of
DNNs", CVPR, 2018 (keeping the output).
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jbackprop.rules._arrays import beside, check_floating, cotangent, widen
from jbackprop.rules._factors import Mixed, Summed, totals
from jbackprop.rules._options import Scalar, of_numbers
from jbackprop.rules._pieces import in_two

from ._standardise import (
    Keep,
    Kept,
    affine,
    by_epsilon,
    check_parameters,
    chosen,
    mean_over,
    normalised_from,
    scaled,
    standardise,
    standardise_factors,
    wide_travel,
)


@partial(of_numbers, nondiff_argnames=("eps", "keep"))
def batch_norm(
    x: Float[Array, "*batch channels"],
    scale: Float[Array, " channels"] | None = None,
    offset: Float[Array, " channels"] | None = None,
    eps: Scalar = 1e-5,
    keep: Keep = "input",
) -> tuple[Float[Array, "*batch channels"], Float[Array, " channels"], Float[Array, " channels"]]:
    """y, the mean and the (biased) variance over all axes but the last; arguments as in `layer_norm`.

    The statistics are in float32 at least, for running averages, into which Flax takes this variance and PyTorch the
    unbiased one.  Those of an empty batch are 0.
    """
    return _batch_norm_fwd(x, scale, offset, eps, keep)[0]


def _batch_norm_fwd(x, scale, offset, eps, keep):
    check_parameters("batch_norm", x, scale, offset, eps, keep, axes=2)
    y, (mean, variance), kept = standardise(x, scale, offset, _batch_axes(x), eps, keep)
    return (y, mean.reshape(-1), variance.reshape(-1)), kept


def _batch_norm_bwd(eps, keep, kept, cotangents):
    factors = _batch_norm_factors(eps, keep, kept, cotangents[0])
    return _batch_norm_travel(eps, keep, kept, cotangents)[0], *totals(factors, scale=kept.scale, offset=kept.offset)


batch_norm.defvjp(_batch_norm_fwd, _batch_norm_bwd)
batch_norm.defnumbers(eps=lambda given, kept, cotangents: by_epsilon(given, kept, cotangents[0]))


def _batch_norm_travel(eps, keep, kept, cotangents):
    dy, dmean, dvariance = cotangents
    n = max(math.prod(dy.shape[:-1]), 1)
    through_y = wide_travel(kept, dy, _batch_axes(dy), normalised_from(kept, keep))
    dmean, dvariance = (beside(each, through_y) for each in (dmean, dvariance))
    dx = through_y + (dmean + 2 * dvariance * _centred(kept, keep)) / n
    return dx.astype(dy.dtype), dy


def _batch_norm_factors(eps, keep, kept, dy):
    factors = standardise_factors(kept, dy, _batch_axes(dy), keep)
    return {name: Mixed.of(factor) for name, factor in factors.items()}


in_two(batch_norm, _batch_norm_travel, _batch_norm_factors)


def _batch_axes(x):
    return tuple(range(x.ndim - 1))


def _centred(kept, keep):
    """x − μ, whose sum is 0 but for the rounding of μ; that counts where x is large, and is taken away.

    Where ρ is 0, 0 instead of 0/0.
    """
    if keep == "input":
        centred = widen(kept.array) - kept.mean
        return centred - mean_over(centred, _batch_axes(centred))
    return normalised_from(kept, keep) * jnp.where(kept.rstd == 0, 0, 1 / kept.rstd)


@partial(of_numbers, nondiff_argnames=("eps", "keep"))
def batch_norm_evaluation(
    x: Float[Array, "*batch channels"],
    mean: Float[Array, " channels"],
    variance: Float[Array, " channels"],
    scale: Float[Array, " channels"] | None = None,
    offset: Float[Array, " channels"] | None = None,
    eps: Scalar = 1e-5,
    keep: Keep = "input",
) -> Float[Array, "*batch channels"]:
    """y with statistics that are given; other arguments as in `layer_norm`.

    Args:
      mean: μ, of each channel.
      variance: σ², of each channel.
    """
    return _batch_norm_evaluation_fwd(x, mean, variance, scale, offset, eps, keep)[0]


def _batch_norm_evaluation_fwd(x, mean, variance, scale, offset, eps, keep):
    check_parameters("batch_norm_evaluation", x, scale, offset, eps, keep, axes=1)
    _check_statistics(x, mean=mean, variance=variance)
    rstd = jax.lax.rsqrt(widen(variance) + eps)
    wide = widen(x)
    normalised = (wide - beside(mean, wide)) * beside(rstd, wide)
    y = affine(normalised, scale, offset).astype(x.dtype)
    return y, (Kept(chosen(keep, x, normalised, y), mean, rstd, scale, offset), variance)


def _batch_norm_evaluation_bwd(eps, keep, residuals, dy):
    kept, variance = residuals
    factors = _batch_norm_evaluation_factors(eps, keep, residuals, dy)
    # γ and ρ are the same for all entries of a channel: what μ and σ² get follows from the sums for γ and β.
    by_product, by_sum = (scaled(factors[name].total(), kept.scale) for name in ("scale", "offset"))
    return (
        _batch_norm_evaluation_travel(eps, keep, residuals, dy)[0],
        cotangent(kept.mean, -kept.rstd * by_sum),
        cotangent(variance, -0.5 * jnp.square(kept.rstd) * by_product),
        *totals(factors, scale=kept.scale, offset=kept.offset),
    )


batch_norm_evaluation.defvjp(_batch_norm_evaluation_fwd, _batch_norm_evaluation_bwd)
batch_norm_evaluation.defnumbers(eps=lambda given, residuals, dy: by_epsilon(given, residuals[0], dy))


def _batch_norm_evaluation_travel(eps, keep, residuals, dy):
    kept, _ = residuals
    return _rescaled(kept, scaled(dy, kept.scale)).astype(dy.dtype), dy


def _batch_norm_evaluation_factors(eps, keep, residuals, dy):
    kept, _ = residuals
    products = widen(dy) * normalised_from(kept, keep)
    return {
        "mean": Summed(-_rescaled(kept, scaled(dy, kept.scale))),
        "variance": Summed(-0.5 * _rescaled(kept, _rescaled(kept, scaled(products, kept.scale)))),
        "scale": Summed(products),
        "offset": Summed(widen(dy)),
    }


def _rescaled(kept, array):
    """ρ of each channel times an array."""
    return beside(kept.rstd, array) * array


in_two(batch_norm_evaluation, _batch_norm_evaluation_travel, _batch_norm_evaluation_factors)


def _check_statistics(x, **statistics):
    check_floating("batch_norm_evaluation", **statistics)
    for name, statistic in statistics.items():
        if jnp.shape(statistic) != x.shape[-1:]:
            raise ValueError(
                f"batch_norm_evaluation: {name}, wanted shape {x.shape[-1:]} (channels of x), "
                f"got {jnp.shape(statistic)}"
            )
