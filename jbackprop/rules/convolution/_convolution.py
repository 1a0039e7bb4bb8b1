"""y = x ∗ W + b, convolution as neural networks have it: the kernel is not turned round, channels last.

Along each spatial axis let X be x with t − 1 zeros between neighbours (lhs_dilation t) and padding around, `low` of it
before.  Windows are s apart, their entries d.  Channels fall in groups; i counts the input channels of one:

    y_po = Σ_k Σ_i X[p s + k d]_i W_kio + b_o                   X[q t + low] = x[q]

With δ = ∂C/∂y given, the three are one sum Σ X W δ, in which every factor has its turn to be what is differentiated:

    ∂C/∂x_qi  = Σ_{p, k: p s + k d = q t + low} Σ_o δ_po W_kio
    ∂C/∂W_kio = Σ_p X[p s + k d]_i δ_po                         dW = X correlated with δ, over the whole batch
    ∂C/∂b_o   = Σ_p δ_po                                        db = Σ_positions δ

The first is a convolution again, the transposed one.  With k' = K − 1 − k, and Δ = δ with s − 1 zeros between
neighbours and (K − 1) d − low of padding before, its condition says where in Δ to read:

    dx_q = Σ_k' Δ[q t + k' d] W'_k'        W' = W turned round, input and output channels exchanged

so stride and stretch change places, and transposing twice comes back.  `conv_transpose` is the case t > 1, s = 1.

Kept: the arguments x, W and b, and nothing else.  `_correlation.py` has the three maps.  By the library convolutions
of a GPU or TPU this takes the time of autodiff.  So it does on a CPU, or down to a sixth of it, for XLA's own gradient
of a kernel is ten times as slow on some as on others.  Three axes of space take a little longer there, in half the
scratch.

Y. LeCun et al., "Backpropagation applied to handwritten zip code recognition", Neural Computation 1, 1989.
V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285, 2016.
"""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jbackprop.rules._arrays import beside, check_floating, cotangent, given
from jbackprop.rules._factors import Factored, Product, Summed, factored, static, totals
from jbackprop.rules._pieces import in_two
from jbackprop.rules._windows import Padding, check_each_axis, windows_over

from ._correlation import correlate, correlate_all, correlate_each, patches_of, spread
from ._geometry import Geometry, stretched, turned_round


@partial(
    jax.custom_vjp,
    nondiff_argnames=("window_strides", "padding", "lhs_dilation", "rhs_dilation", "feature_group_count"),
)
def conv(
    x: Float[Array, "*batch_and_space n_in"],
    kernel: Float[Array, "*window n_in_of_group n_out"],
    bias: Float[Array, " n_out"] | None = None,
    window_strides: Sequence[int] | None = None,
    padding: Padding = "SAME",
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    feature_group_count: int = 1,
) -> Float[Array, "*batch_and_positions n_out"]:
    """Convolution over one to three spatial axes, its options as in `jax.lax.conv_general_dilated`.

    Unlike `jax.lax.conv` it has the channels last, and a bias.

    Args:
      x: inputs, any number of batch axes, then the spatial ones, channels last.
      kernel: one to three spatial axes, input channels of a group, output channels of all groups.
      bias: one number for each output channel, or None.
      window_strides: from one window to the next along each spatial axis; None for 1.
      padding: "SAME", "SAME_LOWER", "VALID" or a pair (low, high) for each spatial axis; zeros.
      lhs_dilation: from one input to the next, zeros between; None for 1.
      rhs_dilation: from one entry of a window to the next; None for 1.
      feature_group_count: into how many groups the channels fall, each convolved alone; as many as there are input
        channels for a depthwise convolution.

    Returns:
      y in the arguments' common dtype; half precision is accumulated in float32.

    Raises:
      TypeError: an argument is not floating point.
      ValueError: shapes or options do not belong together, or a window is larger than the padded input.
    """
    return _conv_fwd(x, kernel, bias, window_strides, padding, lhs_dilation, rhs_dilation, feature_group_count)[0]


def _conv_fwd(x, kernel, bias, window_strides, padding, lhs_dilation, rhs_dilation, feature_group_count):
    _check("conv", x, kernel, bias, feature_group_count)
    geometry = _geometry("conv", x, kernel, window_strides, padding, lhs_dilation, rhs_dilation, feature_group_count)
    return _biased(_convolved(x, kernel, geometry), x, kernel, bias), (x, kernel, bias)


def _conv_bwd(window_strides, padding, lhs_dilation, rhs_dilation, feature_group_count, residuals, delta):
    options = window_strides, padding, lhs_dilation, rhs_dilation, feature_group_count
    _, kernel, bias = residuals
    dx, _ = _conv_travel(*options, residuals, delta)
    return dx, *totals(_conv_factors(*options, residuals, delta), kernel=kernel, bias=bias)


conv.defvjp(_conv_fwd, _conv_bwd)


def _conv_travel(*options_and_residuals):
    *options, (x, kernel, _), delta = options_and_residuals
    return cotangent(x, _image_gradient(x, kernel, _geometry("conv", x, kernel, *options), delta)), delta


def _conv_factors(*options_and_residuals):
    *options, (x, kernel, _), delta = options_and_residuals
    return {"kernel": Correlated(x, delta, _geometry("conv", x, kernel, *options)), "bias": Summed(delta)}


in_two(conv, _conv_travel, _conv_factors)


@partial(jax.custom_vjp, nondiff_argnames=("strides", "padding", "rhs_dilation", "transpose_kernel"))
def conv_transpose(
    x: Float[Array, "*batch_and_space n_in"],
    kernel: Float[Array, "*window n_in n_out"],
    bias: Float[Array, " n_out"] | None = None,
    strides: Sequence[int] | None = None,
    padding: Padding = "SAME",
    rhs_dilation: Sequence[int] | None = None,
    transpose_kernel: bool = False,
) -> Float[Array, "*batch_and_positions n_out"]:
    """Transposed convolution, which makes x larger by the strides, its options as in `jax.lax.conv_transpose`.

    Unlike `jax.lax.conv_transpose` it always has the channels last, and it has a bias, third.

    Other arguments as in `conv`.

    Args:
      kernel: if transpose_kernel, output channels stand before input channels.
      strides: from one input to the next, zeros between, along each spatial axis; None for 1.
      padding: "SAME" for strides times x's size, "VALID" for all that windows reach, or a pair (low, high) of zeros
        around the stretched x for each spatial axis.
      transpose_kernel: turn the kernel round and exchange its channels, so that this is the gradient of `conv`.
    """
    return _conv_transpose_fwd(x, kernel, bias, strides, padding, rhs_dilation, transpose_kernel)[0]


def _conv_transpose_fwd(x, kernel, bias, strides, padding, rhs_dilation, transpose_kernel):
    _check("conv_transpose", x, kernel, bias, channels=(-1, -2) if transpose_kernel else (-2, -1))
    turned = turned_round(kernel) if transpose_kernel else kernel
    geometry = _transposing_geometry(x, turned, strides, padding, rhs_dilation)
    return _biased(_convolved(x, turned, geometry), x, kernel, bias), (x, kernel, bias)


def _conv_transpose_bwd(strides, padding, rhs_dilation, transpose_kernel, residuals, delta):
    options = strides, padding, rhs_dilation, transpose_kernel
    _, kernel, bias = residuals
    dx, _ = _conv_transpose_travel(*options, residuals, delta)
    return dx, *totals(_conv_transpose_factors(*options, residuals, delta), kernel=kernel, bias=bias)


conv_transpose.defvjp(_conv_transpose_fwd, _conv_transpose_bwd)


def _conv_transpose_travel(strides, padding, rhs_dilation, transpose_kernel, residuals, delta):
    x, kernel, _ = residuals
    turned = turned_round(kernel) if transpose_kernel else kernel
    geometry = _transposing_geometry(x, turned, strides, padding, rhs_dilation)
    return cotangent(x, _image_gradient(x, turned, geometry, delta)), delta


def _conv_transpose_factors(strides, padding, rhs_dilation, transpose_kernel, residuals, delta):
    x, kernel, _ = residuals
    turned = turned_round(kernel) if transpose_kernel else kernel
    geometry = _transposing_geometry(x, turned, strides, padding, rhs_dilation)
    return {"kernel": Correlated(x, delta, geometry, transpose_kernel), "bias": Summed(delta)}


in_two(conv_transpose, _conv_transpose_travel, _conv_transpose_factors)


@factored
class Correlated(Factored):
    """What a kernel gets: x correlated with δ.

    Attributes:
      x: inputs, (*examples, *space, n_in).
      delta: δ of the outputs, (*examples, *positions, n_out).
      geometry: how the windows lie.
      turned: whether the kernel itself was turned round.
    """

    x: jax.Array
    delta: jax.Array
    geometry: Geometry = static()
    turned: bool = static(default=False)

    def total(self) -> jax.Array:
        """dW over all examples, in float32 at least."""
        kernel = correlate_all(_images(self.x, self.geometry), _images(self.delta, self.geometry), self.geometry)
        return turned_round(kernel) if self.turned else kernel

    def per_example(self) -> jax.Array:
        """dW of each example, (examples, *window, n_in of a group, n_out)."""
        if self.x.ndim != len(self.geometry.window) + 2:  # an example is several images
            return super().per_example()
        kernels = correlate_each(self.x, self.delta, self.geometry)
        return jax.vmap(turned_round)(kernels) if self.turned else kernels

    def products(self) -> tuple[Product, ...] | None:
        """The patches and δ; None where channels fall in groups, or the kernel was turned round."""
        if self.turned or self.geometry.groups > 1:
            return None
        patches = patches_of(_images(self.x, self.geometry), self.geometry)
        leading = self.x.shape[: self.x.ndim - len(self.geometry.window) - 1]
        return (Product(patches.reshape(*leading, *patches.shape[1:]), self.delta),)


def _convolved(x, kernel, geometry):
    images = _images(x, geometry)
    y = correlate(images, kernel, geometry)
    return y.reshape(*x.shape[: x.ndim - images.ndim + 1], *y.shape[1:])


def _image_gradient(x, kernel, geometry, delta):
    """dx: δ, spread over the windows by the kernel."""
    return spread(_images(delta, geometry), kernel, geometry, x.shape[x.ndim - kernel.ndim + 1 : -1]).reshape(x.shape)


def _images(x, geometry):
    """All batch axes as one."""
    each = x.shape[x.ndim - len(geometry.window) - 1 :]
    return x.reshape(math.prod(x.shape[: x.ndim - len(each)]), *each)


def _biased(y, x, kernel, bias):
    dtype = jnp.result_type(*given(x=x, kernel=kernel, bias=bias).values())
    return (y if bias is None else y + beside(bias, y)).astype(dtype)


def _geometry(rule, x, kernel, strides, padding, stretch, dilation, groups):
    window, axes = kernel.shape[:-2], kernel.ndim - 2
    stretch = _numbers(rule, "lhs_dilation", stretch, axes)
    if isinstance(padding, str) and max(stretch) > 1:
        raise ValueError(f"{rule}: padding, wanted pairs (low, high) where lhs_dilation is not 1, got {padding!r}")
    space = [stretched(*pair) for pair in zip(x.shape[-axes - 1 : -1], stretch, strict=True)]
    names = ("kernel", "window_strides", "rhs_dilation")
    along = windows_over(rule, (*space, x.shape[-1]), window, strides, dilation, padding, names)
    numbers = [(each.stride, (each.low, each.high), each.dilation) for each in along]
    strides, pads, dilation = zip(*numbers, strict=True)
    return Geometry(window, strides, pads, stretch, dilation, groups)


def _transposing_geometry(x, kernel, strides, padding, dilation):
    axes = kernel.ndim - 2
    strides = _numbers("conv_transpose", "strides", strides, axes)
    dilation = _numbers("conv_transpose", "rhs_dilation", dilation, axes)
    if isinstance(padding, str):
        each = zip(kernel.shape[:-2], strides, dilation, strict=True)
        padding = [_transposing_padding(padding, (w - 1) * d + 1, s) for w, s, d in each]
    return _geometry("conv_transpose", x, kernel, None, padding, strides, dilation, 1)


def _transposing_padding(padding, reach, stride):
    """As `lax.conv_transpose` has it: "SAME" makes an axis of n entries n · stride long, "VALID" keeps all it can."""
    if padding.upper() == "VALID":
        return reach - 1, max(reach, stride) - 1
    if padding.upper() != "SAME":
        raise ValueError(f"conv_transpose: padding, wanted SAME, VALID or pairs (low, high), got {padding!r}")
    both = reach + stride - 2
    low = reach - 1 if stride > reach - 1 else both - both // 2
    return low, both - low


def _numbers(rule, name, given, axes):
    check_each_axis(rule, name, given)
    given = (1,) * axes if given is None else tuple(given)
    if len(given) != axes or min(given) < 1:
        raise ValueError(f"{rule}: {name}, wanted {axes} positive numbers (spatial axes), got {given}")
    return given


def _check(rule, x, kernel, bias, groups=1, channels=(-2, -1)):
    check_floating(rule, x=x, kernel=kernel, **given(bias=bias))
    if not 3 <= kernel.ndim <= 5:
        raise ValueError(f"{rule}: kernel, wanted one to three spatial axes and two of channels, got {kernel.shape}")
    if x.ndim < kernel.ndim - 1:
        raise ValueError(f"{rule}: x, wanted {kernel.ndim - 2} spatial axes (as kernel) and channels, got {x.shape}")
    n_in, n_out = (kernel.shape[axis] for axis in channels)
    if groups < 1 or n_out % groups:
        raise ValueError(f"{rule}: feature_group_count, wanted a divisor of {n_out} (outputs of kernel), got {groups}")
    if x.shape[-1] != n_in * groups:
        raise ValueError(f"{rule}: x, wanted {n_in * groups} channels (groups times inputs of kernel), got {x.shape}")
    if bias is not None and bias.shape != (n_out,):
        raise ValueError(f"{rule}: bias, wanted shape ({n_out},) (outputs of kernel), got {bias.shape}")
