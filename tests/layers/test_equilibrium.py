"""The fixed point of a layer, against the same iteration written out and differentiated by JAX."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jbackprop as jb
from jbackprop import layers, rules, signals, training

M, N = 7, 4
SMALL = layers.normal(0.15)
BOTH = layers.parallel(layers.linear(N), layers.linear(N, bias=False, weights=SMALL), join="sum", split=True)
NET = layers.chain(layers.linear(N), layers.equilibrium(layers.chain(BOTH, layers.tanh())), layers.linear(3))

pytestmark = pytest.mark.usefixtures("float64")


def problem():
    params, shape = NET.init(jax.random.key(0), (5,))
    assert shape == (3,)
    draw = np.random.default_rng(1)
    return params, jnp.asarray(draw.normal(size=(M, 5))), jnp.asarray(draw.normal(size=(M, 3)))


def written_out(params, x, y):
    """60 steps of z ← tanh(x U + z W + b): |W| is below ½, so they have converged."""
    first, ((u, w), _), last = params
    h = x @ first["w"] + first["b"]
    z = jnp.zeros_like(h)
    for _ in range(60):
        z = jnp.tanh(h @ u["w"] + u["b"] + z @ w["w"])
    return 0.5 * jnp.square(z @ last["w"] + last["b"] - y).sum(axis=-1)


def assert_close(got, wanted):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * np.abs(b).max()), got, wanted)


def test_cost_and_gradients():
    params, x, y = problem()
    cost, gradients, deltas = jax.jit(jb.backprop(NET, rules.squared_error))(params, x, y)
    wanted = jax.jit(jax.value_and_grad(lambda params: written_out(params, x, y).mean()))(params)
    assert_close((cost, gradients), wanted)
    assert [delta.shape for delta in jax.tree.leaves(deltas)] == [(M, N), (M, N), (M, N), (M, 3)]
    applied = jax.grad(lambda params: rules.squared_error(NET.apply(params, x), y).mean())(params)
    assert_close(applied, gradients)


def test_the_gradient_of_each_example():
    params, x, y = problem()
    output, cache = NET.forward(params, x)
    got = NET.gradient(params, cache, NET.backward(params, cache, output - y)[1], jax.vmap(layers.total))
    each = jax.vmap(jax.grad(lambda params, x, y: written_out(params, x[None], y[None]).sum()), (None, 0, 0))
    assert_close(got, jax.jit(each)(params, x, y))


def around(layer):
    """z = tanh(layer(x U + z W + b)), and the same by a scan of 80 steps."""
    net = layers.equilibrium(layers.chain(BOTH, layer, layers.tanh()))

    def iterated(inner, params, x, key=None):
        return jax.lax.scan(lambda z, _: (inner.forward(params, (x, z), key)[0], None), 0 * x, length=80)[0]

    return net, iterated


@pytest.mark.parametrize("make_key", [jax.random.key, jax.random.PRNGKey])
def test_every_iteration_drops_the_same(make_key):
    net, iterated = around(layers.dropout(0.5))
    params, _ = net.init(jax.random.key(0), (N,))
    x, y, key = problem()[1][:, :N], jnp.ones((M, N)), make_key(7)
    assert jnp.abs(net.apply(params, x, key) - net.apply(params, x)).max() > 0.1
    plain = jb.automatic(lambda params: rules.squared_error(iterated(net.inner, params, x, key), y).mean())
    wanted = jax.jit(jax.value_and_grad(plain))(params)
    for way in (jb.backprop, jb.autodiff):
        assert_close(jax.jit(way(net, rules.squared_error))(params, x, y, key)[:2], wanted)


def test_batch_statistics_are_those_of_the_fixed_point():
    net, iterated = around(layers.batch_norm())
    params, _ = net.init(jax.random.key(0), (N,))
    x = 2 + problem()[1][:, :N]
    optimizer = optax.set_to_zero()
    step = training.step(jb.backprop(net, rules.squared_error), optimizer, averaging=0.0)
    state, _ = step(training.init(params, optimizer), x, x)
    (u, w), _, _ = params
    z = iterated(net.inner, params, x)
    h = x @ u["w"] + u["b"] + z @ w["w"]
    assert_close(state.statistics[1], layers.Statistics(h.mean(0), h.var(0)))
    got = layers.evaluation(net).apply((params, state.statistics), x)
    assert_close(got, z)
    assert_close(layers.evaluation(net).apply((params, state.statistics), x[:1]), z[:1])


def test_second_derivatives_are_gradients_of_gradients():
    params, x, y = problem()

    def along(cost):
        return jax.grad(lambda at: sum(map(jnp.vdot, jax.tree.leaves(jax.grad(cost)(at)), jax.tree.leaves(params))))

    got = jax.jit(along(lambda params: rules.squared_error(NET.apply(params, x), y).mean()))(params)
    wanted = jax.jit(along(lambda params: written_out(params, x, y).mean()))(params)
    assert_close(got, wanted)
    product = jax.jit(partial(signals.hessian_vector_product, NET, rules.squared_error))
    assert_close(product(params, x, y, params), wanted)


def test_what_does_not_converge_is_nan():
    wild = layers.equilibrium(layers.parallel(layers.identity(), layers.linear(N), join="sum", split=True))
    params, _ = wild.init(jax.random.key(0), (N,))
    params = jax.tree.map(lambda p: 3 * jnp.ones_like(p), params)
    assert jnp.isnan(wild.apply(params, jnp.ones((M, N)))).all()


NOT_A_LAYER: Any = jnp.tanh


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.equilibrium(NOT_A_LAYER), TypeError, "equilibrium: inner, wanted a Layer, got "),
        (
            lambda: layers.equilibrium(
                layers.parallel(layers.linear(3), layers.linear(3), join="sum", split=True)
            ).init(jax.random.key(0), (N,)),
            ValueError,
            r"equilibrium: inner, wanted an output of the shape \(4,\), got \(3,\)",
        ),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()
