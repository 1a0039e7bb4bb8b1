"""Cases of the gated units."""

from functools import partial

import jax
import jax.numpy as jnp

from jbackprop import rules

from ._case import Case, float32, normal


def _gate_reference(activation):
    return lambda gate, value: activation(gate) * value


def _pair(name, rule, activation, *shape, variant_of=""):
    arguments, at_scale = (normal(*shape), normal(*shape)), (normal(8, 64, 1024), normal(8, 64, 1024))
    return Case(name, rule, _gate_reference(activation), arguments, float32(shape, shape), at_scale, variant_of)


def _joined(name, rule, activation):
    def reference(x):
        gate, value = jnp.split(x, 2, axis=-1)
        return activation(gate) * value

    return Case(name, rule, reference, (normal(5, 14),), float32((5, 14)), (normal(8, 64, 2048),))


GATED = (
    Case("glu", rules.glu, jax.nn.glu, (normal(5, 6),), ("float32[5,6]",), (normal(8, 64, 2048),)),
    Case(
        "glu, axis 1",
        partial(rules.glu, axis=1),
        partial(jax.nn.glu, axis=1),
        (normal(3, 4, 5),),
        ("float32[3,4,5]",),
        (normal(8, 64, 1024),),
    ),
    _pair("swiglu", rules.swiglu, jax.nn.silu, 5, 7),
    _pair("swiglu, two batch axes", rules.swiglu, jax.nn.silu, 2, 5, 7, variant_of="swiglu"),
    _joined("swiglu, one array", rules.swiglu, jax.nn.silu),
    _pair("geglu", rules.geglu, jax.nn.gelu, 5, 7),
    _pair(
        "geglu, exact",
        partial(rules.geglu, approximate=False),
        partial(jax.nn.gelu, approximate=False),
        5,
        7,
    ),
    _pair("reglu, no batch axis", rules.reglu, jax.nn.relu, 7),
)
