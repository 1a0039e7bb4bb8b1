"""σ and σ' of a single number, in its own dtype, where rules of several families compute with them.

Their derivations stand with the activations.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm


def sigmoid_value(z: jax.Array) -> jax.Array:
    """1 / (1 + e⁻ᶻ), in z's dtype."""
    return jnp.where(z >= 0, 1, decay(z)) / (1 + decay(z))


def softplus_value(z: jax.Array) -> jax.Array:
    """log(1 + eᶻ), in z's dtype."""
    return jnp.where(z >= 0, z, 0) + jnp.log1p(decay(z))


def binary_cross_entropy_value(z: jax.Array, y: jax.Array) -> jax.Array:
    """log(1 + eᶻ) − y z, which is (1 − y) z + log(1 + e⁻ᶻ), by the one of the two forms that does not cancel."""
    return jnp.where(z >= 0, (1 - y) * z, -y * z) + jnp.log1p(decay(z))


def binary_cross_entropy_slope(z: jax.Array, y: jax.Array) -> jax.Array:
    """sigmoid(z) − y, to all digits also where both are nearly 1."""
    e = decay(z)
    return jnp.where(z >= 0, (1 - y) - y * e, (1 - y) * e - y) / (1 + e)


def decay(z: jax.Array) -> jax.Array:
    """e^{−|z|}, with the same side at 0 as its callers: their parts then have slopes there that add up."""
    return jnp.exp(jnp.where(z >= 0, -z, z))


def relu_value(z):
    """σ of relu, in z's dtype."""
    return jnp.where(z <= 0, 0, z)


def silu_value(z):
    """σ of silu, in z's dtype."""
    return z * jax.lax.logistic(z)


def silu_slope(z):
    """σ' of silu, in z's dtype."""
    s = jax.lax.logistic(z)
    return s + z * s * (1 - s)


def gelu_value(z, approximate):
    """σ of gelu, in z's dtype."""
    return _gelu_tanh(z) if approximate else z * norm.cdf(z)


def _gelu_tanh(z):
    return z * _gelu_gate(z)


def _gelu_gate(z):
    """s, in the forward and the backward pass the same to the letter, so that XLA computes it once for both."""
    return jax.lax.logistic(2 * _SQRT_2_OVER_PI * (z + 0.044715 * z**3))


_SQRT_2_OVER_PI = np.sqrt(2 / np.pi).item()


def gelu_slope(z, approximate):
    """σ' of gelu, in z's dtype."""
    return _gelu_tanh_slope(z) if approximate else norm.cdf(z) + z * norm.pdf(z)


def _gelu_tanh_slope(z):
    s = _gelu_gate(z)
    z = jnp.clip(z, -30, 30)  # beyond, s (1 − s) is 0 in float64 too, and z² may overflow to 0 · ∞
    return s + z * s * (1 - s) * 2 * _SQRT_2_OVER_PI * (1 + 3 * 0.044715 * z**2)
