"""Layers over time whose δ has blocks in front: what each example gets, against `vmap(jax.grad)`."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import layers, rules, signals
from jbackprop.cases import LayerCase
from tests.signals.problems import (
    EXAMPLES,
    assert_close,
    assert_trees_close,
    automatic_gradients,
    clip,
    factors_of,
    in_rows,
    inner,
    problem,
    weighted_sum,
)

LONGEST = 1.0
BLOCK = layers.residual(layers.linear(5), layers.tanh())
STACK = layers.stack(BLOCK, 2)
OVER_TIME = {
    "stack": (STACK, (3, 5)),
    "as many blocks as rows": (layers.stack(BLOCK, 3 * EXAMPLES), (3, 5)),
    "stack of sequences": (STACK, (3, 2, 5)),
    "chain": (layers.chain(layers.linear(5), STACK, layers.linear(4)), (3, 5)),
    "stack in a stack": (layers.stack(layers.chain(STACK, BLOCK), 3), (3, 5)),
    "over time twice": (layers.map_over_time(STACK), (3, 2, 5)),
    "over time in a stack": (layers.stack(layers.map_over_time(STACK), 3), (3, 2, 5)),
    "shared": (layers.shared(layers.chain(STACK, layers.linear(5), layers.linear(5)), ("1", "2")), (3, 5)),
    "reversible": (layers.reversible(layers.linear(5), STACK, 3), ((3, 5), (3, 5))),
}


@pytest.mark.parametrize("name", OVER_TIME)
def test_blocks_over_time(name):
    inside, shape = OVER_TIME[name]
    with jax.enable_x64(True):
        net = layers.map_over_time(inside)
        params, x, dy = problem(LayerCase(name, net, shape))
        wanted, gradients, each, norms, clipped = jax.device_get(jax.jit(lambda *of: every(net, *of))(params, x, dy))
        assert_trees_close(gradients, jax.tree.map(lambda of_each: of_each.sum(0), wanted))
        assert_trees_close(each, wanted)
        assert_close(norms, (in_rows(wanted) ** 2).sum(1))
        scales = clip(np.sqrt(norms), LONGEST) / EXAMPLES
        assert_trees_close(clipped, weighted_sum(scales, wanted))


def every(net, params, x, dy):
    """By JAX, and by hand."""
    wanted = automatic_gradients(net)(params, x, dy)
    gradients = jax.vjp(lambda params: net.apply(params, x), params)[1](dy)[0]
    factors = factors_of(net, params, x, dy)
    each = jax.tree.map(lambda got, like: got.reshape(like.shape), signals.per_example(factors), wanted)
    clipped = signals.clipped_gradient(net, inner, LONGEST)(params, x, dy).gradients
    return wanted, gradients, each, signals.squared_norm(factors), clipped


def test_delta_has_the_steps_behind_the_examples():
    net = layers.map_over_time(layers.chain(layers.stack(STACK, 3), layers.linear(4)))
    params, _ = net.init(jax.random.key(0), (2, 5))
    told = jb.backprop(net, rules.squared_error)(params, jnp.ones((7, 2, 5)), jnp.ones((7, 2, 4)))
    assert jax.tree.map(jnp.shape, told[2]) == (((3, 2, 7, 2, 5), ()), (7, 2, 4))


def test_what_is_told_in_place_of_delta():
    net = layers.map_over_time(layers.watched(layers.chain(STACK, layers.linear(4)), jnp.linalg.norm))
    params, _ = net.init(jax.random.key(0), (3, 5))
    _, _, norms = jb.backprop(net, rules.squared_error)(params, jnp.ones((7, 3, 5)), jnp.ones((7, 3, 4)))
    assert jax.tree.map(jnp.shape, norms) == (((2,), ()), ())


def test_curvature_of_each_block():
    net = layers.map_over_time(STACK)
    params, _ = net.init(jax.random.key(0), (3, 5))
    x, dy = jnp.ones((7, 3, 5)), jnp.ones((7, 3, 5))
    got, wanted = (signals.kronecker_factors(factors_of(of, params, x, dy)) for of in (net, STACK))
    chex.assert_trees_all_close(got[0]["w"], wanted[0]["w"], rtol=1e-5)


def test_blocks_that_mix_their_rows_are_refused():
    net = layers.map_over_time(layers.stack(layers.batch_norm(), 2))
    params, _ = net.init(jax.random.key(0), (3, 5))
    factors = factors_of(net, params, jnp.ones((7, 3, 5)), jnp.ones((7, 3, 5)))
    with pytest.raises(ValueError, match="keeps its examples apart"):
        jax.tree.map(jax.vmap(layers.total), factors, is_leaf=layers.is_factored)
