"""a = σ(z), entry by entry, σ smooth: the less common ones.

As for every function of single entries, δ = ∂C/∂a ⊙ σ'(z).

    σ            σ'                                                                 kept
    celu         1 where a > 0, else 1 + a/α             (e^{z/α} = 1 + a/α)        a       1 at 0, as on both sides
    log_sigmoid  sigmoid(−z)                                                        z
    soft_sign    (1 − |a|)²                              (1 − |a| = 1/(1 + |z|))    a
    squareplus   a² / (a² + b/4)                         (a² − z a = b/4)           a
    mish         t + z s (1 − t²)                        t = tanh log(1 + eᶻ)       z

The tanh of mish is a ratio of polynomials in s = sigmoid(z) and q = sigmoid(−z), in which nothing cancels or overflows:

    t = (w² − 1) / (w² + 1), w = 1 + eᶻ = 1/q      t = (1 − q²) / (1 + q²) = s (1 + q) / (1 + q²)
                                                   1 − t² = (2q / (1 + q²))²

J. T. Barron, "Continuously differentiable exponential linear units", arXiv:1704.07483, 2017 (celu).
J. Turian, J. Bergstra, Y. Bengio, "Quadratic features and deep architectures for chunking", NAACL, 2009 (soft_sign).
J. T. Barron, "Squareplus: a softplus-like algebraic rectifier", arXiv:2112.11687, 2021.
D. Misra, "Mish: a self regularized non-monotonic activation function", BMVC, 2020.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jbackprop.rules._options import Scalar, check_positive, of_numbers
from jbackprop.rules._scalars import sigmoid_value, softplus_value

from ._elementwise import define_derivative, define_slopes, the_input, the_output, wide_of_real


@partial(of_numbers, nondiff_argnames=("alpha",))
def celu(x: Num[Array, "*shape"], alpha: Scalar = 1.0) -> Float[Array, "*shape"]:
    """z where z > 0, else α (e^{z/α} − 1), as `jax.nn.celu`; ValueError unless α > 0."""
    check_positive("celu", alpha=alpha)
    return wide_of_real("celu", partial(_celu, alpha=alpha), x)


def _celu(z, alpha):
    negative = jnp.where(z > 0, 0, z)  # expm1 must not overflow in the branch that is not taken
    return jnp.where(z > 0, z, alpha * jnp.expm1(negative / alpha))


define_derivative(celu, the_output, lambda da, a, alpha: jnp.where(a > 0, da, da * (1 + a / alpha)))


def _celu_slope(z, alpha):
    u = jnp.clip(z / alpha, -_SURE, 0)
    return jnp.expm1(u) - u * jnp.exp(u)


_SURE = 1e3
"""e^{−u} is 0."""

define_slopes(celu, alpha=_celu_slope)


@jax.custom_vjp
def log_sigmoid(x: Num[Array, "*shape"]) -> Float[Array, "*shape"]:
    """−log(1 + e⁻ᶻ), as `jax.nn.log_sigmoid`."""
    return wide_of_real("log_sigmoid", lambda z: -softplus_value(-z), x)


define_derivative(log_sigmoid, the_input, lambda da, z: da * sigmoid_value(-z))


@jax.custom_vjp
def soft_sign(x: Num[Array, "*shape"]) -> Float[Array, "*shape"]:
    """z / (1 + |z|), as `jax.nn.soft_sign`."""
    return wide_of_real("soft_sign", lambda z: z / (1 + jnp.abs(z)), x)


define_derivative(soft_sign, the_output, lambda da, a: da * jnp.square(1 - jnp.abs(a)))


@partial(of_numbers, nondiff_argnames=("b",))
def squareplus(x: Num[Array, "*shape"], b: Scalar = 4.0) -> Float[Array, "*shape"]:
    """(z + √(z² + b)) / 2, as `jax.nn.squareplus`; ValueError unless b > 0 (for b = 0 it is `relu`)."""
    check_positive("squareplus", b=b)
    return wide_of_real("squareplus", partial(_squareplus, b=b), x)


def _squareplus(z, b):
    """For z < 0 from the other root of a² − z a = b/4, since z + √ cancels."""
    size = jnp.abs(z)
    root = jnp.where(size > _FAR, size, jnp.sqrt(jnp.square(jnp.minimum(size, _FAR)) + b))
    far = (size + root) / 2
    return jnp.where(z >= 0, far, b / 4 / far)


_FAR = 1e15
"""Beyond, b is lost in the rounding of z² + b, and z² itself may overflow."""


def _squareplus_pull(da, a, b):
    square = jnp.square(jnp.minimum(a, _FAR))  # beyond, the slope is 1
    return da * square / (square + b / 4)


define_derivative(squareplus, the_output, _squareplus_pull)
define_slopes(squareplus, b=lambda z, b: 0.25 / jnp.sqrt(jnp.square(jnp.clip(z, -_FAR, _FAR)) + b))


@jax.custom_vjp
def mish(x: Num[Array, "*shape"]) -> Float[Array, "*shape"]:
    """z · tanh(softplus(z)), as `jax.nn.mish`."""
    return wide_of_real("mish", lambda z: z * _mish_gate(z)[0], x)


def _mish_gate(z):
    """t = s (1 + q) / (1 + q²), s and q."""
    s, q = sigmoid_value(z), sigmoid_value(-z)
    return s * (1 + q) / (1 + q * q), s, q


def _mish_pull(da, z):
    t, s, q = _mish_gate(z)
    return da * (t + z * s * jnp.square(2 * q / (1 + q * q)))


define_derivative(mish, the_input, _mish_pull)
