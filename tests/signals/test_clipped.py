"""The clipped gradient from one backward pass against Σ c_i g_i with every g_i by JAX."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import jbackprop as jb
from jbackprop import layers, rules, signals, training
from tests.signals.problems import (
    EXAMPLES,
    assert_close,
    assert_trees_close,
    clip,
    draw,
    each_gradient,
    in_rows,
    weighted_sum,
)

pytestmark = pytest.mark.usefixtures("float64")


def classifier():
    hidden = layers.chain(layers.layer_norm(), layers.linear(6), layers.gelu())
    net = layers.chain(hidden, layers.parallel(layers.linear(4), layers.linear(4), join="sum"), layers.linear(3))
    params, _ = net.init(jax.random.key(0), (5,))
    return net, params, draw(EXAMPLES, 5), jnp.arange(EXAMPLES) % 3


def test_by_layer():
    """Each layer by itself; the whole is no longer than max_norm."""
    net, params, x, labels = classifier()
    each = each_gradient(net, params, x, labels, rules.softmax_cross_entropy)
    clipped = signals.clipped_gradient(net, rules.softmax_cross_entropy, 0.7, by_layer=True)
    found = jax.device_get(jax.jit(clipped)(params, x, labels))
    longest = 0.7 / math.sqrt(5)

    def layer(gradients):
        norms = np.sqrt((in_rows(gradients) ** 2).sum(1))
        return norms, weighted_sum(clip(norms, longest) / EXAMPLES, gradients)

    layers_apart, structure = jax.tree.flatten(each, is_leaf=lambda node: isinstance(node, dict))
    norms, sums = zip(*map(layer, layers_apart), strict=True)
    assert_trees_close(found.norms, structure.unflatten(norms))
    assert_trees_close(found.gradients, structure.unflatten(sums))
    assert sum((leaf**2).sum() for leaf in jax.tree.leaves(found.gradients)) < 0.7**2


@pytest.mark.parametrize("by_layer", [False, True])
def test_clipping_at_infinity_is_plain_training(by_layer):
    net, params, x, labels = classifier()
    clipped = signals.clipped_gradient(net, rules.softmax_cross_entropy, math.inf, by_layer=by_layer)
    ways = clipped, jb.backprop(net, rules.softmax_cross_entropy)
    found, (cost, gradients, _) = jax.jit(lambda *batch: [way(*batch) for way in ways])(params, x, labels)
    assert_close(found.cost, cost)
    assert_trees_close(found.gradients, gradients)


def ignoring(logits, labels):
    """The mean over the tokens that count; of those behind a sequence's end none does."""
    return rules.softmax_cross_entropy(logits, labels, ignore_index=-1).sum(1) / (labels >= 0).sum(1)


def language_model():
    """A tied table, blocks in a scan, a recurrence over time, labels that are ignored and sequences that end early."""
    block = layers.residual(layers.layer_norm(), layers.linear(7), layers.gelu(), layers.linear(6))
    body = layers.chain(layers.embedding(11, 6), layers.stack(block, 2), layers.lstm(6), layers.linear(11, bias=False))
    net = layers.shared(body, ("0.table", "3.w.T"))
    params, _ = net.init(jax.random.key(0), (5,))
    ids = jax.random.randint(jax.random.key(1), (EXAMPLES, 5), 0, 11)
    ends = jnp.arange(EXAMPLES) % 5 + 1
    return net, params, ids, jnp.where(jnp.arange(5) < ends[:, None], jnp.roll(ids, -1, 1), -1)


def test_a_language_model():
    net, params, ids, labels = language_model()
    each = each_gradient(net, params, ids, labels, ignoring)
    norms = np.sqrt((in_rows(each) ** 2).sum(1))
    longest = float(np.median(norms))
    found = jax.jit(signals.clipped_gradient(net, ignoring, longest))(params, ids, labels)
    assert_close(found.norms, norms)
    assert_trees_close(found.gradients, weighted_sum(clip(norms, longest) / EXAMPLES, each))


def mean_of_counted(losses, labels):
    return losses.sum(1) / (labels >= 0).sum(1)


@pytest.mark.parametrize("bias", [False, True])
def test_the_output_layer_and_its_loss_in_one(bias):
    """As with the logits, tied to the table, in chunks that do not divide the classes."""
    table = layers.chain(layers.embedding(11, 6), layers.lstm(6))
    ties = ("0.table", "2.w.T"), ("0.0.0.table", "1.w.T")
    logits = layers.shared(layers.chain(*table.parts, layers.linear(11, bias=bias)), ties[0])
    fused = layers.linear_softmax_cross_entropy(11, bias=bias, ignore_index=-1, chunk=4)
    losses = layers.shared(layers.chain(layers.parallel(table, layers.identity(), split=True), fused), ties[1])
    _, _, ids, labels = language_model()
    params, _ = logits.init(jax.random.key(0), (5,))
    same, _ = losses.init(jax.random.key(0), ((5,), (5,)))
    same = jax.tree.unflatten(jax.tree.structure(same), [leaf + 0.1 for leaf in jax.tree.leaves(params)])
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)

    @jax.jit
    def both_ways(params, same, ids, labels):
        wanted = signals.clipped_gradient(logits, ignoring, 0.5)(params, ids, labels)
        batch = same, (ids, labels), labels
        plain, automatic = (way(losses, mean_of_counted)(*batch) for way in (jb.backprop, jb.autodiff))
        return wanted, signals.clipped_gradient(losses, mean_of_counted, 0.5)(*batch), plain[1], automatic[1]

    wanted, found, plain, automatic = both_ways(params, same, ids, labels)
    assert_close(found.cost, wanted.cost)
    assert_close(found.norms, wanted.norms)
    assert_trees_close(jax.tree.leaves(found.gradients), jax.tree.leaves(wanted.gradients))
    assert_trees_close(plain, automatic)


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_sharded_over_devices(micro_batches):
    """Eight simulated devices, each with its share of the examples."""
    net, params, ids, labels = language_model()
    ids, labels = jnp.tile(ids, (2, 1)), jnp.tile(labels, (2, 1))
    clipped = jax.jit(signals.clipped_gradient(net, ignoring, 0.5, micro_batches=micro_batches))
    wanted = clipped(params, ids, labels)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    by_examples, everywhere = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (["data"], []))
    sharded = jax.device_put((ids, labels), by_examples)
    got = clipped(jax.device_put(params, everywhere), *sharded)
    assert got.norms.sharding.is_equivalent_to(by_examples, 1)
    assert_trees_close(got, wanted)


def test_one_forward_and_one_backward_pass():
    net, params, x, labels = classifier()
    clipped = signals.clipped_gradient(net, rules.softmax_cross_entropy, 1.0)
    plain = jb.backprop(net, rules.softmax_cross_entropy)
    programs = [str(jax.make_jaxpr(f)(params, x, labels)) for f in (clipped, plain)]
    for operation in ("dot_general", "exp "):
        counts = [program.count(operation) for program in programs]
        assert counts[0] == counts[1] > 0


def test_random_numbers_come_from_the_key():
    net = layers.chain(layers.linear(6), layers.dropout(0.5), layers.linear(3))
    params, _ = net.init(jax.random.key(0), (5,))
    x, labels, key = draw(EXAMPLES, 5), jnp.arange(EXAMPLES) % 3, jax.random.key(3)
    plain = jb.backprop(net, rules.softmax_cross_entropy)(params, x, labels, key)
    found = signals.clipped_gradient(net, rules.softmax_cross_entropy, math.inf)(params, x, labels, key)
    assert_trees_close(found.gradients, plain[1])
    parts = signals.clipped_gradient(net, rules.softmax_cross_entropy, math.inf, micro_batches=2)
    a, b = (parts(params, x, labels, jax.random.key(seed)).cost for seed in (3, 4))
    assert a != b


def test_the_longest_norm_may_be_traced():
    """As it is where it follows a quantile of the norms."""
    net, params, x, labels = classifier()

    @jax.jit
    def clipped(longest, stability):
        each = signals.clipped_gradient(net, rules.softmax_cross_entropy, longest, by_layer=True, stability=stability)
        return each(params, x, labels)

    known = signals.clipped_gradient(net, rules.softmax_cross_entropy, 0.3, by_layer=True, stability=0.02)
    assert_trees_close(clipped(0.3, 0.02), known(params, x, labels))


def test_weights_may_be_a_list():
    net, params, x, labels = classifier()
    clipped = jax.jit(signals.clipped_gradient(net, rules.softmax_cross_entropy, 0.3))
    weights = [1, 0.5, 0, 1, 2, 1, 1, 0.25]
    got, wanted = (clipped(params, x, labels, weights=each) for each in (weights, np.array(weights)))
    assert_trees_close(got, wanted)


def test_training_takes_it():
    net, params, x, labels = classifier()
    clipped = signals.clipped_gradient(net, rules.softmax_cross_entropy, 0.1)
    optimizer = optax.chain(optax.add_noise(eta=1e-8, gamma=0.0, key=0), optax.sgd(0.5))
    state, metrics = training.step(clipped, optimizer)(training.init(params, optimizer), x, labels)
    assert_close(metrics.cost, clipped(params, x, labels).cost)
    moved = jax.tree.map(jnp.subtract, params, state.params)
    assert 0 < optax.tree.norm(moved) < 0.5 * 0.1 + 1e-2


@pytest.mark.parametrize("scale", [2.0**10, training.DynamicScale(2.0**10)], ids=["fixed", "dynamic"])
@pytest.mark.parametrize("stability", [None, 0.01])
@pytest.mark.parametrize("parts", [1, 2])
def test_a_scaled_loss_is_clipped_as_if_it_were_not(scale, stability, parts):
    net, params, x, labels = classifier()
    clipped = signals.clipped_gradient(net, rules.softmax_cross_entropy, 0.3, stability=stability)
    way = clipped if parts == 1 else training.in_parts(clipped, parts)
    x, labels = x[: EXAMPLES // 2 * 2], labels[: EXAMPLES // 2 * 2]
    assert_trees_close(
        training.mixed_precision(way, jnp.float64, scale)(params, x, labels)[1], clipped(params, x, labels).gradients
    )


def test_what_cancels_to_less_than_nothing_is_nothing():
    """Sequences of equal tokens, whose error signals sum to rounding: a closed form may come out negative."""
    net = layers.linear(64, bias=False)
    params, _ = net.init(jax.random.key(0), (32,))
    x = jnp.broadcast_to(draw(64, 1, 32), (64, 5, 32))
    loss, v = lambda z, v: (jax.nn.softmax(z, 1) * v).sum((1, 2)), draw(64, 5, 64)
    single = jax.tree.map(lambda array: array.astype(jnp.float32), (params, x, v))
    found = signals.clipped_gradient(net, loss, 1.0, stability=0.01)(*single)
    assert np.isfinite(found.norms).all() and (found.norms < 1e-2).all()
    assert np.isfinite(found.gradients["w"]).all()


NET = layers.linear(3)
LINEAR = {"w": np.ones((6, 3), np.float32), "b": np.ones(3, np.float32)}
NO_NUMBER: Any = 1.5
make = functools.partial(signals.clipped_gradient, NET, rules.squared_error)


def one_number(output, target):
    return jnp.mean((output - target) ** 2)


def of_network(net, loss):
    return signals.clipped_gradient(net, loss, 1.0)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: make(0.0), ValueError, "clipped_gradient: max_norm, wanted a positive number, got 0.0"),
        (lambda: make(math.nan), ValueError, "max_norm, wanted a positive number, got nan"),
        (lambda: make(1.0, micro_batches=0), ValueError, "micro_batches, wanted a positive number, got 0"),
        (lambda: make(1.0, micro_batches=NO_NUMBER), ValueError, "micro_batches, wanted a whole number, got 1.5"),
        (lambda: make(1.0, stability=-1.0), ValueError, "stability, wanted a positive number, got -1.0"),
        (lambda: make(math.inf, stability=0.1), ValueError, "max_norm, wanted a finite number for automatic"),
        (lambda: of_network(layers.relu, one_number), TypeError, "net, wanted a Layer, got <func"),
        (lambda: of_network(NET, 3), TypeError, "loss, wanted a function of .* got 3"),
        (
            lambda: of_network(layers.chain(NET, layers.batch_norm(False, False)), one_number),
            ValueError,
            r"clipped_gradient: batch_norm\(scale=False, offset=False\), wanted layers that keep examples apart.*group",
        ),
    ],
)
def test_what_is_no_private_training(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()


class Nameless(layers.Layer):
    """y = s ⊙ x, without a word of what s gets."""

    def init(self, key, shape):
        return {"s": jnp.ones(shape[-1:])}, shape

    def forward(self, params, x, key=None):
        return params["s"] * x, x

    def backward(self, params, cache, dy):
        return dy * params["s"], dy


class Computed(Nameless):
    """The gradient in the place of its factors."""

    def factors(self, params, cache, delta):
        return {"s": (cache * delta).sum(0)}


@pytest.mark.parametrize("layer", [Nameless(), Computed()], ids=["nothing", "an array"])
def test_a_layer_that_names_no_factors(layer):
    net = layers.chain(NET, layer)
    params, _ = net.init(jax.random.key(0), (6,))
    batch = np.ones((8, 6), np.float32), np.ones((8, 3), np.float32)
    loss, missing = rules.squared_error, "wanted a factored gradient of each parameter, got none of"
    with pytest.raises(ValueError, match=f"^clipped_gradient: net, {missing} 1.s"):
        signals.clipped_gradient(net, loss, 1.0)(params, *batch)
    with pytest.raises(ValueError, match=f"^factored_gradient: net, {missing} 1.s"):
        signals.factored_gradient(net, loss)(params, *batch)
    with pytest.raises(ValueError, match=f"^factored_gradient: net, {missing} 1.s"):
        signals.influence(net, loss, [params], batch, batch)
    for gradient in (jb.backprop(net, loss), jax.grad(lambda params, x, y: loss(net.apply(params, x), y).sum())):
        with pytest.raises(ValueError, match=rf"^{type(layer).__name__.lower()}\(\): factors, {missing} s"):
            gradient(params, *batch)


@pytest.mark.parametrize(
    ("clipped", "weights", "message"),
    [
        (make(1.0, micro_batches=3), None, "x, wanted a number of examples that 3 micro-batches divide, got 8"),
        (make(1.0), [1.0] * 7, r"weights, wanted one for each of 8 examples, got \(7,\)"),
        (
            signals.clipped_gradient(NET, one_number, 1.0),
            None,
            r"clipped_gradient: loss, wanted one value for each of 8 examples, got values \(\)$",
        ),
        (
            signals.clipped_gradient(NET, lambda output, target: (output - target) ** 2, 1.0),
            None,
            r"got values \(8, 3\); a sum or mean over the rest makes one",
        ),
    ],
)
def test_a_batch_that_does_not_fit(clipped, weights, message):
    with pytest.raises(ValueError, match=message):
        clipped(LINEAR, np.ones((8, 6), np.float32), np.ones((8, 3), np.float32), weights=weights)
