"""The local derivatives of a convolution, one tap of the kernel at a time.

With the axes in the order batch, features, space, the image padded, and k running over the taps,

    y[n, o, p] = Σ_k Σ_i x[n, i, p·stride + k·dilation] w[o, i, k]

a tap is a product over features of a strided window with a small matrix, so its two derivatives are those of a matrix
product:

    ∂C/∂x[window k] += ∂C/∂y w[k]        ∂C/∂w[k] = ∂C/∂y · x[window k]
"""

import jax
import jax.numpy as jnp

from ._rules import Call
from ._windows import padded, taps, unpadded


def convolution_image(m: jax.Array, call: Call) -> jax.Array:
    m, x, w = _canonical(m, call)
    total = jnp.zeros_like(x)
    for tap, window in _taps(m, w, call):
        # n batch, g groups, o and i features of a group, ... space
        part = jnp.einsum("ngo...,goi->ngi...", _grouped(m, call), _kernel_groups(w[tap], call))
        total = total.at[window].add(part.reshape(*x.shape[:2], *m.shape[2:]))
    order = _inverse(call.params["dimension_numbers"].lhs_spec)
    return unpadded(total, _padding(call)).transpose(order)


def convolution_kernel(m: jax.Array, call: Call) -> jax.Array:
    m, x, w = _canonical(m, call)
    total = jnp.zeros_like(w)
    for tap, window in _taps(m, w, call):
        part = jnp.einsum("ngo...,ngi...->goi", _grouped(m, call), _grouped(x[window], call))
        total = total.at[tap].set(part.reshape(w.shape[:2]))
    return total.transpose(_inverse(call.params["dimension_numbers"].rhs_spec))


def _canonical(m, call):
    """Message, padded image and kernel with axes (batch, features, space), (out, in, space)."""
    if call.params["batch_group_count"] != 1:
        raise NotImplementedError(
            f"backpropagate: conv_general_dilated, wanted batch_group_count = 1, got {call.params['batch_group_count']}"
        )
    numbers = call.params["dimension_numbers"]
    image = padded(call.a.transpose(numbers.lhs_spec), _padding(call))
    return m.transpose(numbers.out_spec), image, call.b.transpose(numbers.rhs_spec)


def _padding(call):
    """Of each axis; lhs_dilation − 1 zeros go between pixels."""
    space = zip(call.params["padding"], call.params["lhs_dilation"], strict=True)
    return [(0, 0, 0), (0, 0, 0), *((low, high, d - 1) for (low, high), d in space)]


def _taps(m, w, call):
    """For each tap its index in w and the window of the padded image that it reads."""
    strides, dilations = call.params["window_strides"], call.params["rhs_dilation"]
    both = slice(None), slice(None)
    for tap, read in taps(w.shape[2:], m.shape[2:], strides, dilations):
        yield (*both, *tap), (*both, *read)


def _grouped(x, call):
    groups = call.params["feature_group_count"]
    return x.reshape(x.shape[0], groups, -1, *x.shape[2:])


def _kernel_groups(w, call):
    return w.reshape(call.params["feature_group_count"], -1, w.shape[1])


def _inverse(order):
    return tuple(order.index(axis) for axis in range(len(order)))
