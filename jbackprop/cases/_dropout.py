"""Cases of dropout.  Keys are drawn as raw numbers, which NumPy can hold."""

from functools import partial

import jax
import jax.numpy as jnp

from jbackprop import rules

from ._case import Case, normal


def _key(key, dtype):
    return jax.random.key_data(key)


def _dropout_reference(rate):
    def reference(key, x):
        kept = 0.0 if rate == 1 else jax.random.bernoulli(key, 1 - rate, x.shape) / (1 - rate)
        return jnp.asarray(kept, x.dtype) * x

    return reference


def _case(name, rate, *shape):
    rule = partial(rules.dropout, rate=rate)
    arguments, at_scale = (_key, normal(*shape)), (_key, normal(8, 64, 1024))
    return Case(name, rule, _dropout_reference(rate), arguments, ("uint32[2]",), at_scale)


DROPOUT = (
    _case("dropout", 0.5, 5, 7),
    _case("dropout, rate 0.1, two batch axes", 0.1, 2, 5, 7),
    _case("dropout, rate 0", 0.0, 5, 7),
    _case("dropout, rate 1, no batch axis", 1.0, 7),
)
