"""Cases of the activations, which but for one have no batch axes: every entry is alone."""

from functools import partial

import jax
import jax.numpy as jnp

from jbackprop import rules

from ._case import Case, normal


def elementwise(name, rule, reference, kept="float32", variant_of=""):
    shapes = (normal(2, 5, 7),), (f"{kept}[2,5,7]",), (normal(8, 64, 1024),)
    return Case(name, rule, reference, *shapes, variant_of)


def _relu_squared_reference(z):
    return z * jax.nn.relu(z)


def _prelu_reference(z, slope):
    return jax.nn.leaky_relu(z, slope)


ACTIVATIONS = (
    elementwise("relu", rules.relu, jax.nn.relu),
    elementwise("leaky_relu", rules.leaky_relu, jax.nn.leaky_relu, "bool"),
    elementwise(
        "leaky_relu, slope 0.3",
        partial(rules.leaky_relu, negative_slope=0.3),
        partial(jax.nn.leaky_relu, negative_slope=0.3),
        "bool",
        variant_of="leaky_relu",
    ),
    elementwise("elu", rules.elu, jax.nn.elu),
    elementwise("elu, alpha 0.7", partial(rules.elu, alpha=0.7), partial(jax.nn.elu, alpha=0.7), variant_of="elu"),
    elementwise("selu", rules.selu, jax.nn.selu),
    elementwise("sigmoid", rules.sigmoid, jax.nn.sigmoid),
    elementwise("tanh", rules.tanh, jnp.tanh),
    elementwise("softplus", rules.softplus, jax.nn.softplus),
    elementwise("silu", rules.silu, jax.nn.silu),
    elementwise("gelu", rules.gelu, jax.nn.gelu),
    elementwise("gelu, exact", partial(rules.gelu, approximate=False), partial(jax.nn.gelu, approximate=False)),
)

PIECEWISE = (
    elementwise("relu6", rules.relu6, jax.nn.relu6),
    elementwise("hard_tanh", rules.hard_tanh, jax.nn.hard_tanh),
    elementwise("hard_sigmoid", rules.hard_sigmoid, jax.nn.hard_sigmoid, "bool"),
    elementwise("hard_silu", rules.hard_silu, jax.nn.hard_silu),
    elementwise("relu_squared", rules.relu_squared, _relu_squared_reference),
    elementwise("sparse_plus", rules.sparse_plus, jax.nn.sparse_plus),
    elementwise("sparse_sigmoid", rules.sparse_sigmoid, jax.nn.sparse_sigmoid, "bool"),
    Case(
        "prelu",
        rules.prelu,
        _prelu_reference,
        (normal(2, 5, 7), normal()),
        ("float32[2,5,7]", "float32[]"),
        (normal(8, 64, 1024), normal()),
    ),
    Case(
        "prelu, a slope for each channel",
        rules.prelu,
        _prelu_reference,
        (normal(2, 5, 7), normal(7)),
        ("float32[2,5,7]", "float32[7]"),
        (normal(8, 64, 1024), normal(1024)),
    ),
    Case(
        "prelu, no batch axis",
        rules.prelu,
        _prelu_reference,
        (normal(7), normal(7)),
        ("float32[7]", "float32[7]"),
        variant_of="prelu, a slope for each channel",
    ),
)

SMOOTH = (
    elementwise("celu", rules.celu, jax.nn.celu),
    elementwise("celu, alpha 0.7", partial(rules.celu, alpha=0.7), partial(jax.nn.celu, alpha=0.7), variant_of="celu"),
    elementwise("log_sigmoid", rules.log_sigmoid, jax.nn.log_sigmoid),
    elementwise("soft_sign", rules.soft_sign, jax.nn.soft_sign),
    elementwise("squareplus", rules.squareplus, jax.nn.squareplus),
    elementwise(
        "squareplus, b 0.5",
        partial(rules.squareplus, b=0.5),
        partial(jax.nn.squareplus, b=0.5),
        variant_of="squareplus",
    ),
    elementwise("mish", rules.mish, jax.nn.mish),
)
