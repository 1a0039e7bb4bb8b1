"""Layers and combinators that a user may write: the record holds what the library does not build in.

Each network below is differentiated by hand and by JAX (every rule removed); value and gradients must agree.
"""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import layers, rules
from jbackprop.layers import Layer, total
from tests.layers.user_layers import dropout, residual

M, N = 7, 5


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def draw(*shape):
    return jnp.asarray(np.random.default_rng(shape).normal(size=shape))


def scale():
    """y = s ⊙ x."""

    def backward(s, x, dy):
        return dy * s, dy * x

    return layers.define(
        forward=lambda s, x, key=None: (s * x, x),
        backward=backward,
        init=lambda key, shape: (jax.random.normal(key, shape[-1:]), shape),
        gradient=lambda s, x, delta, contract=total: contract.summed(delta),
    )


def gate(features):
    """Two inputs, two outputs: (u, v) ↦ (u ⊙ v W, u); δ belongs to v W."""

    def init(key, shapes):
        (_, v_shape) = shapes
        return jax.random.normal(key, (v_shape[-1], features)), (shapes[0], shapes[0])

    def forward(w, inputs, key=None):
        u, v = inputs
        z = rules.linear(v, w)
        return (u * z, u), (u, v, z)

    def backward(w, cache, dy):
        (d_product, du), (u, _, z) = dy, cache
        delta = d_product * u
        return (d_product * z + du, rules.input_gradient(delta, w)), delta

    def gradient(params, cache, delta, contract=total):
        return contract.outer(cache[1], delta)

    return layers.define(forward, backward, init, gradient)


def split():
    """x ↦ (x, x): the gradient of a value used twice is the sum over its uses."""
    return layers.define(
        forward=lambda params, x, key=None: ((x, x), ()),
        backward=lambda params, cache, dy: (dy[0] + dy[1], ()),
        init=lambda key, shape: ((), (shape, shape)),
    )


def add():
    """(u, v) ↦ u + v."""
    return layers.define(
        forward=lambda params, uv, key=None: (uv[0] + uv[1], ()),
        backward=lambda params, cache, dy: ((dy, dy), ()),
        init=lambda key, shapes: ((), shapes[0]),
    )


def stack(layer, count):
    """`count` equal blocks, their parameters stacked, one after the other by scan."""

    def init(key, shape):
        return jax.vmap(lambda key: layer.init(key, shape)[0])(jax.random.split(key, count)), shape

    def keys(key):
        return None if key is None else jax.random.split(key, count)

    def forward(params, x, key=None):
        return jax.lax.scan(lambda x, block: layer.forward(block[0], x, block[1]), x, (params, keys(key)))

    def backward(params, cache, dy):
        return jax.lax.scan(lambda dy, block: layer.backward(*block, dy), dy, (params, cache), reverse=True)

    def gradient(params, cache, delta, contract=total):
        return jax.vmap(lambda *block: layer.gradient(*block, contract))(params, cache, delta)

    def apply(params, x, key=None):
        def step(x, block):
            return layer.apply(block[0], x, block[1]), None

        return jax.lax.scan(step, x, (params, keys(key)))[0]

    return Layer(init, forward, backward, gradient, apply)


def twice(layer):
    """y = f(f(x)), both times with one set of parameters, which get the sum of two gradients."""

    def forward(params, x, key=None):
        h, first = layer.forward(params, x, key)
        y, second = layer.forward(params, h, key)
        return y, (first, second)

    def backward(params, cache, dy):
        dh, second = layer.backward(params, cache[1], dy)
        dx, first = layer.backward(params, cache[0], dh)
        return dx, (first, second)

    def gradient(params, cache, delta, contract=total):
        uses = (layer.gradient(params, *use, contract) for use in zip(cache, delta, strict=True))
        return jax.tree.map(operator.add, *uses)

    def apply(params, x, key=None):
        return layer.apply(params, layer.apply(params, x, key), key)

    return Layer(layer.init, forward, backward, gradient, apply)


def recomputed(layer):
    """Keeps the input alone, and computes the rest again where it is needed."""

    def forward(params, x, key=None):
        return layer.forward(params, x, key)[0], (x, key)

    def backward(params, cache, dy):
        _, inner = layer.forward(params, *cache)
        return layer.backward(params, inner, dy)

    def gradient(params, cache, delta, contract=total):
        _, inner = layer.forward(params, *cache)
        return layer.gradient(params, inner, delta, contract)

    return Layer(layer.init, forward, backward, gradient, jax.checkpoint(layer.apply))


def block():
    return layers.chain(layers.linear(N), layers.tanh(), scale())


NETWORKS = {
    "scale": lambda: layers.chain(layers.linear(N), scale(), layers.tanh()),
    "dropout": lambda: layers.chain(layers.linear(N), dropout(0.4), layers.tanh(), layers.linear(N), dropout(0.2)),
    "several inputs and outputs": lambda: layers.chain(layers.linear(N), split(), gate(N), add()),
    "residual": lambda: layers.chain(residual(block()), layers.linear(N)),
    "stack": lambda: layers.chain(stack(block(), 3), layers.linear(N)),
    "stack of dropout": lambda: stack(layers.chain(layers.linear(N), dropout(0.4), layers.tanh()), 3),
    "twice": lambda: layers.chain(twice(block()), layers.linear(N)),
    "recomputed": lambda: layers.chain(recomputed(block()), layers.linear(N)),
    "recomputed dropout": lambda: recomputed(layers.chain(layers.linear(N), dropout(0.4), layers.tanh())),
    "all of them": lambda: layers.chain(stack(residual(recomputed(twice(block()))), 3), dropout(0.3), layers.linear(N)),
}


def problem(name):
    net = NETWORKS[name]()
    params, shape = net.init(jax.random.key(0), (N,))
    assert shape == (N,)
    return net, params, draw(M, N), draw(M, N + 1)[:, 1:]


def assert_close(got, wanted):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * np.abs(b).max()), got, wanted)


CASES = [(name, 3) for name in NETWORKS] + [(name, None) for name in ("dropout", "recomputed dropout", "all of them")]


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_agrees_with_automatic_differentiation(name, seed):
    net, params, x, y = problem(name)
    key = None if seed is None else jax.random.key(seed)
    cost, gradients, _ = jax.jit(jb.backprop(net, rules.squared_error))(params, x, y, key)
    wanted = jax.jit(jb.autodiff(net, rules.squared_error))(params, x, y, key)
    assert_close((cost, gradients), wanted[:2])


@pytest.mark.parametrize("name", NETWORKS)
def test_apply_is_differentiated_by_the_layers_own_rules(name):
    net, params, x, y = problem(name)
    key = jax.random.key(3)

    def cost(params, x):
        return rules.squared_error(net.apply(params, x, key), y).mean()

    assert "custom_vjp_call" in str(jax.make_jaxpr(net.apply)(params, x, key))
    got, wanted = (jax.jit(jax.grad(f, argnums=(0, 1)))(params, x) for f in (cost, jb.automatic(cost)))
    assert_close(got, wanted)


@pytest.mark.parametrize("name", ["several inputs and outputs", "all of them"])
def test_input_gradient(name):
    net, params, x, _ = problem(name)
    _, cache = net.forward(params, x)
    dy = draw(M, N)
    dx, _ = net.backward(params, cache, dy)
    wanted = jax.jit(jax.grad(lambda x: (jb.automatic(net.apply)(params, x) * dy).sum()))(x)
    assert_close(dx, wanted)


@pytest.mark.parametrize("name", ["dropout", "stack of dropout", "recomputed dropout"])
def test_keys_decide(name):
    net, params, x, _ = problem(name)
    apply = jax.jit(net.apply)
    one, same, other, none = (apply(params, x, key) for key in (*map(jax.random.key, (3, 3, 4)), None))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)
    assert not np.allclose(one, none)


def test_stack_is_the_chain_of_its_blocks():
    stacked, params, x, y = problem("stack of dropout")
    flat = layers.chain(*[layers.chain(layers.linear(N), dropout(0.4), layers.tanh())] * 3)
    blocks = tuple(jax.tree.map(lambda p, i=i: p[i], params) for i in range(3))
    key = jax.random.key(5)
    cost, gradients, deltas = jb.backprop(stacked, rules.squared_error)(params, x, y, key)
    flat_cost, flat_gradients, flat_deltas = jb.backprop(flat, rules.squared_error)(blocks, x, y, key)
    assert_close(cost, flat_cost)
    for stacked_tree, blocks_tree in ((gradients, flat_gradients), (deltas, flat_deltas)):
        assert_close(stacked_tree, jax.tree.map(lambda *leaves: jnp.stack(leaves), *blocks_tree))


def test_a_recomputing_layer_keeps_its_input_alone():
    net, params, x, _ = problem("recomputed")
    _, (kept, _) = net.forward(params, x)
    assert [leaf.shape for leaf in jax.tree.leaves(kept)] == [x.shape]
