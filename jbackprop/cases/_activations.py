"""Cases of the activations, which have no batch axes: every entry is alone."""

from functools import partial

import jax
import jax.numpy as jnp

from jbackprop import rules

from ._case import Case, normal


def elementwise(name, rule, reference, kept="float32"):
    return Case(name, rule, reference, (normal(2, 5, 7),), (f"{kept}[2,5,7]",), (normal(8, 64, 1024),))


ACTIVATIONS = (
    elementwise("relu", rules.relu, jax.nn.relu),
    elementwise("leaky_relu", rules.leaky_relu, jax.nn.leaky_relu, "bool"),
    elementwise(
        "leaky_relu, slope 0.3",
        partial(rules.leaky_relu, negative_slope=0.3),
        partial(jax.nn.leaky_relu, negative_slope=0.3),
        "bool",
    ),
    elementwise("elu", rules.elu, jax.nn.elu),
    elementwise("elu, alpha 0.7", partial(rules.elu, alpha=0.7), partial(jax.nn.elu, alpha=0.7)),
    elementwise("selu", rules.selu, jax.nn.selu),
    elementwise("sigmoid", rules.sigmoid, jax.nn.sigmoid),
    elementwise("tanh", rules.tanh, jnp.tanh),
    elementwise("softplus", rules.softplus, jax.nn.softplus),
    elementwise("silu", rules.silu, jax.nn.silu),
    elementwise("gelu", rules.gelu, jax.nn.gelu),
    elementwise("gelu, exact", partial(rules.gelu, approximate=False), partial(jax.nn.gelu, approximate=False)),
)
