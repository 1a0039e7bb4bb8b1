"""Quantities of a batch that is spread over an explicit mesh, as those on one device."""

import chex
import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import jbackprop as jb
from jbackprop import layers, rules, signals
from jbackprop.cases import LayerCase

MESH = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,), devices=jax.devices()[:4])
CONVOLUTIONS = LayerCase(
    "convolutions",
    layers.chain(layers.conv(4, (3, 3)), layers.conv(4, (3, 3), groups=4), layers.global_avg_pool(), layers.linear(3)),
    (6, 5, 2),
)
LINEAR = LayerCase("linear", layers.chain(layers.linear(4), layers.tanh(), layers.linear(3)), (5,))
TABLE = LayerCase("table", layers.chain(layers.embedding(7, 4), layers.flatten(), layers.linear(3)), (5,), numbers=7)
SEQUENCES = LayerCase("sequences", layers.chain(layers.linear(4), layers.flatten(), layers.linear(3)), (6, 5))
STACK = LayerCase("stack", layers.chain(layers.stack(layers.residual(layers.linear(5)), 2), layers.linear(3)), (5,))


@jax.custom_vjp
def _scaled(x, s):
    return s * x**3


_scaled.defvjp(
    lambda x, s: (s * x**3, (x, s)), lambda kept, u: (u * kept[1] * 3 * kept[0] ** 2, (u * kept[0] ** 3).sum(0))
)


@jax.custom_vjp
def _shifted(x, b):
    return jnp.sin(x + 2 * b)


_shifted.defvjp(
    lambda x, b: (jnp.sin(x + 2 * b), (x, 2 * b)),
    lambda kept, u: (u * jnp.cos(kept[0] + kept[1]), (2 * u * jnp.cos(kept[0] + kept[1])).sum(0)),
)
SCALED, SHIFTED = layers.of(_scaled, s=jax.nn.initializers.ones), layers.of(_shifted, b=layers.normal())
ANYONES = layers.chain(layers.linear(4), SCALED, layers.linear(3))
RULE = LayerCase("anyone's rule", ANYONES, (5,))
KEPT = LayerCase("anyone's rule, twice the parameter kept", layers.chain(SHIFTED, layers.linear(3)), (5,))
FRAMES = layers.map_over_time(layers.chain(layers.conv(4, (3, 3)), layers.global_avg_pool()))
FILMS = LayerCase("films", layers.chain(FRAMES, layers.gru(3, output="last")), (3, 5, 4, 2))
QUANTITIES = {
    "per_example": signals.per_example,
    "squared_norm": signals.squared_norm,
    "inner_products": signals.inner_products,
    "cosines": signals.cosines,
    "second_moment": signals.second_moment,
    "variance": signals.variance,
    "noise_scale": signals.noise_scale,
    "kronecker_factors": signals.kronecker_factors,
    "kronecker_factors, reduced": lambda factors: signals.kronecker_factors(factors, "reduce"),
}


def assert_same_when_spread(case, of):
    params, _ = case.layer.init(jax.random.key(0), case.shape)
    x, y = case.inputs(1, 8), jnp.arange(8) % 3
    wanted = jax.device_get(jax.jit(of)(params, x, y))
    params = jax.device_put(params, NamedSharding(MESH, PartitionSpec()))
    with jax.set_mesh(MESH):
        got = jax.jit(of)(params, *jax.device_put((x, y), NamedSharding(MESH, PartitionSpec("data"))))
    chex.assert_trees_all_close(jax.device_get(got), wanted, rtol=1e-4, atol=1e-5)


LAST = layers.flatten(), layers.linear(3)
OF_ANYONES = [
    RULE,
    KEPT,
    LayerCase("stack", layers.chain(layers.stack(layers.chain(SCALED, SHIFTED), 2), *LAST), (5,)),
    LayerCase("map_over_time", layers.chain(layers.map_over_time(layers.chain(SCALED, SHIFTED)), *LAST), (6, 5)),
    LayerCase("shared", layers.shared(layers.chain(SCALED, SHIFTED, SCALED, *LAST), ("0.s", "2.s")), (5,)),
    LayerCase("checkpoint", layers.chain(layers.checkpoint(layers.chain(SCALED, SHIFTED)), *LAST), (5,)),
]


@pytest.mark.parametrize("case", OF_ANYONES, ids=lambda case: case.name)
def test_gradients_of_anyones_rule_for_a_batch_that_is_spread(case):
    loss = rules.softmax_cross_entropy
    factored = signals.factored_gradient(case.layer, loss)

    def every(params, x, y):
        factors = factored(params, x, y).factors
        clipped = signals.clipped_gradient(case.layer, loss, 0.1)(params, x, y)
        of_factors = case.layer.gradient(params, *_passed(case.layer, loss, params, x, y))
        return jb.backprop(case.layer, loss)(params, x, y), of_factors, clipped, signals.per_example(factors)

    assert_same_when_spread(case, every)


def _passed(net, loss, params, x, y):
    """A cache and deltas."""
    output, cache = net.forward(params, x)
    return cache, net.backward(params, cache, jax.grad(lambda z: loss(z, y).mean())(output))[1]


@pytest.mark.parametrize("cell", [layers.rnn, layers.gru, layers.lstm])
def test_the_last_state_of_sequences(cell):
    net = layers.chain(cell(4, output="last"), layers.linear(3))
    assert_same_when_spread(LayerCase("last", net, (5, 2)), jb.backprop(net, rules.softmax_cross_entropy))


@pytest.mark.parametrize(
    "case", [LINEAR, TABLE, SEQUENCES, STACK, RULE, CONVOLUTIONS, FILMS], ids=lambda case: case.name
)
def test_quantities_of_a_batch_that_is_spread(case):
    factored = signals.factored_gradient(case.layer, rules.softmax_cross_entropy)

    def every(params, x, y):
        factors = factored(params, x, y).factors
        return {name: quantity(factors) for name, quantity in QUANTITIES.items()}

    assert_same_when_spread(case, every)


@pytest.mark.parametrize("case", [LINEAR, RULE, CONVOLUTIONS, FILMS], ids=lambda case: case.name)
def test_clipped_gradients_of_a_batch_that_is_spread(case):
    assert_same_when_spread(case, signals.clipped_gradient(case.layer, rules.softmax_cross_entropy, 0.1))
