"""a = σ(z), entry by entry, where σ has pieces that meet at thresholds.

As for every function of single entries, δ = ∂C/∂a ⊙ σ'(z).

    σ              σ'                                                kept              at the kinks
    relu6          1 where 0 < a < 6, else 0                         a                 0
    hard_tanh      1 where −1 < a < 1, else 0                        a                 0
    hard_sigmoid   1/6 where −3 < z < 3, else 0                      −3 < z < 3        0
    hard_silu      0, (2z + 3)/6 or 1, the thresholds −3 and 3       z                 0 at −3, 1 at 3
    relu_squared   2 max(z, 0)                                       z                 smooth
    sparse_plus    0, √a or 1           (a = (z + 1)²/4 between)     a                 smooth
    sparse_sigmoid ½ where −1 < z < 1, else 0                        −1 < z < 1        0
    prelu          1 where z ≥ 0, else slope                         z, slope          1
                   ∂C/∂slope = Σ ∂C/∂a ⊙ min(z, 0), over all entries that share it

The output is kept where it tells the slope, since the next layer keeps it anyway.  hard_sigmoid and sparse_sigmoid
keep one byte an entry instead: in half precision their output rounds to 1 while z is still inside.  On a CPU the terms
of prelu's ∂C/∂slope are written before they are summed, an array of z's size that autodiff lays over another.

A. Krizhevsky, "Convolutional deep belief networks on CIFAR-10", 2010 (relu6).  R. Collobert, "Large scale machine
learning", PhD thesis, Université Paris 6, 2004 (hard_tanh).  M. Courbariaux, Y. Bengio, J.-P. David, "BinaryConnect",
NeurIPS, 2015 (hard_sigmoid).  A. Howard et al., "Searching for MobileNetV3", ICCV, 2019 (hard_silu).  D. R. So et al.,
"Primer: searching for efficient transformers for language modeling", NeurIPS, 2021 (relu_squared).  M. Blondel,
A. F. T. Martins, V. Niculae, "Learning with Fenchel–Young losses", JMLR 21, 2020 (sparse_plus, sparse_sigmoid).
K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers", ICCV, 2015 (prelu).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jbackprop.rules._arrays import beside, check_floating, cotangent, widen
from jbackprop.rules._factors import Summed, totals
from jbackprop.rules._pieces import in_two

from ._elementwise import define_derivative, the_input, the_output, wide, wide_of_real, wide_or_whole


def _between(z, low, high):
    """z clipped, and constant at the thresholds themselves: `jnp.clip` has half a slope there."""
    return jnp.where(z <= low, low, jnp.where(z >= high, high, z))


@jax.custom_vjp
def relu6(x: Num[Array, "*shape"]) -> Float[Array, "*shape"]:
    """min(max(z, 0), 6), as `jax.nn.relu6`."""
    return wide_of_real("relu6", lambda z: _between(z, 0, 6), x)


define_derivative(relu6, the_output, lambda da, a: jnp.where((a > 0) & (a < 6), da, 0))


@jax.custom_vjp
def hard_tanh(x: Num[Array, "*shape"]) -> Num[Array, "*shape"]:
    """min(max(z, −1), 1), as `jax.nn.hard_tanh`; the slope at ±1 is 0, not 1 as there."""
    return wide_or_whole("hard_tanh", lambda z: _between(z, -1, 1), x)


define_derivative(hard_tanh, the_output, lambda da, a: jnp.where((a > -1) & (a < 1), da, 0))


@jax.custom_vjp
def hard_sigmoid(x: Num[Array, "*shape"]) -> Float[Array, "*shape"]:
    """min(max(z + 3, 0), 6) / 6, as `jax.nn.hard_sigmoid`."""
    return wide_of_real("hard_sigmoid", _hard_sigmoid, x)


def _hard_sigmoid(z):
    return _between(z + 3, 0, 6) / 6


define_derivative(
    hard_sigmoid,
    lambda z, a: (z > -3) & (z < 3),
    lambda da, inside: jnp.where(inside, da / 6, 0),
)


@jax.custom_vjp
def hard_silu(x: Num[Array, "*shape"]) -> Float[Array, "*shape"]:
    """z · hard_sigmoid(z), also called hard swish, as `jax.nn.hard_silu`."""
    return wide_of_real("hard_silu", lambda z: z * _hard_sigmoid(z), x)


def _hard_silu_pull(da, z):
    return jnp.where(z >= 3, da, jnp.where(z > -3, da * (2 * z + 3) / 6, 0))


define_derivative(hard_silu, the_input, _hard_silu_pull)

hard_swish = hard_silu


@jax.custom_vjp
def relu_squared(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """max(z, 0)²."""
    return wide("relu_squared", lambda z: jnp.square(jnp.maximum(z, 0)), x)


define_derivative(relu_squared, the_input, lambda da, z: da * 2 * jnp.where(z > 0, z, 0))


@jax.custom_vjp
def sparse_plus(x: Num[Array, "*shape"]) -> Float[Array, "*shape"]:
    """0 up to −1, z from 1 on, and (z + 1)²/4 between, as `jax.nn.sparse_plus`."""
    return wide_of_real("sparse_plus", lambda z: jnp.where(z >= 1, z, jnp.square((jnp.clip(z, -1, 1) + 1) / 2)), x)


def _sparse_plus_pull(da, a):
    root = jnp.sqrt(jnp.where(a > 0, a, 1))  # the root's own derivative at 0 is infinite
    return da * jnp.where(a > 0, jnp.where(a < 1, root, 1), 0)


define_derivative(sparse_plus, the_output, _sparse_plus_pull)


@jax.custom_vjp
def sparse_sigmoid(x: Num[Array, "*shape"]) -> Float[Array, "*shape"]:
    """min(max(z + 1, 0), 2) / 2, the derivative of `sparse_plus`, as `jax.nn.sparse_sigmoid`.

    The slope at ±1 is 0, not ¼ as there.
    """
    return wide_of_real("sparse_sigmoid", lambda z: _between(z + 1, 0, 2) / 2, x)


define_derivative(
    sparse_sigmoid,
    lambda z, a: (z > -1) & (z < 1),
    lambda da, inside: jnp.where(inside, da / 2, 0),
)


@jax.custom_vjp
def prelu(
    x: Float[Array, "*batch channels"], slope: Float[Array, " channels"] | Float[Array, ""]
) -> Float[Array, "*batch channels"]:
    """z where z ≥ 0, else slope · z, the slope a parameter.

    Args:
      x: pre-activations, channels last; any shape if the slope is a scalar.
      slope: one number for all entries, or one for each channel.

    Raises:
      TypeError: an argument is not floating point.
      ValueError: the slope is neither a scalar nor one number for each channel.
    """
    return _prelu_fwd(x, slope)[0]


def _prelu_fwd(z, slope):
    check_floating("prelu", x=z, slope=slope)
    if slope.ndim > 0 and slope.shape != z.shape[-1:]:
        raise ValueError(f"prelu: slope, wanted shape () or {z.shape[-1:]} (x's channels), got {slope.shape}")
    wide = widen(z)
    a = jnp.where(z >= 0, wide, beside(slope, wide) * wide)
    return a.astype(jnp.result_type(z, slope)), (z, slope)


def _prelu_bwd(residuals, da):
    _, slope = residuals
    return _prelu_travel(residuals, da)[0], *totals(_prelu_factors(residuals, da), slope=slope)


prelu.defvjp(_prelu_fwd, _prelu_bwd)


def _prelu_travel(residuals, da):
    (z, slope), wide = residuals, widen(da)
    return cotangent(z, jnp.where(z >= 0, wide, beside(slope, wide) * wide)), da


def _prelu_factors(residuals, da):
    z, slope = residuals
    return {"slope": Summed(jnp.where(z >= 0, 0, widen(da) * widen(z)), slope.shape)}


in_two(prelu, _prelu_travel, _prelu_factors)
