"""y = σ(g) ⊙ v: one half of the features, through an activation, opens the other.

With the cotangent dy = ∂C/∂y, entry by entry,

    ∂C/∂g = dy ⊙ v ⊙ σ'(g)        ∂C/∂v = dy ⊙ σ(g)

    σ of    glu: s(g)        σ' = s (1 − s),  s = sigmoid(g)
            swiglu: g s(g)   σ' = s + g s (1 − s)
            geglu: gelu(g)   σ' as in gelu
            reglu: max(g, 0) σ' = 1 where g > 0, else 0

Kept: the two inputs, and nothing else; σ(g) is computed again, which costs less than to write and read it.

glu takes both halves in one array, as `jax.nn.glu` does; the others take the gate and the value apart, or in one array
too: no layer has to join what two products made, or copy what one made.  In one array their gradients are written by
one program, and not by one each and a third that joins them.

Y. N. Dauphin, A. Fan, M. Auli, D. Grangier, "Language modeling with gated convolutional networks", ICML, 2017 (glu).
N. Shazeer, "GLU variants improve transformer", arXiv:2002.05202, 2020.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._arrays import check_floating, check_same_shape, cotangent, given, widen
from ._scalars import gelu_slope, gelu_value, relu_value, silu_slope, silu_value


@partial(jax.custom_vjp, nondiff_argnames=("axis",))
def glu(x: Float[Array, "..."], axis: int = -1) -> Float[Array, "..."]:
    """The first half along an axis times the sigmoid of the second, as `jax.nn.glu`.

    Raises:
      TypeError: x is not floating point.
      ValueError: x has no such axis, or an odd number of entries along it.
    """
    return _glu_fwd(x, axis)[0]


def _glu_fwd(x, axis):
    check_floating("glu", x=x)
    if not -x.ndim <= axis < x.ndim or x.shape[axis] % 2:
        raise ValueError(f"glu: x, wanted an even number of entries along axis {axis}, got shape {x.shape}")
    value, gate = jnp.split(widen(x), 2, axis)
    return (value * jax.lax.logistic(gate)).astype(x.dtype), x


def _glu_bwd(axis, x, dy):
    value, gate = jnp.split(widen(x), 2, axis)
    s, dy = jax.lax.logistic(gate), widen(dy)
    return (_joined(dy * s, dy * value * s * (1 - s), axis, x),)


glu.defvjp(_glu_fwd, _glu_bwd)


def _joined(first, second, axis, like):
    """An array from its halves.

    On an accelerator each entry is chosen from both: one program, where a concatenation takes three.  XLA on a CPU
    takes three either way, and would write the array once for each use of it.
    """
    if jax.default_backend() == "cpu":
        return jnp.concatenate([first, second], axis).astype(like.dtype)
    axis %= like.ndim
    half = jax.lax.broadcasted_iota(jnp.int32, (2, *[1] * (like.ndim - axis)), 0)
    both = jnp.where(half == 0, jnp.expand_dims(first, axis), jnp.expand_dims(second, axis))
    return both.reshape(like.shape).astype(like.dtype)


def _define_gate(rule: jax.custom_vjp, slope: Callable, sigma: Callable) -> None:
    """Gives y = σ(g) ⊙ v its backward pass from σ and σ', functions of (g, *options)."""

    def fwd(gate, value, *options):
        return rule.fun(gate, value, *options), (gate, value)

    def bwd(*arguments):
        *options, (gate, value), dy = arguments
        if value is None:
            (g, v), dy = jnp.split(widen(gate), 2, -1), widen(dy)
            return _joined(dy * v * slope(g, *options), dy * sigma(g, *options), -1, gate), None
        g, dy = widen(gate), widen(dy)
        dgate = dy * widen(value) * slope(g, *options)
        return cotangent(gate, dgate), cotangent(value, dy * sigma(g, *options))

    rule.defvjp(fwd, bwd)


def _gated(name, sigma, gate, value):
    """σ(g) ⊙ v computed in float32 at least and rounded once."""
    check_floating(name, gate=gate, **given(value=value))
    if value is not None:
        check_same_shape(name, gate=gate, value=value)
        return (sigma(widen(gate)) * widen(value)).astype(jnp.result_type(gate, value))
    if not gate.ndim or gate.shape[-1] % 2:
        raise ValueError(f"{name}: gate, wanted an even number of features without a value, got shape {gate.shape}")
    g, v = jnp.split(widen(gate), 2, -1)
    return (sigma(g) * v).astype(gate.dtype)


@jax.custom_vjp
def swiglu(gate: Float[Array, "..."], value: Float[Array, "..."] | None = None) -> Float[Array, "..."]:
    """silu(gate) · value.

    Args:
      gate: g; without a value, gates and values behind one another along the last axis, as one product forms them,
        whose gradient then is one array too.
      value: v, in the gate's shape, or None.

    Raises:
      TypeError: an argument is not floating point.
      ValueError: the shapes differ, or without a value the number of features is odd.
    """
    return _gated("swiglu", silu_value, gate, value)


_define_gate(swiglu, silu_slope, silu_value)


@partial(jax.custom_vjp, nondiff_argnames=("approximate",))
def geglu(
    gate: Float[Array, "..."], value: Float[Array, "..."] | None = None, approximate: bool = True
) -> Float[Array, "..."]:
    """gelu(gate) · value, exact or by tanh as `gelu`; arguments and errors as `swiglu`."""
    return _gated("geglu", partial(gelu_value, approximate=approximate), gate, value)


_define_gate(geglu, gelu_slope, gelu_value)


@jax.custom_vjp
def reglu(gate: Float[Array, "..."], value: Float[Array, "..."] | None = None) -> Float[Array, "..."]:
    """max(gate, 0) · value; arguments and errors as `swiglu`."""
    return _gated("reglu", relu_value, gate, value)


_define_gate(reglu, lambda g: jnp.where(g > 0, 1, 0), relu_value)
