"""Cases of convolution.  Its reference is written out; that of the transposed one is `lax.conv_transpose`."""

import itertools
from functools import partial

import jax.numpy as jnp
from jax import lax

from jbackprop import rules

from ._case import Case, float32, normal


def _stretched(x, axis, stretch):
    """stretch − 1 zeros between neighbours along an axis."""
    size = (x.shape[axis] - 1) * stretch + 1
    long = jnp.zeros((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype)
    return long.at[(slice(None),) * axis + (slice(None, None, stretch),)].set(x)


def _padded(x, window, strides, padding, stretch, dilation):
    first, axes = x.ndim - len(window) - 1, range(len(window))
    for axis in axes:
        x = _stretched(x, first + axis, stretch[axis])
    if isinstance(padding, str):
        reach = [(w - 1) * d + 1 for w, d in zip(window, dilation, strict=True)]
        padding = lax.padtype_to_pads(x.shape[first:-1], reach, strides, padding)
    return jnp.pad(x, [*[(0, 0)] * first, *padding, (0, 0)])


def _conv(
    x,
    kernel,
    bias=0,
    window_strides=(1, 1, 1),
    padding="SAME",
    lhs_dilation=(1, 1, 1),
    rhs_dilation=(1, 1, 1),
    feature_group_count=1,
):
    """Group by group, and in each a product for every entry of the window."""
    window = kernel.shape[:-2]
    strides, stretch, dilation = (each[: len(window)] for each in (window_strides, lhs_dilation, rhs_dilation))
    x = _padded(x, window, strides, padding, stretch, dilation)
    groups = jnp.split(x, feature_group_count, -1), jnp.split(kernel, feature_group_count, -1)
    y = [_one_group(image, weights, strides, dilation) for image, weights in zip(*groups, strict=True)]
    return jnp.concatenate(y, -1) + bias


def _one_group(x, kernel, strides, dilation):
    window, total = kernel.shape[:-2], 0
    space = x.shape[-len(window) - 1 : -1]
    for k in itertools.product(*map(range, window)):
        axes = zip(space, window, k, strides, dilation, strict=True)
        here = [slice(entry * d, size - (w - 1 - entry) * d, s) for size, w, entry, s, d in axes]
        total += jnp.einsum("...i,io->...o", x[(..., *here, slice(None))], kernel[k])  # i in, o out
    return total


def _conv_transpose(x, kernel, bias=0, strides=None, padding="SAME", **options):
    space = kernel.ndim - 2
    images = x.reshape(-1, *x.shape[x.ndim - space - 1 :])
    letters = "DHW"[:space]
    numbers = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    y = lax.conv_transpose(images, kernel, strides or (1,) * space, padding, dimension_numbers=numbers, **options)
    return y.reshape(*x.shape[: x.ndim - space - 1], *y.shape[1:]) + bias


def _depthwise(function):
    """Each channel in a group of its own."""
    return lambda x, *parameters, **options: function(x, *parameters, feature_group_count=x.shape[-1], **options)


def _case(name, shapes, at_scale=(), rule=rules.conv, reference=_conv, **options):
    draws, large = (tuple(normal(*shape) for shape in given) for given in (shapes, at_scale))
    return Case(name, partial(rule, **options), partial(reference, **options), draws, float32(*shapes), large)


_transposed = partial(_case, rule=rules.conv_transpose, reference=_conv_transpose)
_depthwise_case = partial(_case, rule=_depthwise(rules.conv), reference=_depthwise(_conv))
_IMAGES = (32, 32, 32, 64)

CONVOLUTION = (
    _case("conv", ((2, 7, 5, 3), (4, 2, 3, 6), (6,)), (_IMAGES, (3, 3, 64, 64), (64,))),
    _case(
        "conv, no batch axis, no bias, one space axis, stride",
        ((9, 3), (4, 3, 5)),
        ((512, 64), (5, 64, 64)),
        window_strides=(2,),
        padding=((1, 2),),
    ),
    _case(
        "conv, two batch axes, dilated inputs and windows",
        ((1, 2, 4, 5, 3), (2, 3, 3, 4), (4,)),
        window_strides=(1, 2),
        padding=((1, 0), (2, 1)),
        lhs_dilation=(2, 1),
        rhs_dilation=(1, 2),
    ),
    _case(
        "conv, groups",
        ((2, 5, 4, 6), (3, 2, 3, 4), (4,)),
        (_IMAGES, (3, 3, 32, 64), (64,)),
        padding="VALID",
        feature_group_count=2,
    ),
    _case(
        "conv, one entry, no bias, stride",
        ((2, 5, 4, 3), (1, 1, 3, 6)),
        (_IMAGES, (1, 1, 64, 128)),
        window_strides=(2, 3),
    ),
    _case(
        "conv, three space axes, no bias",
        ((2, 4, 3, 5, 2), (3, 2, 4, 2, 3)),
        ((4, 16, 16, 16, 16), (3, 3, 3, 16, 16)),
        window_strides=(1, 1, 2),
    ),
    _depthwise_case(
        "conv, depthwise, stride",
        ((2, 7, 5, 3), (4, 2, 1, 3), (3,)),
        (_IMAGES, (3, 3, 1, 64), (64,)),
        window_strides=(2, 1),
    ),
    _depthwise_case(
        "conv, depthwise, no batch axis, no bias, one space axis, dilated",
        ((9, 3), (4, 1, 3)),
        ((512, 64), (5, 1, 64)),
        rhs_dilation=(2,),
    ),
    _depthwise_case(
        "conv, depthwise, two batch axes, no bias, two outputs a channel",
        ((1, 2, 5, 4, 3), (3, 2, 1, 6)),
        ((4, 8, 32, 32, 64), (3, 3, 1, 128)),
    ),
    _transposed(
        "conv_transpose",
        ((2, 4, 5, 3), (3, 2, 3, 6), (6,)),
        ((32, 16, 16, 64), (4, 4, 64, 64), (64,)),
        strides=(2, 3),
    ),
    _transposed(
        "conv_transpose, no batch axis, no bias, one space axis, dilated",
        ((5, 3), (4, 3, 6)),
        ((512, 64), (5, 64, 64)),
        strides=(3,),
        padding="VALID",
        rhs_dilation=(2,),
    ),
    _transposed(
        "conv_transpose, two batch axes, kernel transposed",
        ((1, 2, 4, 5, 3), (3, 2, 6, 3), (6,)),
        strides=(1, 2),
        padding=((2, 1), (0, 1)),
        transpose_kernel=True,
    ),
    _transposed("conv_transpose, three space axes, no bias", ((2, 3, 1, 4, 3), (2, 3, 1, 3, 5)), strides=(2, 1, 3)),
)
