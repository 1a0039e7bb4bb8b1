"""Moments, noise, likeness and influence against their definitions from every example's gradient by JAX."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop import layers, rules, signals
from tests.signals.problems import (
    EVERY,
    EXAMPLES,
    assert_close,
    automatic_gradients,
    draw,
    each_gradient,
    in_rows,
    inner,
    problem,
)

CASES = [
    case for case in EVERY if case.name in ("chain", "stack", "shared, a tied table", "convolutional", "recurrent")
]

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture(params=CASES, ids=lambda case: case.name, scope="module")
def of_each(request):
    """What is told of a network's factored gradients, and the gradients that they stand for, of each example."""
    layer = request.param.layer

    @jax.jit
    def both_ways(params, x, dy):
        factors = signals.factored_gradient(layer, inner)(params, x, dy).factors
        told = signals.second_moment, signals.variance, signals.noise_scale, signals.cosines
        return [tell(factors) for tell in told], automatic_gradients(layer)(params, x, dy)

    with jax.enable_x64(True):
        return jax.device_get(both_ways(*problem(request.param)))


def test_moments(of_each):
    (second_moment, variance, *_), each = of_each
    jax.tree.map(lambda got, g: assert_close(got, (g**2).mean(0)), second_moment, each)
    jax.tree.map(lambda got, g: assert_close(got, g.var(0, ddof=1)), variance, each)


def test_noise_scale(of_each):
    (*_, noise_scale, _), each = of_each
    rows = in_rows(each)
    trace = rows.var(0, ddof=1).sum()
    signal = (rows.mean(0) ** 2).sum() - trace / EXAMPLES
    for got, wanted in zip(noise_scale, (trace / signal, trace, signal), strict=True):
        assert_close(got, wanted, rounding=1e-8)


def test_cosines(of_each):
    (*_, cosines), each = of_each
    rows = in_rows(each) / np.linalg.norm(in_rows(each), axis=1, keepdims=True)
    assert_close(cosines, rows @ rows.T)


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


def test_equal_examples_do_not_vary():
    same = jnp.full((8, 5), 3.3, jnp.float32)
    assert (signals.variance(rules.Outer(same, same)) >= 0).all()


@pytest.mark.parametrize("quantity", [signals.squared_norm, signals.per_example, signals.variance, signals.cosines])
def test_what_is_no_factored_gradient(quantity):
    with pytest.raises(TypeError, match=f"{quantity.__name__}|inner_products: factors, wanted those of .factored_grad"):
        quantity({"w": np.ones((3, 4))})


def classifier():
    net = layers.chain(layers.linear(6), layers.relu(), layers.linear(3))
    params, _ = net.init(jax.random.key(0), (5,))
    return net, params, (draw(EXAMPLES, 5), jnp.arange(EXAMPLES) % 3)


def test_influence_is_what_a_step_does():
    """To first order in the rate: training on example j moves the cost of test example i."""
    net, params, (x, y) = classifier()
    test = draw(2, 5), jnp.array([1, 2])
    rates = [0.25, 0.75]
    influence = functools.partial(signals.influence, net, rules.softmax_cross_entropy, rates=rates)
    got = jax.jit(influence)([params, params], test, (x, y))
    each, rate = each_gradient(net, params, x, y, rules.softmax_cross_entropy), 1e-6

    @jax.jit
    def after(j):
        stepped = jax.tree.map(lambda p, g: p - rate * g[j], params, jax.device_put(each))
        before, cost = (rules.softmax_cross_entropy(net.apply(p, test[0]), test[1]) for p in (params, stepped))
        return (before - cost) / rate

    for j in range(EXAMPLES):
        np.testing.assert_allclose(np.asarray(got)[:, j], after(j), rtol=1e-3, atol=1e-4)


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
