"""What the functions of single entries share: the value in enough precision, and the backward pass from one line.

sigmoid and softplus are written with one exponential that cannot overflow, e = e^{−|z|}:

    sigmoid(z) = 1 / (1 + e) where z ≥ 0, else e / (1 + e)        softplus(z) = max(z, 0) + log(1 + e)

It stands the same to the letter in a forward and a backward pass, so that XLA computes it once for both.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from jbackprop.rules._arrays import check_floating, check_real, in_floating_point, widen
from jbackprop.rules._options import of_numbers


def define_derivative(rule: jax.custom_vjp, keep: Callable, pull: Callable) -> None:
    """Gives a rule its backward pass: δ = pull(∂C/∂a, kept, *options), where kept = keep(z, a, *options)."""

    def fwd(z, *options):
        a = rule.fun(z, *options)  # the plain function: forward mode over the backward pass must get through
        return a, keep(z, a, *options)

    def bwd(*arguments):
        *options, kept, da = arguments
        known = kept if kept.dtype == bool else widen(kept)
        return (pull(widen(da), known, *options).astype(da.dtype),)

    rule.defvjp(fwd, bwd)


def define_slopes(rule: of_numbers, **slopes: Callable) -> None:
    """Gives a rule the gradients of its options: Σ ∂C/∂a ⊙ ∂a/∂option, each from (z, *options) -> ∂a/∂option."""

    def gradient(slope, values, kept, da):
        z, *options = values.values()
        return (widen(da) * slope(widen(in_floating_point(z)), *options)).sum()

    rule.defnumbers(**{name: partial(gradient, slope) for name, slope in slopes.items()})


def the_input(z, a, *options):
    """What `keep` is where the slope is a function of the input."""
    return z


def the_output(z, a, *options):
    """What `keep` is where the slope is a function of the output."""
    return a


def wide_of_real(name: str, sigma: Callable, z: jax.Array) -> jax.Array:
    """As `wide`, for integers too, as jax.nn takes them, in JAX's default floating point dtype."""
    check_real(name, x=z)
    return wide(name, sigma, in_floating_point(z))


def wide_or_whole(name: str, sigma: Callable, z: jax.Array) -> jax.Array:
    """As `wide`, for a σ that makes integers of integers, which stay what they are."""
    check_real(name, x=z)
    z = jnp.asarray(z)
    return wide(name, sigma, z) if jnp.issubdtype(z.dtype, jnp.floating) else sigma(z)


def wide(name: str, sigma: Callable, z: jax.Array) -> jax.Array:
    """σ(z) computed in float32 at least and rounded once; TypeError unless z is floating point."""
    check_floating(name, x=z)
    return sigma(widen(z)).astype(jnp.result_type(z))
