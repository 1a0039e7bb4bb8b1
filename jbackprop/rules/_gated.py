"""y = σ(g) ⊙ v: one half of the features, through an activation, opens the other.

With the cotangent dy = ∂C/∂y, entry by entry,

    ∂C/∂g = dy ⊙ v ⊙ σ'(g)        ∂C/∂v = dy ⊙ σ(g)

    σ of    glu: s(g)        σ' = s (1 − s),  s = sigmoid(g)
            swiglu: g s(g)   σ' = s + g s (1 − s)
            geglu: gelu(g)   σ' as in gelu
            reglu: max(g, 0) σ' = 1 where g > 0, else 0

Kept: the two inputs, and nothing else; σ(g) is computed again, which costs less than to write and read it.

glu takes both halves in one array, as `jax.nn.glu` does; the others take the gate and the value apart, so that no
layer has to join what two products made, or copy what one made.

Y. N. Dauphin, A. Fan, M. Auli, D. Grangier, "Language modeling with gated convolutional networks", ICML, 2017 (glu).
N. Shazeer, "GLU variants improve transformer", arXiv:2002.05202, 2020.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._arrays import check_floating, check_same_shape, cotangent, widen
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
    return (jnp.concatenate([dy * s, dy * value * s * (1 - s)], axis).astype(x.dtype),)


glu.defvjp(_glu_fwd, _glu_bwd)


def _define_gate(rule: jax.custom_vjp, slope: Callable, sigma: Callable) -> None:
    """Gives y = σ(g) ⊙ v its backward pass from σ and σ', functions of (g, *options)."""

    def fwd(gate, value, *options):
        return rule.fun(gate, value, *options), (gate, value)

    def bwd(*arguments):
        *options, (gate, value), dy = arguments
        g, dy = widen(gate), widen(dy)
        dgate = dy * widen(value) * slope(g, *options)
        return cotangent(gate, dgate), cotangent(value, dy * sigma(g, *options))

    rule.defvjp(fwd, bwd)


def _gated(name, sigma, gate, value):
    """σ(g) ⊙ v computed in float32 at least and rounded once."""
    check_floating(name, gate=gate, value=value)
    check_same_shape(name, gate=gate, value=value)
    return (sigma(widen(gate)) * widen(value)).astype(jnp.result_type(gate, value))


@jax.custom_vjp
def swiglu(gate: Float[Array, "*shape"], value: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """silu(gate) · value; TypeError unless both are floating point, ValueError unless of one shape."""
    return _gated("swiglu", silu_value, gate, value)


_define_gate(swiglu, silu_slope, silu_value)


@partial(jax.custom_vjp, nondiff_argnames=("approximate",))
def geglu(
    gate: Float[Array, "*shape"], value: Float[Array, "*shape"], approximate: bool = True
) -> Float[Array, "*shape"]:
    """gelu(gate) · value, exact or by tanh as `gelu`; errors as `swiglu`."""
    return _gated("geglu", partial(gelu_value, approximate=approximate), gate, value)


_define_gate(geglu, gelu_slope, gelu_value)


@jax.custom_vjp
def reglu(gate: Float[Array, "*shape"], value: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """max(gate, 0) · value; errors as `swiglu`."""
    return _gated("reglu", relu_value, gate, value)


_define_gate(reglu, lambda g: jnp.where(g > 0, 1, 0), relu_value)
