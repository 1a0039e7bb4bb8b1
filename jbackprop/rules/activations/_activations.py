"""a = σ(z), entry by entry.

Each a_i depends on z_i alone, so the Jacobian is diagonal and the backward pass is a product of entries:

    ∂C/∂z_i = ∂C/∂a_i · ∂a_i/∂z_i        δ = ∂C/∂a ⊙ σ'(z)

Below, each function is followed by its line of the table: what it keeps, and δ from `da` = ∂C/∂a and what was kept.
Where σ' is a function of the output, the output is kept: the next layer keeps it anyway, as its input, so it costs
no memory.  Where only the sign decides, one byte an entry is kept.  Otherwise the input is kept, once; by softplus too,
whose slope 1 − e⁻ᵃ would take another exponential than the forward pass has.  On a CPU the exact gelu takes a twentieth
more time than autodiff, which keeps Φ and φ.

    σ            σ'                                                          kept     at the kink
    relu         1 where a > 0, else 0                                       a        σ'(0) = 0
    leaky_relu   1 where z ≥ 0, else negative_slope                          z ≥ 0    σ'(0) = 1
    elu          1 where a > 0, else a + α          (α eᶻ = a + α)           a        σ'(0) = α
    selu         λ where a > 0, else a + λα                                  a        σ'(0) = λα
    sigmoid      a (1 − a)                                                   a
    tanh         1 − a²                                                      a
    softplus     sigmoid(z)                                                  z
    silu         s + z s (1 − s)                    with s = sigmoid(z)      z
    gelu         Φ(z) + z φ(z)                      Φ the normal CDF, Φ' = φ z
    gelu, tanh   s + z s (1 − s) 2u'                with s = sigmoid(2u)     z

Computed in float32 at least; the result has its argument's dtype.

V. Nair, G. E. Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML, 2010 (relu).
A. L. Maas, A. Y. Hannun, A. Y. Ng, "Rectifier nonlinearities improve neural network acoustic models", ICML, 2013.
D.-A. Clevert, T. Unterthiner, S. Hochreiter, "Fast and accurate deep network learning by exponential linear units
(ELUs)", ICLR, 2016.  G. Klambauer et al., "Self-normalizing neural networks", NeurIPS, 2017 (selu).
D. Hendrycks, K. Gimpel, "Gaussian error linear units (GELUs)", arXiv:1606.08415, 2016 (gelu and silu).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jbackprop.rules._options import Scalar, check_not_negative, of_numbers
from jbackprop.rules._scalars import (
    gelu_slope,
    gelu_value,
    relu_value,
    sigmoid_value,
    silu_slope,
    silu_value,
    softplus_value,
)

from ._elementwise import define_derivative, define_slopes, the_input, the_output, wide, wide_of_real, wide_or_whole

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


@jax.custom_vjp
def relu(x: Num[Array, "*shape"]) -> Num[Array, "*shape"]:
    """max(z, 0), as `jax.nn.relu`."""
    return wide_or_whole("relu", relu_value, x)


define_derivative(relu, the_output, lambda da, a: jnp.where(a > 0, da, 0))


@partial(of_numbers, nondiff_argnames=("negative_slope",))
def leaky_relu(x: Num[Array, "*shape"], negative_slope: Scalar = 0.01) -> Float[Array, "*shape"]:
    """z where z ≥ 0, else negative_slope · z, as `jax.nn.leaky_relu`."""
    return wide_of_real("leaky_relu", lambda z: jnp.where(z >= 0, z, negative_slope * z), x)


define_derivative(
    leaky_relu,
    lambda z, a, negative_slope: z >= 0,
    lambda da, positive, negative_slope: jnp.where(positive, da, negative_slope * da),
)
define_slopes(leaky_relu, negative_slope=lambda z, slope: jnp.minimum(z, 0))


@partial(of_numbers, nondiff_argnames=("alpha",))
def elu(x: Num[Array, "*shape"], alpha: Scalar = 1.0) -> Float[Array, "*shape"]:
    """z where z > 0, else α (eᶻ − 1), as `jax.nn.elu`; ValueError unless α ≥ 0."""
    check_not_negative("elu", alpha=alpha)
    return wide_of_real("elu", partial(_elu, alpha=alpha), x)


def _elu(z, alpha):
    negative = jnp.where(z > 0, 0, z)  # expm1 must not overflow in the branch that is not taken
    return jnp.where(z > 0, z, alpha * jnp.expm1(negative))


define_derivative(elu, the_output, lambda da, a, alpha: jnp.where(a > 0, da, da * (a + alpha)))
define_slopes(elu, alpha=lambda z, alpha: jnp.expm1(jnp.minimum(z, 0)))


@jax.custom_vjp
def selu(x: Num[Array, "*shape"]) -> Float[Array, "*shape"]:
    """λ elu(z, α) with the two constants that keep mean 0 and variance 1, as `jax.nn.selu`."""
    return wide_of_real("selu", lambda z: _SELU_SCALE * _elu(z, _SELU_ALPHA), x)


define_derivative(
    selu,
    the_output,
    lambda da, a: da * jnp.where(a > 0, _SELU_SCALE, a + _SELU_SCALE * _SELU_ALPHA),
)


@jax.custom_vjp
def sigmoid(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """1 / (1 + e⁻ᶻ), as `jax.nn.sigmoid`."""
    return wide("sigmoid", jax.lax.logistic, x)


define_derivative(sigmoid, the_output, lambda da, a: da * a * (1 - a))


@jax.custom_vjp
def tanh(x: Num[Array, "*shape"]) -> Float[Array, "*shape"]:
    """(eᶻ − e⁻ᶻ) / (eᶻ + e⁻ᶻ), as `jax.numpy.tanh`; without `accuracy`."""
    return wide_of_real("tanh", jnp.tanh, x)


define_derivative(tanh, the_output, lambda da, a: da * (1 + a) * (1 - a))


@jax.custom_vjp
def softplus(x: Num[Array, "*shape"]) -> Float[Array, "*shape"]:
    """log(1 + eᶻ), as `jax.nn.softplus`."""
    return wide_of_real("softplus", softplus_value, x)


define_derivative(softplus, the_input, lambda da, z: da * sigmoid_value(z))


@jax.custom_vjp
def silu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """z · sigmoid(z), also called swish, as `jax.nn.silu`."""
    return wide("silu", silu_value, x)


define_derivative(silu, the_input, lambda da, z: da * silu_slope(z))

swish = silu


@partial(jax.custom_vjp, nondiff_argnames=("approximate",))
def gelu(x: Num[Array, "*shape"], approximate: bool = True) -> Float[Array, "*shape"]:
    """z Φ(z), or its tanh approximation, as `jax.nn.gelu`; the latter unless said otherwise, unlike in PyTorch.

    Args:
      x: pre-activations of any shape.
      approximate: True for z · sigmoid(2u), u = √(2/π) (z + 0.044715 z³), which is ½ z (1 + tanh u); False for the
        exact z Φ(z), by the error function.
    """
    return wide_of_real("gelu", partial(gelu_value, approximate=approximate), x)


define_derivative(gelu, the_input, lambda da, z, approximate: da * gelu_slope(z, approximate))
