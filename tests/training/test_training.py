"""Steps and epochs of descent: what they compute, what they leave alone, and how they stop."""

import functools
import itertools
from typing import Any, cast

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jbackprop as jb
from jbackprop import layers, rules, training

EXAMPLES, FEATURES, CLASSES = 23, 7, 5
RATE = 0.1
BACKWARD = {"manual": jb.backprop, "automatic": jb.autodiff}


def network():
    return layers.chain(layers.linear(11), layers.tanh(), layers.linear(CLASSES))


@functools.cache
def problem():
    """Parameters, inputs and labels of NumPy, which no step can donate."""
    draw = np.random.default_rng(3)
    x, y = draw.normal(size=(EXAMPLES, FEATURES)), draw.integers(CLASSES, size=EXAMPLES)
    params, _ = network().init(jax.random.key(1), (FEATURES,))
    return jax.tree.map(np.asarray, params), x.astype(np.float32), y


def backpropagation(name="manual"):
    return BACKWARD[name](network(), rules.softmax_cross_entropy)


@jax.jit
def descend(params, x, y):
    """One step of plain gradient descent, the gradient by JAX from the network's equations alone."""

    def cost(params):
        (first, _, last) = params
        z = jnp.tanh(x @ first["w"] + first["b"]) @ last["w"] + last["b"]
        return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()

    return jax.tree.map(lambda p, gradient: p - RATE * gradient, params, jax.grad(cost)(params))


def assert_close(actual, wanted):
    chex.assert_trees_all_close(actual, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", BACKWARD)
def test_step_is_gradient_descent(name):
    params, x, y = problem()
    optimizer = optax.sgd(RATE)
    state, metrics = training.step(backpropagation(name), optimizer)(training.init(params, optimizer), x, y)
    assert_close(state.params, descend(params, x, y))
    assert (state.step, metrics.step) == (1, 0)


@pytest.mark.parametrize(("batch_size", "steps"), [(None, 1), (EXAMPLES, 1), (5, 4), (1, EXAMPLES)])
def test_epoch_takes_each_example_at_most_once(batch_size, steps):
    """The examples show in the metrics: an optimizer that does not move leaves each its own cost."""
    params, x, y = problem()
    frozen = optax.set_to_zero()
    one_pass = training.epoch(backpropagation(), frozen, batch_size)
    state, metrics = one_pass(training.init(params, frozen), jax.random.key(2), x, y)
    assert state.step == steps and metrics.cost.shape == (steps,)
    np.testing.assert_array_equal(metrics.step, np.arange(steps))
    if batch_size == 1:
        costs = rules.softmax_cross_entropy(network().apply(params, x), y)
        np.testing.assert_allclose(np.sort(metrics.cost), np.sort(costs), rtol=1e-5)


@pytest.mark.parametrize("cuts", [(0, 11), (0, 1, 3, 11), (0, 6, 7, 8, 11)])
def test_an_epoch_in_parts_is_the_whole_bit_for_bit_and_traced_once(cuts):
    params, x, y = problem()
    traced = []

    def way(*arguments):
        traced.append(arguments)
        return backpropagation()(*arguments)

    one_pass, key = training.epoch(way, optax.adam(RATE), 2), jax.random.key(2)
    state = training.init(params, optax.adam(RATE))
    told = jax.eval_shape(one_pass, state, key, x, y)[1]
    metrics = jax.tree.map(lambda like: jnp.full(like.shape, 9, like.dtype), told)
    for first, last in itertools.pairwise(cuts):
        state, metrics = one_pass(state, key, x, y, metrics, first, last)
    chex.assert_trees_all_equal((state, metrics), one_pass(training.init(params, optax.adam(RATE)), key, x, y))
    assert len(traced) == 1


def test_an_epoch_refuses_metrics_of_another_number_of_steps():
    params, x, y = problem()
    one_pass, state = training.epoch(backpropagation(), optax.sgd(RATE), 2), training.init(params, optax.sgd(RATE))
    metrics = training.Metrics(jnp.zeros(10), (), (), jnp.zeros(10, int))
    with pytest.raises(ValueError, match=r"epoch: metrics, wanted a row for each of 11 steps, got an array of shape"):
        one_pass(state, jax.random.key(2), x, y, metrics, 0, 3)


def test_full_batch_epoch_is_one_step():
    params, x, y = problem()
    optimizer = optax.sgd(RATE)
    state, _ = training.epoch(backpropagation(), optimizer)(training.init(params, optimizer), jax.random.key(2), x, y)
    assert_close(state.params, descend(params, x, y))


def test_epoch_is_its_steps_in_the_order_of_its_key():
    params, x, y = problem()
    optimizer = optax.sgd(RATE)
    one_pass, key = training.epoch(backpropagation(), optimizer, 1), jax.random.key(2)
    state, _ = one_pass(training.init(params, optimizer), key, x, y)
    by_hand = params
    for row in jax.random.permutation(key, EXAMPLES):
        by_hand = descend(by_hand, x[row, None], y[row, None])
    assert_close(state.params, by_hand)
    other, _ = one_pass(training.init(params, optimizer), jax.random.key(3), x, y)
    assert not np.allclose(state.params[0]["w"], other.params[0]["w"], atol=1e-6)


def test_state_is_donated_and_the_parameters_are_not():
    _, x, y = problem()
    params, _ = network().init(jax.random.key(1), (FEATURES,))
    optimizer = optax.adam(RATE)
    before = training.init(params, optimizer)
    training.step(backpropagation(), optimizer)(before, x, y)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(params))


def test_second_call_does_not_compile():
    params, x, y = problem()
    optimizer = optax.adam(RATE)
    traces = []

    def backpropagate(*arguments):
        traces.append(arguments)
        return backpropagation()(*arguments)

    step, one_pass = training.step(backpropagate, optimizer), training.epoch(backpropagate, optimizer, 4)
    state = training.init(params, optimizer)
    for key in jax.random.split(jax.random.key(2), 3):
        state, _ = step(state, x, y)
        state, _ = one_pass(state, key, x, y)
    assert len(traces) == 2


def test_state_starts_as_a_step_leaves_it():
    """L-BFGS starts with numbers of weak types, which a step makes strong: the second would be another program."""
    params, x, y = problem()
    optimizer = optax.lbfgs(RATE)
    step, state = training.step(backpropagation(), optimizer), training.init(params, optimizer)
    assert jax.eval_shape(lambda state: step(state, x, y)[0], state) == jax.eval_shape(lambda state: state, state)


@pytest.mark.parametrize("optimizer", [optax.adam(RATE), optax.sgd(RATE, momentum=0.9)], ids=["adam", "momentum"])
def test_a_step_holds_no_second_state(optimizer):
    """Beside the gradients, of which a product's is the largest, neither new parameters nor new moments."""
    net = layers.chain(layers.linear(300), layers.tanh(), layers.linear(CLASSES))
    params, _ = net.init(jax.random.key(1), (200,))
    state, x, y = training.init(params, optimizer), jnp.ones((3, 200)), jnp.arange(3)
    step = training.step(jb.backprop(net, rules.softmax_cross_entropy), optimizer).lower(state, x, y).compile()
    size = sum(array.nbytes for array in jax.tree.leaves(params))
    analysis = step.memory_analysis()
    assert analysis is not None and analysis.temp_size_in_bytes < 1.5 * size


def test_an_update_that_takes_long_is_computed_once():
    params, x, y = problem()
    calls = []

    def slowly(gradient):
        calls.append(gradient.shape)
        return gradient

    optimizer = optax.stateless_with_tree_map(lambda gradient, _: jax.pure_callback(slowly, gradient, gradient))
    state, _ = training.step(backpropagation(), optimizer)(training.init(params, optimizer), x, y)
    jax.block_until_ready(state)
    assert sorted(calls) == sorted(leaf.shape for leaf in jax.tree.leaves(params))


def test_an_optimizer_may_change_the_dtype_of_its_state():
    params, x, y = problem()
    optimizer = optax.GradientTransformation(
        lambda params: jax.tree.map(lambda p: jnp.zeros(p.shape, jnp.bfloat16), params),
        lambda updates, state, params=None: (jax.tree.map(lambda g: -RATE * g, updates), updates),
    )
    step = training.step(backpropagation(), optimizer)
    state, _ = step(training.init(params, optimizer), x, y)
    assert_close(state.params, descend(params, x, y))
    assert {leaf.dtype for leaf in jax.tree.leaves(state.optimizer)} == {jnp.dtype(jnp.float32)}


def test_clipping_bounds_the_step():
    params, x, y = problem()
    optimizer = optax.chain(optax.clip_by_global_norm(1e-3), optax.sgd(1.0))
    state, _ = training.step(backpropagation(), optimizer)(training.init(params, optimizer), x, y)
    moved = optax.tree.norm(jax.tree.map(jnp.subtract, state.params, params))
    np.testing.assert_allclose(moved, 1e-3, rtol=1e-3)


@pytest.mark.parametrize("whole_epoch", [False, True])
def test_noise_is_drawn_anew_at_every_step(whole_epoch):
    """The optimizer's own key moves as it does without us: the same noise twice would be no privacy."""
    params, x, y = problem()
    optimizer = optax.chain(optax.add_noise(eta=1.0, gamma=0.0, key=0), optax.sgd(1.0))
    way = lambda params, x, y: (jnp.float32(0), jax.tree.map(jnp.zeros_like, params), ())  # noqa: E731
    state = training.init(params, optimizer)
    if whole_epoch:
        state, _ = training.epoch(way, optimizer, EXAMPLES // 3)(state, jax.random.key(0), x, y)
    else:
        for _ in range(3):
            state, _ = training.step(way, optimizer)(state, x, y)
    wanted, noise = params, optimizer.init(params)
    for _ in range(3):
        updates, noise = optimizer.update(jax.tree.map(jnp.zeros_like, params), noise)
        wanted = optax.apply_updates(wanted, updates)
    assert_close(state.params, wanted)


def test_weight_decay_shrinks():
    params, x, y = problem()
    optimizer = optax.chain(optax.add_decayed_weights(0.5), optax.sgd(RATE))
    state, _ = training.step(backpropagation(), optimizer)(training.init(params, optimizer), x, y)
    wanted = jax.tree.map(lambda moved, p: moved - RATE * 0.5 * p, descend(params, x, y), params)
    assert_close(state.params, wanted)


def test_line_search_gets_the_cost_and_its_function():
    """Descent at a rate far too large, which the search has to cut down."""
    params, x, y = problem()
    optimizer = optax.chain(optax.sgd(100.0), optax.scale_by_backtracking_linesearch(max_backtracking_steps=20))
    step, state = training.step(backpropagation(), optimizer), training.init(params, optimizer)
    costs = []
    for _ in range(5):
        state, metrics = step(state, x, y)
        costs.append(float(metrics.cost))
    assert costs == sorted(costs, reverse=True)


def test_state_holds_no_buffer_twice():
    """L-BFGS starts with arrays that are one and the same, and a buffer can be donated once."""
    params, _ = network().init(jax.random.key(1), (FEATURES,))
    leaves = jax.tree.leaves((params, training.init(params, optax.lbfgs())))
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)


@pytest.mark.parametrize(("x64", "tolerance"), [(False, 1e-5), (True, 1e-12)], ids=["float32", "float64"])
def test_manual_and_automatic_runs_stay_together(x64, tolerance):
    """200 steps in 20 shuffled epochs, from one set of parameters."""
    params, x, y = problem()
    optimizer = optax.sgd(RATE, momentum=0.5)
    with jax.enable_x64(x64):
        dtype = jnp.float64 if x64 else jnp.float32
        params, x = jax.tree.map(lambda array: jnp.asarray(array, dtype), (params, x))
        ends = []
        for name in BACKWARD:
            one_pass, state = training.epoch(backpropagation(name), optimizer, 2), training.init(params, optimizer)
            for key in jax.random.split(jax.random.key(2), 20):
                state, metrics = one_pass(state, key, x[:20], y[:20])
                training.check_finite(metrics)
            ends.append(state)
        manual, automatic = ends
        assert manual.step == automatic.step == 200
        chex.assert_type(jax.tree.leaves(manual.params), dtype)
        assert np.abs(manual.params[0]["w"] - params[0]["w"]).max() > 0.01
        chex.assert_trees_all_close(manual.params, automatic.params, rtol=0, atol=tolerance)


def poisoned(where, at=2.0):
    """A backpropagation that fails where asked, on a batch whose mean is above `at`."""

    def backpropagate(params, x, y):
        cost, gradients, deltas = backpropagation()(params, x, y)
        nan = jnp.where(x.mean() > at, jnp.nan, 0)
        first, between, last = gradients if where == "gradient" else deltas
        if where == "cost":
            return cost + nan, gradients, deltas
        if where == "delta":
            return cost, gradients, (first + nan, between, last)
        return cost, (first, between, {**last, "b": last["b"] + nan}), deltas

    return backpropagate


NON_FINITE = {
    "cost": "step 1: the cost is nan",
    "delta": "step 1: the cost is .*; going backward, the δ of layer 0 is the first that is not finite",
    "gradient": "step 1: the cost is .*; going backward, the gradient of 2.b is the first that is not finite",
}


@pytest.mark.parametrize("where", NON_FINITE)
def test_step_stops_at_what_is_not_finite(where):
    params, x, y = problem()
    optimizer = optax.sgd(RATE)
    step = training.step(poisoned(where), optimizer)
    state, metrics = step(training.init(params, optimizer), x, y)
    training.check_finite(metrics)
    good = jax.tree.map(np.array, state._replace(key=()))
    state, metrics = step(state, x + 10, y)
    chex.assert_trees_all_equal(state._replace(key=()), good)
    with pytest.raises(training.NonFiniteError, match=NON_FINITE[where]):
        training.check_finite(metrics)


UPDATES = {
    "nan for a gradient of zero": (jnp.float16, optax.scale_by_adam(eps=1e-8), (1.0, 0.0)),
    "infinite": (jnp.float32, optax.sgd(jnp.inf), (1.0, 2.0)),
    "finite, and the parameter overflows": (jnp.float16, optax.scale(1.0), (1.0, 6e4)),
}


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("whole_epoch", [False, True], ids=["step", "epoch"])
def test_an_update_that_is_not_finite_is_not_taken(name, whole_epoch):
    dtype, optimizer, gradient = UPDATES[name]
    params = {"a": jnp.ones(2, dtype), "b": jnp.full(2, 3e4, dtype)}
    gradients = {"a": jnp.array(gradient[:1] * 2, dtype), "b": jnp.array(gradient, dtype)}
    state = training.init(params, optimizer)
    good = jax.tree.map(np.array, state[:3])
    descent = (training.epoch if whole_epoch else training.step)(lambda *_: (jnp.ones(()), gradients, ()), optimizer)
    state, metrics = descent(state, *[jax.random.key(2)] * whole_epoch, jnp.zeros((1, 1)), jnp.zeros(1))
    chex.assert_trees_all_equal(state[:3], good)
    named = "the update of [ab] is the first that is not finite"
    with pytest.raises(training.NonFiniteError, match=f"step 0: the cost is 1.0; going backward, {named}"):
        training.check_finite(metrics)


@pytest.mark.parametrize("where", NON_FINITE)
def test_epoch_keeps_the_state_of_its_last_good_step(where):
    """The bad example comes second in the key's order; the good ones after it are not taken either."""
    params, x, y = problem()
    key = jax.random.key(2)
    first, second, *_ = jax.random.permutation(key, EXAMPLES)
    x = np.array(x)
    x[second] += 10
    optimizer = optax.sgd(RATE)
    one_pass = training.epoch(poisoned(where), optimizer, 1)
    state, metrics = one_pass(training.init(params, optimizer), key, x, y)
    assert state.step == 1
    assert_close(state.params, descend(params, x[first, None], y[first, None]))
    with pytest.raises(training.NonFiniteError, match=NON_FINITE[where]):
        training.check_finite(metrics)


@pytest.mark.parametrize(("name", "layer"), [("manual", "δ of layer 2"), ("automatic", "gradient of 2.w")])
def test_divergence_names_the_layer_nearest_the_output(name, layer):
    params, x, y = problem()
    optimizer = optax.sgd(RATE)
    x = np.array(x)
    x[4, 1] = np.nan
    _, metrics = training.step(backpropagation(name), optimizer)(training.init(params, optimizer), x, y)
    with pytest.raises(training.NonFiniteError, match=f"step 0: the cost is nan; going backward, the {layer} is"):
        training.check_finite(metrics)


@pytest.mark.parametrize("whole_epoch", [False, True])
def test_divergence_names_the_block(whole_epoch):
    """Block 1 of three sends infinity back to itself and to the one before it."""
    net = layers.stack(layers.linear(FEATURES), 3)
    params, _ = net.init(jax.random.key(0), (FEATURES,))
    params = {**params, "w": params["w"].at[2].set(jnp.inf)}
    way, optimizer = jb.backprop(net, rules.squared_error), optax.sgd(RATE)
    state, x = training.init(params, optimizer), jnp.zeros((EXAMPLES, FEATURES))
    if whole_epoch:
        _, metrics = training.epoch(way, optimizer)(state, jax.random.key(0), x, x)
    else:
        _, metrics = training.step(way, optimizer)(state, x, x)
    with pytest.raises(training.NonFiniteError, match="block 2, is the first"):
        training.check_finite(metrics)


def test_norms_overflow_only_where_their_entries_do():
    params, x, y = problem()
    optimizer = optax.sgd(RATE)
    backpropagate = backpropagation()

    def scaled(params, x, y):
        cost, gradients, deltas = backpropagate(params, x, y)
        return cost, gradients, jax.tree.map(lambda delta: delta * 1e25, deltas)

    _, metrics = training.step(scaled, optimizer)(training.init(params, optimizer), x, y)
    training.check_finite(metrics)
    assert min(jax.tree.leaves(metrics.delta_norms)) > 1e20


def test_norms_of_half_precision_are_those_of_single():
    params = {"w": jnp.zeros(2, jnp.float16)}
    gradients = {"w": jnp.array([3e4, 4e4], jnp.float16) * jnp.float16(1.5)}
    optimizer = optax.sgd(RATE)
    stepped = training.step(lambda params, x, y: (jnp.zeros(()), gradients, ()), optimizer)
    _, metrics = stepped(training.init(params, optimizer), jnp.zeros(1), jnp.zeros(1))
    assert metrics.gradient_norms["w"] == pytest.approx(7.5e4, rel=1e-3)


@pytest.mark.parametrize(
    ("batch_size", "examples", "labels", "message"),
    [
        (0, 3, 3, "epoch: batch_size, wanted a positive number or None, got 0"),
        (-2, 3, 3, "epoch: batch_size, wanted a positive number or None, got -2"),
        (4, 3, 3, "epoch: x, wanted at least one batch of 4 examples, got 3"),
        (None, 0, 0, "epoch: x, wanted at least one batch of 1 examples, got 0"),
        (2, 3, 4, r"epoch: y, wanted 3 examples \(as many as x\), got 4"),
    ],
)
def test_epoch_refuses(batch_size, examples, labels, message):
    params, x, y = problem()
    optimizer = optax.sgd(RATE)
    with pytest.raises(ValueError, match=message):
        one_pass = training.epoch(backpropagation(), optimizer, batch_size)
        one_pass(training.init(params, optimizer), jax.random.key(2), x[:examples], y[:labels])


def test_parameters_are_no_state():
    params, x, y = problem()
    with pytest.raises(TypeError, match="training: state, wanted a State, as init makes it, got tuple"):
        training.step(backpropagation(), optax.sgd(RATE))(params, x, y)


@pytest.mark.parametrize("optimizer", [None, optax.adam, 0.1], ids=["none", "unmade", "rate"])
def test_what_is_no_optimizer(optimizer):
    for name, make in {"init": training.init, "step": training.step, "epoch": training.epoch}.items():
        first = problem()[0] if name == "init" else backpropagation()
        with pytest.raises(TypeError, match=f"{name}: optimizer, wanted one of optax, got "):
            make(first, optimizer)


def test_a_seed_is_no_key():
    params, x, y = problem()
    optimizer, seed = optax.sgd(RATE), cast(Any, 3)
    with pytest.raises(TypeError, match=r"init: key, wanted one random key, such as jax.random.key\(0\), got 3"):
        training.init(params, optimizer, seed)
    with pytest.raises(TypeError, match=r"epoch: key, wanted one random key, such as jax.random.key\(0\), got "):
        training.epoch(backpropagation(), optimizer)(training.init(params, optimizer), seed, x, y)
