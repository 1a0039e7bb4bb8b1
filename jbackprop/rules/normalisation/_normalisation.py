"""y = γ x̂ + β, x̂ = (x − μ) ρ, ρ = 1/√(σ² + ε): mean and variance over a set of n entries, channels last.

The rules differ in the set S over which μ = 1/n Σ_S x and σ² = 1/n Σ_S (x − μ)² are taken:

    layer_norm       the features of one position
    rms_norm         the same, with μ = 0
    group_norm       the space and a group of the channels, of one example
    instance_norm    the space, of one example and one channel
    batch_norm       everything but the channels; see `_batch_norm.py`

With dy = ∂C/∂y given, g = γ ⊙ dy = ∂C/∂x̂, and i, j in one set:

    ∂ρ/∂x_i = −ρ³ (x_i − μ) / n = −ρ² x̂_i / n       ∂x̂_j/∂x_i = ρ (1[i=j] − 1/n − x̂_i x̂_j / n)

    ∂C/∂x_i = Σ_j g_j ∂x̂_j/∂x_i                      dx = ρ (g − mean g − x̂ mean(g ⊙ x̂))
    rms_norm, where no mean is taken away            dx = ρ (g − x̂ mean(g ⊙ x̂))
    ∂C/∂γ_k = Σ dy x̂ over all of channel k           dγ = Σ dy ⊙ x̂
    ∂C/∂β_k = Σ dy                                   dβ = Σ dy
    ∂ρ/∂ε = −½ ρ³                                    dε = −½ Σ ρ² g ⊙ x̂

Kept: one array of x's size by the option `keep`, and μ and ρ, one number a set.

    "input"         x, which the layer before may keep too; x̂ is computed again, from μ and ρ
    "normalised"    x̂, in x's dtype
    "output"        y, which the layer after keeps as its input, so it costs nothing; x̂ = (y − β) / γ

"output" recovers x̂ with y's rounding error divided by γ, and where a scale is 0, x̂ is lost: a ValueError if the scale
is known, NaN in the gradients under `jit`, where it is not.

J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization", arXiv:1607.06450, 2016.
B. Zhang, R. Sennrich, "Root mean square layer normalization", NeurIPS, 2019.
Y. Wu, K. He, "Group normalization", ECCV, 2018.  D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance normalization: the
missing ingredient for fast stylization", arXiv:1607.08022, 2016.
S. Rota Bulò, L. Porzi, P. Kontschieder, "In-place activated BatchNorm for memory-optimized training of DNNs", CVPR,
2018 (keeping the output).
"""

from functools import partial

from jaxtyping import Array, Float

from jbackprop.rules._factors import Summed, totals
from jbackprop.rules._options import Scalar, of_numbers
from jbackprop.rules._pieces import in_two

from ._standardise import (
    Keep,
    by_epsilon,
    check_parameters,
    standardise,
    standardise_backward,
    standardise_factors,
    standardise_travel,
)


@partial(of_numbers, nondiff_argnames=("eps", "keep"))
def layer_norm(
    x: Float[Array, "*batch features"],
    scale: Float[Array, " features"] | None = None,
    offset: Float[Array, " features"] | None = None,
    eps: Scalar = 1e-5,
    keep: Keep = "input",
) -> Float[Array, "*batch features"]:
    """γ (x − μ) / √(σ² + ε) + β, mean and variance over the last axis.

    The rules of this family share their arguments.  ε is 1e-5 unless given, as in PyTorch; in Flax it is 1e-6.

    Args:
      x: inputs, features or channels last.
      scale: γ, or None for 1.
      offset: β, or None for 0.
      eps: ε, added to the variance.  It may be traced, and has its gradient.
      keep: what the backward pass is computed from: "input", "normalised" or "output"; the top of this file compares
        them.

    Returns:
      y in x's dtype; half precision is computed in float32.

    Raises:
      TypeError: an argument is not floating point.
      ValueError: shapes or options do not belong together, or a scale is 0 and its output is to be kept.
    """
    return _layer_norm_fwd(x, scale, offset, eps, keep)[0]


def _layer_norm_fwd(x, scale, offset, eps, keep):
    check_parameters("layer_norm", x, scale, offset, eps, keep, axes=1)
    y, _, kept = standardise(x, scale, offset, (-1,), eps, keep)
    return y, kept


def _layer_norm_bwd(eps, keep, kept, dy):
    return standardise_backward(kept, dy, (-1,), keep)


layer_norm.defvjp(_layer_norm_fwd, _layer_norm_bwd)
layer_norm.defnumbers(eps=by_epsilon)


def _layer_norm_travel(eps, keep, kept, dy):
    return standardise_travel(kept, dy, (-1,), keep)


def _layer_norm_factors(eps, keep, kept, dy):
    return standardise_factors(kept, dy, (-1,), keep)


in_two(layer_norm, _layer_norm_travel, _layer_norm_factors)


@partial(of_numbers, nondiff_argnames=("eps", "keep"))
def rms_norm(
    x: Float[Array, "*batch features"],
    scale: Float[Array, " features"] | None = None,
    offset: Float[Array, " features"] | None = None,
    eps: Scalar = 1e-5,
    keep: Keep = "input",
) -> Float[Array, "*batch features"]:
    """γ x / √(mean x² + ε) + β, the mean over the last axis; arguments as in `layer_norm`."""
    return _rms_norm_fwd(x, scale, offset, eps, keep)[0]


def _rms_norm_fwd(x, scale, offset, eps, keep):
    check_parameters("rms_norm", x, scale, offset, eps, keep, axes=1)
    y, _, kept = standardise(x, scale, offset, (-1,), eps, keep, centre=False)
    return y, kept


def _rms_norm_bwd(eps, keep, kept, dy):
    return standardise_backward(kept, dy, (-1,), keep, centre=False)


rms_norm.defvjp(_rms_norm_fwd, _rms_norm_bwd)
rms_norm.defnumbers(eps=by_epsilon)


def _rms_norm_travel(eps, keep, kept, dy):
    return standardise_travel(kept, dy, (-1,), keep, centre=False)


def _rms_norm_factors(eps, keep, kept, dy):
    return standardise_factors(kept, dy, (-1,), keep)


in_two(rms_norm, _rms_norm_travel, _rms_norm_factors)


@partial(of_numbers, nondiff_argnames=("groups", "spatial", "eps", "keep"))
def group_norm(
    x: Float[Array, "*batch_and_space channels"],
    scale: Float[Array, " channels"] | None = None,
    offset: Float[Array, " channels"] | None = None,
    groups: int = 32,
    spatial: int = 2,
    eps: Scalar = 1e-5,
    keep: Keep = "input",
) -> Float[Array, "*batch_and_space channels"]:
    """Layer normalisation over the space and a group of neighbouring channels; other arguments as in `layer_norm`.

    Args:
      groups: how many groups of equal size the channels form.
      spatial: how many axes before the channels are space; those before them are batch.
    """
    return _group_norm_fwd(x, scale, offset, groups, spatial, eps, keep)[0]


def _group_norm_fwd(x, scale, offset, groups, spatial, eps, keep):
    _check_spatial("group_norm", spatial)
    check_parameters("group_norm", x, scale, offset, eps, keep, axes=spatial + 1)
    _check_groups(x, groups)
    parts = [_grouped(groups, array) for array in (x, scale, offset)]
    y, _, kept = standardise(*parts, axes=_group_axes(spatial), eps=eps, keep=keep)
    return y.reshape(x.shape), kept._replace(scale=scale, offset=offset)


def _group_norm_bwd(groups, spatial, eps, keep, kept, dy):
    factors = _group_norm_factors(groups, spatial, eps, keep, kept, dy)
    dx, _ = _group_norm_travel(groups, spatial, eps, keep, kept, dy)
    return dx, *totals(factors, scale=kept.scale, offset=kept.offset)


group_norm.defvjp(_group_norm_fwd, _group_norm_bwd)
group_norm.defnumbers(
    eps=lambda given, kept, dy: by_epsilon(given, _in_groups(given["groups"], kept), _grouped(given["groups"], dy))
)


def _group_norm_travel(groups, spatial, eps, keep, kept, dy):
    dx, _ = standardise_travel(_in_groups(groups, kept), _grouped(groups, dy), _group_axes(spatial), keep)
    return dx.reshape(dy.shape), dy


def _group_norm_factors(groups, spatial, eps, keep, kept, dy):
    factors = standardise_factors(_in_groups(groups, kept), _grouped(groups, dy), _group_axes(spatial), keep)
    return {name: Summed(_ungrouped(factor.delta)) for name, factor in factors.items()}


in_two(group_norm, _group_norm_travel, _group_norm_factors)


def _in_groups(groups, kept):
    return kept._replace(scale=_grouped(groups, kept.scale), offset=_grouped(groups, kept.offset))


def _ungrouped(array):
    return array.reshape(*array.shape[:-2], array.shape[-2] * array.shape[-1])


def _grouped(groups, array):
    """Channels as (groups, channels of a group)."""
    return array if array is None else array.reshape(*array.shape[:-1], groups, array.shape[-1] // groups)


def _group_axes(spatial):
    """Of (*batch, *space, groups, channels of a group), the space and the last."""
    return (*_space_axes(spatial, 3), -1)


def _space_axes(spatial, end):
    return tuple(range(-end - spatial + 1, -end + 1))


@partial(of_numbers, nondiff_argnames=("spatial", "eps", "keep"))
def instance_norm(
    x: Float[Array, "*batch_and_space channels"],
    scale: Float[Array, " channels"] | None = None,
    offset: Float[Array, " channels"] | None = None,
    spatial: int = 2,
    eps: Scalar = 1e-5,
    keep: Keep = "input",
) -> Float[Array, "*batch_and_space channels"]:
    """Normalisation over the space, each example and channel alone; arguments as in `layer_norm` and `group_norm`."""
    return _instance_norm_fwd(x, scale, offset, spatial, eps, keep)[0]


def _instance_norm_fwd(x, scale, offset, spatial, eps, keep):
    _check_spatial("instance_norm", spatial)
    check_parameters("instance_norm", x, scale, offset, eps, keep, axes=spatial + 1)
    y, _, kept = standardise(x, scale, offset, _space_axes(spatial, 2), eps, keep)
    return y, kept


def _instance_norm_bwd(spatial, eps, keep, kept, dy):
    return standardise_backward(kept, dy, _space_axes(spatial, 2), keep)


instance_norm.defvjp(_instance_norm_fwd, _instance_norm_bwd)
instance_norm.defnumbers(eps=by_epsilon)


def _instance_norm_travel(spatial, eps, keep, kept, dy):
    return standardise_travel(kept, dy, _space_axes(spatial, 2), keep)


def _instance_norm_factors(spatial, eps, keep, kept, dy):
    return standardise_factors(kept, dy, _space_axes(spatial, 2), keep)


in_two(instance_norm, _instance_norm_travel, _instance_norm_factors)


def _check_groups(x, groups):
    channels = x.shape[-1]
    if groups < 1 or channels % groups:
        raise ValueError(f"group_norm: groups, wanted a divisor of {channels} (channels of x), got {groups}")


def _check_spatial(rule, spatial):
    if spatial < 0:
        raise ValueError(f"{rule}: spatial, wanted a number of axes, got {spatial}")
