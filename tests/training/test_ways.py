"""Gradients in parts, in half precision, and over the devices of a mesh: those of one batch on one device."""

import re
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jbackprop as jb
from jbackprop import layers, rules, signals, training
from tests.layers.user_layers import cubed

EXAMPLES, TIME, WIDTH, WORDS = 16, 6, 8, 24
BACKWARD = {"manual": jb.backprop, "automatic": jb.autodiff}
OPTIMIZER = optax.adam(1e-2)


def network(dropout=0.0):
    block = layers.transformer_block(WIDTH, 2, dropout=dropout)
    ends = layers.embedding(WORDS, WIDTH), layers.linear(WORDS, bias=False)
    inside = layers.stack(layers.checkpoint(block), 2), layers.rms_norm()
    return layers.shared(layers.chain(ends[0], *inside, ends[1]), ("0.table", "3.w.T"))


def problem(net):
    ids = jax.random.randint(jax.random.key(1), (EXAMPLES, TIME + 1), 0, WORDS)
    return net.init(jax.random.key(0), (TIME,))[0], ids[:, :-1], ids[:, 1:]


def of_tokens(logits, ids):
    return rules.softmax_cross_entropy(logits, ids).mean(-1)


def way(name, net):
    return BACKWARD[name](net, of_tokens)


def assert_close(got, wanted, units=200):
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(wanted))
    chex.assert_trees_all_close(got, wanted, rtol=0, atol=units * jnp.finfo(jnp.float32).eps * largest)


@pytest.mark.parametrize("name", BACKWARD)
def test_in_parts(name):
    net = network()
    params, x, y = problem(net)
    whole = jax.jit(way(name, net))(params, x, y)
    parts = jax.jit(training.in_parts(way(name, net), 4))(params, x, y)
    assert_close(parts[:2], whole[:2])
    one = jax.tree.map(lambda deltas: deltas[1], parts[2])
    wanted = jax.jit(way(name, net))(params, x[1::4], y[1::4])[2]
    assert jax.tree.structure(one) == jax.tree.structure(wanted)
    for got, delta in zip(jax.tree.leaves(one), jax.tree.leaves(wanted), strict=True):
        assert_close(got, delta)


def test_norms_in_parts_are_those_of_the_batch():
    net = network()
    params, x, y = problem(net)
    state = training.init(params, OPTIMIZER)
    _, whole = training.step(way("manual", net), OPTIMIZER)(state, x, y)
    state = training.init(params, OPTIMIZER)
    _, parts = training.step(training.in_parts(way("manual", net), 4), OPTIMIZER)(state, x, y)
    chex.assert_trees_all_close(parts, whole, rtol=1e-4)
    blocks = jax.tree.leaves(whole.delta_norms[1])
    assert blocks and all(norms.shape == (2,) for norms in blocks)


def test_parts_draw_their_own_numbers():
    net = layers.chain(layers.linear(32), layers.dropout(0.5), layers.linear(3))
    params, _ = net.init(jax.random.key(0), (5,))
    x, y = jnp.ones((8, 5)), jnp.zeros((8, 3))
    backpropagate, key = jb.backprop(net, rules.squared_error), jax.random.key(3)
    costs = {n: float(training.in_parts(backpropagate, n)(params, x, y, key)[0]) for n in (1, 2)}
    assert costs[1] != costs[2]


@pytest.mark.parametrize("name", BACKWARD)
@pytest.mark.parametrize(("dtype", "scale"), [(jnp.bfloat16, 1.0), (jnp.float16, 2.0**10)])
def test_mixed_precision(name, dtype, scale):
    net = network()
    params, x, y = problem(net)
    cost, gradients, deltas = jax.jit(way(name, net))(params, x, y)
    mixed = training.mixed_precision(way(name, net), dtype, scale)
    got_cost, got, got_deltas = jax.jit(mixed)(params, x, y)
    chex.assert_trees_all_equal_dtypes(got, params)
    share = 100 * float(jnp.finfo(dtype).eps)  # of the parameters of four keys the worst is off by 46
    assert abs(got_cost - cost) < share * cost
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradients))
    chex.assert_trees_all_close(got, gradients, rtol=0, atol=share * largest)
    for one, other in zip(jax.tree.leaves(got_deltas), jax.tree.leaves(deltas), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=share * np.abs(other).max())


def test_a_scale_may_be_traced():
    net = network()
    params, x, y = problem(net)
    got = jax.jit(lambda scale: training.mixed_precision(way("manual", net), jnp.float16, scale)(params, x, y))(2.0**10)
    wanted = jax.jit(training.mixed_precision(way("manual", net), jnp.float16, 2.0**10))(params, x, y)
    chex.assert_trees_all_close(got, wanted, rtol=1e-6)


def test_a_scale_saves_what_float16_cannot_hold():
    net = layers.linear(1, bias=False)
    params, x, y = {"w": jnp.ones((1, 1))}, jnp.full((2, 1), 1e-4), jnp.zeros((2, 1))
    loss = rules.squared_error
    assert training.mixed_precision(jb.backprop(net, loss), jnp.float16)(params, x, y)[1]["w"] == 0
    (got,) = jax.tree.leaves(training.mixed_precision(jb.backprop(net, loss), jnp.float16, 2.0**12)(params, x, y)[1])
    np.testing.assert_allclose(got, jb.backprop(net, loss)(params, x, y)[1]["w"], rtol=1e-2)


@pytest.mark.parametrize("scale", [2.0**10, training.DynamicScale(2.0**10)], ids=["fixed", "dynamic"])
def test_a_scale_reaches_the_parts_inside(scale):
    net = layers.linear(3)
    params, _ = net.init(jax.random.key(0), (5,))
    x, y = jax.random.normal(jax.random.key(1), (8, 5)), jnp.zeros((8, 3))
    parts = training.in_parts(jb.backprop(net, rules.squared_error), 2)
    cost, gradients, _ = training.mixed_precision(parts, jnp.float16, scale)(params, x, y)
    wanted = jb.backprop(net, rules.squared_error)(params, x, y)
    chex.assert_trees_all_close((cost, gradients), wanted[:2], rtol=2e-2, atol=2e-3)


def descent_in_float16(make, *batch_size, parts=1, growth_interval=2):
    """On the cost c w, whose gradient in float16 is c times the loss scale: too large above 65504."""
    way = jb.backprop(layers.linear(1, bias=False), lambda output, y: output[:, 0])
    way = training.mixed_precision(way, jnp.float16, training.DynamicScale(growth_interval=growth_interval))
    way = training.in_parts(way, parts) if parts > 1 else way
    return training.init({"w": jnp.ones((1, 1))}, OPTIMIZER), make(way, OPTIMIZER, *batch_size)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_dynamic_scale_falls_at_an_overflow_and_grows_again(parts):
    state, step = descent_in_float16(training.step, parts=parts)
    powers = []
    for cost in (1.0, 7.0, 7.0, 7.0, 1.0, 7.0):
        before = jax.tree.map(np.array, state[:3])
        state, metrics = step(state, jnp.full((2, 1), cost), jnp.zeros(2))
        training.check_finite(metrics)
        powers.append(int(np.log2(state.loss_scale.scale)))
        moved = any(jax.tree.leaves(jax.tree.map(lambda a, b: (a != b).any(), state[:3], before)))
        assert moved == (not training.overflowed(metrics)) == (powers[-1] >= int(np.log2(metrics.loss_scale)))
    assert powers == [15, 14, 13, 13, 14, 13] and state.step == 3


def test_an_epoch_goes_on_after_an_overflow_and_ends_where_the_scale_is_not_to_blame():
    state, epoch = descent_in_float16(training.epoch, 1, growth_interval=100)
    x, y = jnp.array([[1.0], [1.0], [7.0], [1.0]]), jnp.zeros(4)
    state, metrics = epoch(state, jax.random.key(1), x, y)
    training.check_finite(metrics)
    assert training.overflowed(metrics).sum() == 1 and state.step == 3 and state.loss_scale.scale == 2.0**14
    state, metrics = epoch(state, jax.random.key(1), jnp.full((40, 1), jnp.nan), jnp.zeros(40))
    assert state.step == 3 and state.loss_scale.scale == 1
    with pytest.raises(training.NonFiniteError, match="step 3: the cost is nan"):
        training.check_finite(metrics)


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [
        ("initial", 0.5, "a finite number of at least 1"),
        ("growth_interval", 0, "at least 1"),
        ("factor", 1.0, "a finite number above 1"),
        ("factor", float("nan"), "a finite number above 1"),
    ],
)
def test_a_dynamic_scale_refuses(option, value, wanted):
    with pytest.raises(ValueError, match=f"DynamicScale: {option}, wanted {wanted}, got {value}"):
        training.DynamicScale(**{option: value})


def test_training_in_parts_and_half_precision():
    net = network(dropout=0.1)
    params, x, y = problem(net)
    mixed = training.in_parts(training.mixed_precision(way("manual", net)), 2)
    one_pass, state = training.epoch(mixed, OPTIMIZER, 8), training.init(params, OPTIMIZER)
    costs = []
    for key in jax.random.split(jax.random.key(2), 8):
        state, metrics = one_pass(state, key, x, y)
        training.check_finite(metrics)
        costs.append(metrics.cost.mean())
    assert costs[-1] < 0.9 * costs[0]
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {jnp.dtype(jnp.float32)}


MESHES = {kind.name: jax.make_mesh((8,), ("data",), axis_types=(kind,)) for kind in (AxisType.Auto, AxisType.Explicit)}
BATCHES = PartitionSpec("data")


@pytest.mark.parametrize("name", BACKWARD)
@pytest.mark.parametrize("kind", MESHES)
@pytest.mark.parametrize("sharded", [False, True], ids=["whole", "sharded"])
def test_steps_on_a_mesh(name, kind, sharded):
    if name == "automatic" and kind == "Explicit":
        pytest.skip("autodiff of a gather on an explicit mesh is JAX's own affair")
    mesh, net = MESHES[kind], network()
    params, x, y = problem(net)
    step = training.step(way(name, net), optax.sgd(0.1))
    wanted, alone = step(training.init(params, optax.sgd(0.1)), x, y)
    state = training.init(params, optax.sgd(0.1))
    whole = NamedSharding(mesh, PartitionSpec())
    state = training.fully_sharded(state, mesh) if sharded else jax.device_put(state, whole)
    before = jax.tree.map(lambda array: array.sharding, state.params)
    with jax.set_mesh(mesh):
        state, metrics = step(state, *jax.device_put((x, y), NamedSharding(mesh, BATCHES)))
    assert_close(jax.device_get(state.params), wanted.params)
    chex.assert_trees_all_close(jax.device_get(metrics), alone, rtol=1e-4)
    if kind == "Explicit":
        for array, place in zip(jax.tree.leaves(state.params), jax.tree.leaves(before), strict=True):
            assert array.sharding.is_equivalent_to(place, array.ndim)
        assert all(leaf.is_fully_replicated != sharded for leaf in jax.tree.leaves(state.params))


@pytest.mark.parametrize("sharded", [False, True], ids=["whole", "sharded"])
def test_steps_on_a_mesh_of_anyones_rule(sharded):
    mesh = MESHES["Explicit"]
    net = layers.chain(layers.linear(WIDTH), layers.of(cubed, s=layers.normal(1.0)), layers.linear(3))
    params, _ = net.init(jax.random.key(0), (5,))
    x, y = jax.random.normal(jax.random.key(1), (EXAMPLES, 5)), jnp.arange(EXAMPLES) % 3
    step = training.step(jb.backprop(net, rules.softmax_cross_entropy), optax.sgd(0.1))
    wanted, alone = step(training.init(params, optax.sgd(0.1)), x, y)
    state = training.init(params, optax.sgd(0.1))
    state = (
        training.fully_sharded(state, mesh) if sharded else jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
    )
    with jax.set_mesh(mesh):
        state, metrics = step(state, *jax.device_put((x, y), NamedSharding(mesh, BATCHES)))
    assert_close(jax.device_get(state.params), wanted.params)
    chex.assert_trees_all_close(jax.device_get(metrics), alone, rtol=1e-4)


def test_an_epoch_on_a_mesh():
    mesh, net = MESHES["Explicit"], network()
    params, x, y = problem(net)
    one_pass, key = training.epoch(way("manual", net), OPTIMIZER, 8), jax.random.key(5)
    wanted, _ = one_pass(training.init(params, OPTIMIZER), key, x, y)
    state = training.fully_sharded(training.init(params, OPTIMIZER), mesh)
    with jax.set_mesh(mesh):
        state, _ = one_pass(state, key, *jax.device_put((x, y), NamedSharding(mesh, BATCHES)))
    assert_close(jax.device_get(state.params), wanted.params, units=2000)


def test_one_sum_over_the_devices_for_each_gradient_and_none_forward():
    mesh = MESHES["Auto"]
    net = layers.chain(layers.linear(16), layers.tanh(), layers.linear(8), layers.relu(), layers.linear(4, bias=False))
    params, _ = net.init(jax.random.key(0), (24,))
    params = jax.device_put(params, NamedSharding(mesh, PartitionSpec()))
    x, y = jax.device_put((jnp.ones((16, 24)), jnp.ones((16, 4))), NamedSharding(mesh, BATCHES))

    def sums(f, *arguments):
        text = jax.jit(f).lower(*arguments).compile().as_text() or ""
        assert not re.search("all-gather|all-to-all|collective-permute", text)
        return re.findall(r"f32\[", "".join(re.findall(r"= (.*) all-reduce\(", text)))

    assert not sums(net.apply, params, x)
    found = sums(lambda *args: jb.backprop(net, rules.squared_error)(*args)[1], params, x, y)
    assert len(found) == len(jax.tree.leaves(params))


NO_WAY: Any = network()
NO_NUMBER: Any = 1.5
BAD = {
    "parts": (lambda: training.in_parts(way("manual", network()), 0), ValueError, "parts, wanted a positive whole"),
    "part of a part": (
        lambda: training.in_parts(way("manual", network()), NO_NUMBER),
        ValueError,
        "parts, wanted .* whole",
    ),
    "sums": (
        lambda: training.in_parts(signals.clipped_gradient(layers.linear(3), rules.squared_error, 1.0, mean=False), 2),
        ValueError,
        "in_parts: backpropagate, wanted means of examples, got sums",
    ),
    "sums in half precision": (
        lambda: training.in_parts(
            training.mixed_precision(signals.clipped_gradient(layers.linear(3), rules.squared_error, 1.0, mean=False)),
            2,
        ),
        ValueError,
        "in_parts: backpropagate, wanted means of examples, got sums",
    ),
    "batch": (
        lambda: training.in_parts(way("manual", network()), 3)(*problem(network())),
        ValueError,
        "in_parts: x, wanted a number of examples that 3 parts divide, got 16",
    ),
    "way": (lambda: training.in_parts(NO_WAY, 2), TypeError, "wanted what jbackprop.backprop makes, got shared"),
    "dtype": (lambda: training.mixed_precision(way("manual", network()), jnp.int8), TypeError, "wanted a floating"),
    "scale": (
        lambda: training.mixed_precision(way("manual", network()), jnp.float16, 0.0),
        ValueError,
        "mixed_precision: scale, wanted a positive number, got 0.0",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    make, error, message = BAD[name]
    with pytest.raises(error, match=message):
        make()
