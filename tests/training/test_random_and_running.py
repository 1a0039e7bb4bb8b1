"""Networks that draw random numbers or normalise batches train rightly without a thought, and are evaluated apart."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jbackprop as jb
from jbackprop import layers, rules, training

EXAMPLES, FEATURES, CLASSES, BATCH = 24, 7, 3, 8
BACKWARD = {"manual": jb.backprop, "automatic": jb.autodiff}
NORMALISED = layers.chain(
    layers.linear(5),
    layers.stack(layers.residual(layers.batch_norm(), layers.linear(5), layers.relu()), 2),
    layers.checkpoint(layers.batch_norm(scale=False), layers.tanh()),
    layers.linear(CLASSES),
)
DROPPED = layers.chain(layers.linear(16), layers.relu(), layers.dropout(0.5), layers.linear(CLASSES))


def data():
    draw = np.random.default_rng(3)
    return draw.normal(2.0, 3.0, size=(EXAMPLES, FEATURES)).astype(np.float32), draw.integers(CLASSES, size=EXAMPLES)


def started(net, optimizer, **more):
    params, _ = net.init(jax.random.key(1), (FEATURES,))
    return training.init(params, optimizer, **more)


@pytest.mark.parametrize("name", BACKWARD)
def test_dropout_draws_in_training_anew_at_every_step(name):
    """With an optimizer that does not move, the cost of one batch changes from step to step, as the key says."""
    x, y = data()
    step = training.step(BACKWARD[name](DROPPED, rules.softmax_cross_entropy), optax.set_to_zero())
    costs = []
    for seed in (0, 0, 1):
        state = started(DROPPED, optax.set_to_zero(), key=jax.random.key(seed))
        found = []
        for _ in range(3):
            state, metrics = step(state, x, y)
            found.append(float(metrics.cost))
        costs.append(found)
    assert len(set(costs[0])) == 3
    assert costs[0] == costs[1] != costs[2]


def test_both_ways_draw_the_same():
    x, y = data()
    optimizer = optax.sgd(0.1)
    ends = []
    for differentiate in BACKWARD.values():
        one_pass = training.epoch(differentiate(DROPPED, rules.softmax_cross_entropy), optimizer, BATCH)
        ends.append(one_pass(started(DROPPED, optimizer), jax.random.key(5), x, y)[0].params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), *ends)


def test_evaluation_drops_nothing():
    x, _ = data()
    params, _ = DROPPED.init(jax.random.key(1), (FEATURES,))
    plain = layers.chain(DROPPED.parts[0], layers.relu(), layers.identity(), DROPPED.parts[3])
    evaluated = layers.evaluation(DROPPED)
    np.testing.assert_array_equal(evaluated.apply((params, ()), x, jax.random.key(2)), plain.apply(params, x))


@pytest.mark.parametrize("name", BACKWARD)
def test_running_averages_are_those_of_the_batches(name):
    x, y = data()
    net = layers.chain(layers.batch_norm(), layers.linear(CLASSES))
    step = training.step(BACKWARD[name](net, rules.softmax_cross_entropy), optax.sgd(0.1), averaging=0.75)
    state = started(net, optax.sgd(0.1))
    mean, variance = np.zeros(FEATURES), np.ones(FEATURES)
    for rows in np.split(np.arange(EXAMPLES), 3):
        state, _ = step(state, x[rows], y[rows])
        mean, variance = 0.75 * mean + 0.25 * x[rows].mean(0), 0.75 * variance + 0.25 * x[rows].var(0)
    running, _ = state.statistics
    np.testing.assert_allclose(running.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(running.variance, variance, rtol=1e-5)


def test_evaluation_normalises_by_the_running_averages():
    x, y = data()
    net = layers.chain(layers.batch_norm(eps=0.1), layers.linear(CLASSES))
    step = training.step(jb.backprop(net, rules.softmax_cross_entropy), optax.sgd(0.1))
    state, _ = step(started(net, optax.sgd(0.1)), x, y)
    (norm, linear), (running, _) = state.params, state.statistics
    z = (x - running.mean) / np.sqrt(running.variance + 0.1) * norm["scale"] + norm["offset"]
    got = layers.evaluation(net).apply((state.params, state.statistics), x)
    np.testing.assert_allclose(got, z @ linear["w"] + linear["b"], rtol=1e-4, atol=1e-5)
    alone = layers.evaluation(net).apply((state.params, state.statistics), x[:1])
    np.testing.assert_allclose(alone, got[:1], rtol=1e-5, atol=1e-6)


def test_statistics_inside_combinators():
    """In a stack they have an axis of blocks, from a checkpoint they come although nothing else is kept."""
    x, y = data()
    optimizer = optax.adam(1e-2)
    one_pass = training.epoch(jb.backprop(NORMALISED, rules.softmax_cross_entropy), optimizer, BATCH)
    state, metrics = one_pass(started(NORMALISED, optimizer), jax.random.key(2), x, y)
    training.check_finite(metrics)
    shapes = [leaf.shape for leaf in jax.tree.leaves(state.statistics)]
    assert shapes == [(2, 5), (2, 5), (5,), (5,)]
    moved = state.statistics
    start = layers.initial_statistics(NORMALISED, state.params, (FEATURES,))
    assert jax.tree.structure(start) == jax.tree.structure(moved)
    assert all(np.abs(a - b).min() > 0 for a, b in zip(jax.tree.leaves(start), jax.tree.leaves(moved), strict=True))
    output = layers.evaluation(NORMALISED).apply((state.params, state.statistics), x)
    assert output.shape == (EXAMPLES, CLASSES)


def test_statistics_given_beforehand_compile_once():
    x, y = data()
    optimizer = optax.sgd(0.1)
    params, _ = NORMALISED.init(jax.random.key(1), (FEATURES,))
    statistics = layers.initial_statistics(NORMALISED, params, (FEATURES,))
    traces = []

    def loss(output, labels):
        traces.append(output)
        return rules.softmax_cross_entropy(output, labels)

    step = training.step(jb.backprop(NORMALISED, loss), optimizer)
    state, counts = training.init(params, optimizer, statistics=statistics), []
    for _ in range(3):
        state, _ = step(state, x, y)
        counts.append(len(traces))
    assert counts[0] == counts[1] == counts[2] > 0


def test_a_step_that_is_not_taken_leaves_the_statistics():
    x, y = data()
    net = layers.chain(layers.batch_norm(), layers.linear(CLASSES))
    step = training.step(jb.backprop(net, rules.softmax_cross_entropy), optax.sgd(0.1))
    state, _ = step(started(net, optax.sgd(0.1)), x, y)
    good = jax.tree.map(np.array, state.statistics)
    state, _ = step(state, np.where(x == x[0, 0], np.nan, x), y)
    jax.tree.map(np.testing.assert_array_equal, state.statistics, good)


def test_trees_of_examples():
    """x and y may be trees of arrays, in a step and in an epoch."""
    x, y = data()
    net = layers.chain(layers.swiglu(), layers.linear(CLASSES))
    params, _ = net.init(jax.random.key(1), ((FEATURES,), (FEATURES,)))

    def loss(output, targets):
        return rules.softmax_cross_entropy(output, targets["labels"]) * targets["weights"]

    optimizer = optax.set_to_zero()
    one_pass = training.epoch(jb.backprop(net, loss), optimizer, 1)
    weights = jnp.arange(EXAMPLES, dtype=jnp.float32)
    _, metrics = one_pass(
        training.init(params, optimizer), jax.random.key(2), (x, x[::-1]), {"labels": y, "weights": weights}
    )
    costs = rules.softmax_cross_entropy(net.apply(params, (x, x[::-1])), y) * weights
    np.testing.assert_allclose(np.sort(metrics.cost), np.sort(costs), rtol=1e-5)
    with pytest.raises(ValueError, match=r"epoch: x, wanted 24 examples \(as many as x\), got 23"):
        one_pass(training.init(params, optimizer), jax.random.key(2), (x, x[1:]), {"labels": y, "weights": weights})
