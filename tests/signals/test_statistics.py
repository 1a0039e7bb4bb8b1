"""Moments, noise, likeness and influence against their definitions from every example's gradient by JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop import layers, rules, signals
from tests.signals.problems import EVERY, EXAMPLES, assert_close, draw, each_gradient, in_rows, inner, problem

CASES = [
    case for case in EVERY if case.name in ("chain", "stack", "shared, a tied table", "convolutional", "recurrent")
]


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def of_each(request):
    """A network's factored gradients, and the gradients that they stand for, in rows."""
    params, x, dy = problem(request.param)
    layer = request.param.layer
    return signals.factored_gradient(layer, inner)(params, x, dy).factors, each_gradient(layer, params, x, dy)


def test_moments(of_each):
    factors, each = of_each
    jax.tree.map(lambda got, g: assert_close(got, (g**2).mean(0)), jax.jit(signals.second_moment)(factors), each)
    jax.tree.map(lambda got, g: assert_close(got, g.var(0, ddof=1)), jax.jit(signals.variance)(factors), each)


def test_noise_scale(of_each):
    factors, each = of_each
    rows = in_rows(each)
    trace = rows.var(0, ddof=1).sum()
    signal = (rows.mean(0) ** 2).sum() - trace / EXAMPLES
    for got, wanted in zip(jax.jit(signals.noise_scale)(factors), (trace / signal, trace, signal), strict=True):
        assert_close(got, wanted, rounding=1e-8)


def test_cosines(of_each):
    factors, each = of_each
    rows = in_rows(each) / np.linalg.norm(in_rows(each), axis=1, keepdims=True)
    assert_close(jax.jit(signals.cosines)(factors), rows @ rows.T)


def test_an_example_without_a_gradient_is_like_none():
    delta = draw(4, 3).at[2].set(0)
    cosines = signals.cosines(rules.Outer(draw(4, 5), delta))
    np.testing.assert_array_equal(cosines[2], 0)
    assert np.isfinite(cosines).all()


def test_noise_scale_finds_the_noise_that_was_put_in():
    """g_i = G + noise of known covariance: the estimates are those of a large batch."""
    true, size = jnp.arange(1.0, 6), 4096
    noise = 3 * jax.random.normal(jax.random.key(0), (size, 5))
    found = signals.noise_scale(rules.Summed(true + noise))
    np.testing.assert_allclose(found.trace, 9 * 5, rtol=0.05)
    np.testing.assert_allclose(found.squared_norm, (true**2).sum(), rtol=0.05)
    np.testing.assert_allclose(found.scale, 45 / 55, rtol=0.1)


@pytest.mark.parametrize("quantity", [signals.variance, signals.noise_scale])
def test_one_example_has_no_spread(quantity):
    with pytest.raises(ValueError, match=f"{quantity.__name__}: factors, wanted those of at least 2 examples, got 1"):
        quantity(rules.Summed(draw(1, 3)))


def classifier():
    net = layers.chain(layers.linear(6), layers.relu(), layers.linear(3))
    params, _ = net.init(jax.random.key(0), (5,))
    return net, params, (draw(EXAMPLES, 5), jnp.arange(EXAMPLES) % 3)


def test_influence_is_what_a_step_does():
    """To first order in the rate: training on example j moves the cost of test example i."""
    net, params, (x, y) = classifier()
    test = draw(2, 5), jnp.array([1, 2])
    got = signals.influence(net, rules.softmax_cross_entropy, [params, params], test, (x, y), rates=[0.25, 0.75])
    each, rate = each_gradient(net, params, x, y, rules.softmax_cross_entropy), 1e-6

    def cost(params):
        return rules.softmax_cross_entropy(net.apply(params, test[0]), test[1])

    for j in range(EXAMPLES):
        stepped = jax.tree.map(lambda p, g, j=j: p - rate * g[j], params, each)
        np.testing.assert_allclose(got[:, j], (cost(params) - cost(stepped)) / rate, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("checkpoints", "rates", "message"),
    [
        (0, None, "checkpoints, wanted at least one"),
        (1, [0.1, 0.2], "rates, wanted one for each of 1 checkpoints, got 2"),
    ],
)
def test_checkpoints_and_rates_belong_together(checkpoints, rates, message):
    net, params, batch = classifier()
    with pytest.raises(ValueError, match=f"influence: {message}"):
        signals.influence(net, rules.softmax_cross_entropy, [params] * checkpoints, batch, batch, rates)
