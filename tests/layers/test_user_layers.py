"""Layers, combinators and rules that a user may write hold together with the library's.

Each network below is differentiated by hand and by JAX (every rule removed); value and gradients must agree.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import layers, rules
from jbackprop.functions import count_rules
from jbackprop.signals import factored_gradient, per_example, squared_norm
from tests.layers.user_layers import Add, Gate, Scale, Twice, cubed, jitted, of_seven, stretched, turned, warped, where
from tests.problems import draw

M, N = 7, 5

pytestmark = pytest.mark.usefixtures("float64")


def block():
    return layers.chain(layers.linear(N), layers.tanh(), Scale())


NETWORKS = {
    "scale": layers.chain(layers.linear(N), Scale(), layers.tanh()),
    "several inputs and outputs": layers.chain(
        layers.linear(N), layers.parallel(layers.identity(), layers.identity()), Gate(N), Add()
    ),
    "twice": layers.chain(Twice(block()), layers.linear(N)),
    "stack of twice": layers.stack(layers.residual(Twice(block())), 3),
    "checkpoint": layers.checkpoint(block(), Scale("t")),
    "a rule": layers.chain(layers.of(cubed, s=layers.ones), layers.linear(N)),
    "a rule that needs its parameter": layers.chain(layers.linear(N), layers.of(warped, s=jax.nn.initializers.ones)),
    "a stack of a rule": layers.stack(layers.residual(layers.of(warped, s=layers.normal(1.0))), 3),
    "a rule that keeps what it made of its parameter": layers.of(stretched, s=layers.normal(1.0)),
    "a stack of it": layers.stack(layers.residual(layers.of(stretched, s=layers.normal(1.0))), 3),
    "a stack of a rule under jit": layers.stack(layers.of(jitted, s=layers.normal(1.0)), 3),
    "dropout": layers.chain(layers.linear(N), layers.dropout(0.4), Scale(), layers.dropout(0.2)),
}


def problem(name):
    net = NETWORKS[name]
    params, shape = net.init(jax.random.key(0), (N,))
    assert shape == (N,)
    return net, params, draw(M, N), draw(M, N + 1)[:, 1:]


def assert_close(got, wanted):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * np.abs(b).max()), got, wanted)


CASES = [(name, 3) for name in NETWORKS] + [("dropout", None)]


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

    assert count_rules(net.apply, params, x, key)
    got, wanted = (jax.jit(jax.grad(f, argnums=(0, 1)))(params, x) for f in (cost, jb.automatic(cost)))
    assert_close(got, wanted)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "dropout"])
def test_the_gradient_of_each_example(name):
    net, params, x, y = problem(name)

    @jax.jit
    def by_hand(params, x):
        output, cache = net.forward(params, x)
        return net.gradient(params, cache, net.backward(params, cache, output - y)[1], jax.vmap(layers.total))

    def cost(params, x, y):
        return rules.squared_error(jb.automatic(net.apply)(params, x[None]), y[None]).sum()

    each = jax.jit(jax.vmap(jax.grad(cost), in_axes=(None, 0, 0)))(params, x, y)
    assert_close(by_hand(params, x), each)


T, CELLS = 4, 3
ATTENTION = partial(layers.of, rules.dot_product_attention)
QUERY_KEY_VALUE = "query", "key", "value"
W, U = (
    layers.Parameter(layers.normal(1.0), (layers.FEATURES, 4 * CELLS)),
    layers.Parameter(layers.normal(1.0), (CELLS, 4 * CELLS)),
)
OF_SEVERAL = {
    "lengths": ATTENTION(inputs=(*QUERY_KEY_VALUE, "key_value_seq_lengths"), integers=("key_value_seq_lengths",)),
    "a mask": ATTENTION(inputs=(*QUERY_KEY_VALUE, "mask"), booleans=("mask",)),
    "a recurrence of lengths": layers.of(rules.lstm, inputs=("x", "seq_lengths"), integers=("seq_lengths",), w=W, u=U),
    "a recurrence": layers.of(rules.lstm, w=W, u=U),
    "labels": layers.of(
        rules.linear_softmax_cross_entropy,
        inputs=("x", "labels"),
        integers=["labels"],
        w=layers.Parameter(layers.normal(1.0), (layers.FEATURES, 6)),
        b=layers.Parameter(layers.zeros, (6,)),
    ),
    "a mask first": layers.of(where, inputs=("mask", "x"), booleans=("mask",), axes=2, s=layers.normal(1.0)),
}
LENGTHS, MASK = jnp.array([2, 4, 1, 3, 4, 1, 2]), jnp.arange(M * T).reshape(M, T) % 3 != 1
INPUTS = {
    "lengths": (draw(M, 6, 3, 2), draw(M, T, 3, 2), draw(M, T, 3, N), LENGTHS),
    "a mask": (draw(M, 6, 3, 2), draw(M, T, 3, 2), draw(M, T, 3, N), MASK[:, None, None]),
    "a recurrence of lengths": (draw(M, T, N), LENGTHS),
    "a recurrence": draw(M, T, N),
    "labels": (draw(M, T, N), jnp.arange(M * T).reshape(M, T) % 6),
    "a mask first": (MASK[..., None], draw(M, T, N)),
}


def each_squared(output, y):
    """The squares of all outputs of an example."""
    squares = [jnp.square(leaf - y).sum(range(1, leaf.ndim)) for leaf in jax.tree.leaves(output)]
    return jnp.stack(squares).sum(0)


@pytest.mark.parametrize("name", OF_SEVERAL)
def test_a_rule_of_numbers_beside_integers_or_booleans(name):
    x, layer, shape = INPUTS[name], OF_SEVERAL[name], jax.tree.map(lambda leaf: leaf.shape[1:], INPUTS[name])
    learns = [
        layers.linear(leaf.shape[-1], bias=False) if differentiated(leaf) else layers.identity()
        for leaf in jax.tree.leaves(x)
    ]
    before = layers.parallel(*learns, split=True) if isinstance(x, tuple) else learns[0]
    net = layers.chain(before, layer)
    params, out_shape = net.init(jax.random.key(0), shape)
    assert out_shape == jax.tree.map(lambda leaf: leaf.shape[1:], net.apply(params, x))
    found = jax.jit(jb.backprop(net, each_squared))(params, x, 0.3)[:2]
    assert_close(found, jax.jit(jb.autodiff(net, each_squared))(params, x, 0.3)[:2])
    applied = jax.jit(jax.grad(lambda params: each_squared(net.apply(params, x), 0.3).mean()))(params)
    assert_close(found[1], applied)
    dx = layer.backward(params[1], *passed(layer, params[1], x))[0]
    assert jax.tree.structure(dx, is_leaf=lambda d: d is None) == jax.tree.structure(x)
    assert layers.summary(net, shape).total.parameters == sum(leaf.size for leaf in jax.tree.leaves(params))
    assert jb.explain(net, each_squared)(params, x, 0.3).first_difference is None


def differentiated(leaf):
    return jnp.issubdtype(leaf.dtype, jnp.floating)


def passed(layer, params, x):
    """A cache and ∂C/∂output."""
    y, cache = layer.forward(params, x)
    return cache, jax.tree.map(jnp.ones_like, y)


@pytest.mark.parametrize("name", [name for name in OF_SEVERAL if OF_SEVERAL[name].parameters])
def test_the_gradient_of_each_example_of_several_inputs(name):
    layer, x = OF_SEVERAL[name], INPUTS[name]
    params, _ = layer.init(jax.random.key(0), jax.tree.map(lambda leaf: leaf.shape[1:], x))
    factors = jax.jit(lambda params, x: factored_gradient(layer, each_squared)(params, x, 0.3).factors)(params, x)
    cost = jb.automatic(
        lambda params, x: each_squared(layer.apply(params, jax.tree.map(lambda leaf: leaf[None], x)), 0.3).sum()
    )
    assert_close(per_example(factors), jax.jit(jax.vmap(jax.grad(cost), in_axes=(None, 0)))(params, x))


@pytest.mark.parametrize("count", [N - 1, N])
@pytest.mark.parametrize("rule", [stretched, jitted, warped])
def test_as_many_examples_as_features_or_not(rule, count):
    """What is the same for every example is told from what has one row an example, be the sizes equal or not."""
    net = layers.of(rule, s=layers.normal(1.0))
    params, _ = net.init(jax.random.key(0), (N,))
    x, y = draw(count, N), draw(count, N + 1)[:, 1:]
    factors = factored_gradient(net, rules.squared_error)(params, x, y).factors
    cost = jb.automatic(lambda params, x, y: rules.squared_error(net.apply(params, x[None]), y[None]).sum())
    each = jax.vmap(jax.grad(cost), in_axes=(None, 0, 0))(params, x, y)
    assert_close(per_example(factors), each)
    assert_close(squared_norm(factors), jnp.square(each["s"]).sum(-1))


@pytest.mark.parametrize("rule", [stretched, jitted, warped])
def test_a_rule_on_every_step(rule):
    net = layers.stack(layers.map_over_time(layers.of(rule, s=layers.normal(1.0))), 2)
    params, _ = net.init(jax.random.key(0), (3, N))
    x, y = draw(M, 3, N), draw(M, 3, N + 1)[..., 1:]
    loss = jb.automatic(lambda output, y: rules.squared_error(output, y).sum(-1))
    factors = factored_gradient(net, loss)(params, x, y).factors
    cost = jb.automatic(lambda params, x, y: loss(net.apply(params, x[None]), y[None]).sum())
    each = jax.vmap(jax.grad(cost), in_axes=(None, 0, 0))(params, x, y)
    assert_close(per_example(factors), each)


@pytest.mark.parametrize("rule", [turned, of_seven])
@pytest.mark.parametrize("around", [lambda net: net, lambda net: layers.stack(net, 2), layers.map_over_time])
def test_a_rule_that_keeps_examples_elsewhere_tells_no_gradient_of_one(around, rule):
    net = around(layers.of(rule, s=layers.normal(1.0)))
    params, _ = net.init(jax.random.key(0), (3, N))
    x = draw(M, 3, N)
    cost, gradients, _ = jb.backprop(net, rules.squared_error)(params, x, x)
    assert_close((cost, gradients), jb.autodiff(net, rules.squared_error)(params, x, x)[:2])
    factors = factored_gradient(net, lambda output, y: jnp.square(output - y).sum((1, 2)))(params, x, x).factors
    with pytest.raises(ValueError, match="per_example: s, wanted layers that keep examples apart"):
        per_example(factors)


def test_second_order():
    """`apply` is a rule whose backward pass is plain JAX: it can be differentiated again, in both ways."""
    net, params, x, y = problem("scale")

    def cost(params, apply):
        return rules.squared_error(apply(params, x), y).mean()

    direction = jax.tree.map(jnp.ones_like, params)
    gradient = partial(jax.grad(cost), apply=net.apply)
    plain = partial(jax.grad(cost), apply=jb.automatic(net.apply))
    wanted = jax.jit(lambda p: jax.jvp(plain, (p,), (direction,))[1])(params)
    assert_close(jax.jit(lambda p: jax.jvp(gradient, (p,), (direction,))[1])(params), wanted)
    assert_close(jax.jit(lambda p: jax.vjp(gradient, p)[1](direction)[0])(params), wanted)


def test_keys_decide():
    net, params, x, _ = problem("dropout")
    apply = jax.jit(net.apply)
    one, same, other, none = (apply(params, x, key) for key in (*map(jax.random.key, (3, 3, 4)), None))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)
    assert not np.allclose(one, none)


def test_stack_is_the_chain_of_its_blocks():
    part = layers.chain(layers.linear(N), layers.dropout(0.4), layers.tanh())
    stacked, flat = layers.stack(part, 3), layers.chain(part, part, part)
    params, _ = stacked.init(jax.random.key(0), (N,))
    blocks = tuple(jax.tree.map(lambda p, i=i: p[i], params) for i in range(3))
    x, y, key = draw(M, N), draw(M, N + 1)[:, 1:], jax.random.key(5)
    cost, gradients, deltas = jb.backprop(stacked, rules.squared_error)(params, x, y, key)
    flat_cost, flat_gradients, flat_deltas = jb.backprop(flat, rules.squared_error)(blocks, x, y, key)
    assert_close(cost, flat_cost)
    for stacked_tree, blocks_tree in ((gradients, flat_gradients), (deltas, flat_deltas)):
        assert_close(stacked_tree, jax.tree.map(lambda *leaves: jnp.stack(leaves), *blocks_tree))


def test_a_checkpoint_keeps_its_input_alone():
    net, params, x, _ = problem("checkpoint")
    _, kept = net.forward(params, x)
    assert [leaf.shape for leaf in jax.tree.leaves(kept)] == [x.shape]


def test_a_checkpoint_saves_memory_in_the_compiled_program():
    """Twelve blocks of eight activations each: kept whole, or recomputed one block at a time."""
    inner = layers.chain(*[part for _ in range(4) for part in (layers.linear(64), layers.tanh())])
    x = jnp.ones((512, 64))

    def temporary(block):
        net = layers.stack(block, 12)
        params, _ = net.init(jax.random.key(0), (64,))

        def gradients(params):
            return jb.backprop(net, rules.squared_error)(params, x, x)[1]

        analysis = jax.jit(gradients).lower(params).compile().memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    assert temporary(layers.checkpoint(inner)) < temporary(inner) / 3


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def power(n, x):
    """y = xⁿ, its option first."""
    return x**n


power.defvjp(lambda n, x: (x**n, x), lambda n, x, dy: (dy * n * x ** (n - 1),))


def test_an_option_by_position():
    net, x = layers.of(partial(power, 3)), draw(M, N)
    assert net == layers.of(partial(power, n=3))
    assert net.init(jax.random.key(0), (N,)) == ((), (N,))
    assert_close(net.backward((), net.forward((), x)[1], x)[0], 3 * x**3)
