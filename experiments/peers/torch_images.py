"""Convolution and pooling in PyTorch, for channels last and any number of batch axes."""

import math

import torch
from jax import lax
from torch.nn import functional


def max_pool(x, window_shape, strides=None, padding="VALID"):
    def pool(rows, strides, pads):
        rows = functional.pad(rows, pads, value=-math.inf)
        return getattr(functional, f"max_pool{len(strides)}d")(rows, window_shape, strides)

    return _pooled(pool, x, window_shape, strides, padding)


def avg_pool(x, window_shape, strides=None, padding="VALID", count_include_pad=True):
    def pool(rows, strides, pads):
        mean = getattr(functional, f"avg_pool{len(strides)}d")
        total = mean(functional.pad(rows, pads), window_shape, strides)
        return (
            total
            if count_include_pad
            else total / mean(functional.pad(torch.ones_like(rows), pads), window_shape, strides)
        )

    return _pooled(pool, x, window_shape, strides, padding)


def global_avg_pool(x, spatial=2):
    return x.mean(tuple(range(-spatial - 1, -1)))


def conv(x, kernel, bias=None, window_strides=None, padding="SAME", lhs_dilation=None, rhs_dilation=None, **options):
    """The number of groups is told by the shapes."""
    axes, groups = kernel.ndim - 2, x.shape[-1] // kernel.shape[-2]
    strides, stretch, dilation = (given or (1,) * axes for given in (window_strides, lhs_dilation, rhs_dilation))
    rows = _stretched(_channels_first(x, axes), stretch)
    pads = _pads(rows, _reach(kernel, dilation), strides, padding)
    weight = kernel.movedim((-1, -2), (0, 1))
    function = getattr(functional, f"conv{axes}d")
    y = function(functional.pad(rows, pads), weight, bias, strides, dilation=dilation, groups=groups)
    return _channels_last(y, x, axes)


def conv_transpose(x, kernel, bias=None, strides=None, padding="SAME", rhs_dilation=None, transpose_kernel=False):
    """PyTorch's is the transpose of a convolution, which turns the kernel round; its result is cut or padded."""
    axes = kernel.ndim - 2
    strides, dilation = (given or (1,) * axes for given in (strides, rhs_dilation))
    weight = kernel.movedim((-1, -2), (0, 1)) if transpose_kernel else kernel.movedim((-2, -1), (0, 1))
    weight = weight if transpose_kernel else weight.flip(tuple(range(2, 2 + axes)))
    rows = _channels_first(x, axes)
    y = getattr(functional, f"conv_transpose{axes}d")(rows, weight, None, strides, dilation=dilation)
    reach = _reach(kernel, dilation)
    if isinstance(padding, str):
        padding = [_transposed_pads(*pair, padding) for pair in zip(reach, strides, strict=True)]
    pairs = [(low - r + 1, high - r + 1) for (low, high), r in zip(padding, reach, strict=True)]
    y = functional.pad(y, _flat(pairs))
    return _channels_last(y if bias is None else y + bias.reshape(-1, *(1,) * axes), x, axes)


def _transposed_pads(reach, stride, padding):
    """As `lax.conv_transpose` defines them."""
    if padding == "VALID":
        return reach - 1, max(reach, stride) - 1
    low = reach - 1 if stride > reach - 1 else math.ceil((reach + stride - 2) / 2)
    return low, reach + stride - 2 - low


def _pooled(pool, x, window_shape, strides, padding):
    axes, rows = len(window_shape), _channels_first(x, len(window_shape))
    strides = strides or (1,) * axes
    return _channels_last(pool(rows, strides, _pads(rows, window_shape, strides, padding)), x, axes)


def _channels_first(x, axes):
    return x.reshape(-1, *x.shape[x.ndim - axes - 1 :]).movedim(-1, 1)


def _channels_last(y, x, axes):
    """The batch axes of x again, and the channels last."""
    return y.movedim(1, -1).reshape(*x.shape[: x.ndim - axes - 1], *y.shape[2:], y.shape[1])


def _reach(kernel, dilation):
    return [(w - 1) * d + 1 for w, d in zip(kernel.shape[:-2], dilation, strict=True)]


def _pads(rows, window, strides, padding):
    """As `functional.pad` wants them: the last axis first."""
    pairs = lax.padtype_to_pads(rows.shape[2:], window, strides, padding) if isinstance(padding, str) else padding
    return _flat(pairs)


def _flat(pairs):
    return [number for pair in reversed(list(pairs)) for number in pair]


def _stretched(rows, stretch):
    """stretch − 1 zeros between neighbours."""
    for axis, factor in enumerate(stretch, start=2):
        size = (rows.shape[axis] - 1) * factor + 1
        spread = rows.new_zeros(*rows.shape[:axis], size, *rows.shape[axis + 1 :])
        spread[(slice(None),) * axis + (slice(None, None, factor),)] = rows
        rows = spread
    return rows
