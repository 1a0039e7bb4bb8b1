"""Called without `jit`, a rule and a layer compile what they need at the first call, and nothing at the second."""

import jax
import jax.numpy as jnp
import pytest

from jbackprop import layers
from jbackprop.cases import CASES, FIRST_CASES, NETWORKS, Case, LayerCase
from jbackprop.functions import replaced

# A convolution is computed in one of several ways.
RULES = [case for case in CASES if case in FIRST_CASES or case.rule_name == "conv"]


@pytest.mark.parametrize("case", RULES, ids=lambda case: case.name)
def test_a_rule_compiles_nothing_at_its_second_call(case: Case, programs):
    def gradients(seed):
        arguments = case.draw(jax.random.key(seed))
        places = [i for i, argument in enumerate(arguments) if jnp.issubdtype(argument.dtype, jnp.floating)]
        y, pull = jax.vjp(
            lambda *chosen: case.rule(*replaced(arguments, places, chosen)), *(arguments[i] for i in places)
        )
        return pull(jax.tree.map(jnp.ones_like, y))

    gradients(0)
    compiled = programs()
    gradients(1)
    assert programs() == compiled


LOOPS = (
    "stack in a stack",
    "stack of transformer blocks, attention kept",
    "reversible",
    "map over time",
    "recurrent",
)


@pytest.mark.parametrize("case", [case for case in NETWORKS if case.name in LOOPS], ids=lambda case: case.name)
def test_a_network_compiles_nothing_at_its_second_call(case: LayerCase, programs):
    params, _ = case.layer.init(jax.random.key(0), case.shape)

    def gradients(seed):
        x, key = case.inputs(seed, 3), jax.random.key(seed)
        y, cache = case.layer.forward(params, x, key)
        _, deltas = case.layer.backward(params, cache, jax.tree.map(jnp.ones_like, y))
        return case.layer.gradient(params, cache, deltas, jax.vmap(layers.total))

    gradients(0)
    compiled = programs()
    gradients(1)
    assert programs() == compiled
