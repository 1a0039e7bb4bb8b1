"""How error signals come through the layers, on networks where one knows what they do."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jbackprop as jb
from jbackprop import layers, rules, signals
from tests.signals.problems import draw


def flow_of(net, x, updates=None):
    params, _ = net.init(jax.random.key(0), x.shape[1:])
    _, gradients, deltas = jb.backprop(net, rules.squared_error)(params, x, jnp.zeros((len(x), 3)))
    return params, gradients, deltas, jax.jit(signals.gradient_flow)(params, gradients, deltas, updates)


def test_norms_and_ratios():
    params, gradients, deltas, flow = flow_of(
        layers.chain(layers.linear(4), layers.tanh(), layers.linear(3)), draw(7, 5)
    )
    np.testing.assert_allclose(flow.deltas[2], np.linalg.norm(deltas[2]), rtol=1e-6)
    np.testing.assert_allclose(flow.gradients[0]["w"], np.linalg.norm(gradients[0]["w"]), rtol=1e-6)
    wanted = np.linalg.norm(gradients[2]["w"]) / np.linalg.norm(params[2]["w"])
    np.testing.assert_allclose(flow.ratios[2]["w"], wanted, rtol=1e-6)
    updates, _ = optax.sgd(0.1).update(gradients, optax.sgd(0.1).init(params))
    halved = signals.gradient_flow(params, gradients, deltas, updates)
    np.testing.assert_allclose(halved.ratios[2]["w"], 0.1 * wanted, rtol=1e-5)


def test_units_that_are_off():
    """Two of four units never fire: their δ is 0 for all examples, and others' for some."""
    net = layers.chain(layers.linear(4), layers.relu(), layers.linear(3))
    params, _ = net.init(jax.random.key(0), (5,))
    params[0]["b"] = jnp.array([-100.0, 0.0, -100.0, 0.0])
    _, gradients, deltas = jb.backprop(net, rules.squared_error)(params, draw(7, 5), jnp.zeros((7, 3)))
    flow = signals.gradient_flow(params, gradients, deltas)
    assert flow.dead[0] == 0.5
    assert flow.zeros[0] == (deltas[0] == 0).mean() >= 0.5
    assert flow.dead[2] == 0


def test_ratios_of_a_parameter_that_is_zero():
    params, updates = (jnp.zeros(2), jnp.zeros(2), jnp.ones(2)), (jnp.zeros(2), jnp.ones(2), jnp.zeros(2))
    assert signals.gradient_flow(params, updates, ()).ratios == (0, np.inf, 0)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_norms_of_extreme_signals_are_in_range(size):
    flow = signals.gradient_flow((), (), jnp.full((3, 4), size, jnp.float32))
    np.testing.assert_allclose(flow.deltas, size * np.sqrt(12), rtol=1e-5)


def test_the_first_that_is_not_finite():
    """Going backward, that of layer 1: the ones before it were made of it."""
    bad = jnp.array([[1.0, jnp.nan]])
    assert signals.first_non_finite((bad, {"w": bad}, jnp.ones((1, 2)))) == "1.w"
    assert signals.first_non_finite((jnp.ones(3), ())) is None
