"""Blocks of transformers, recurrences that end in a vector, layers over time, reversible blocks and watched δ."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import pytest

import jbackprop as jb
from jbackprop import layers, rules


def draw(*shape):
    return jax.random.normal(jax.random.key(sum(shape)), shape)


def test_self_attention_is_that_of_jax():
    net = layers.self_attention(12, 6, kv_heads=2, is_causal=True)
    params, _ = net.init(jax.random.key(0), (5, 12))
    x, w = draw(4, 5, 12), params[0]["w"]
    q, k, v = (part.reshape(4, 5, -1, 2) for part in jnp.split(x @ w, [12, 16], axis=-1))
    wanted = jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(4, 5, 12) @ params[-1]["w"]
    chex.assert_trees_all_close(net.apply(params, x), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [layers.rnn, layers.gru, layers.lstm])
@pytest.mark.parametrize("reverse", [False, True])
def test_the_last_state_of_sequences_of_their_own_lengths(make, reverse):
    net = make(4, output="last", lengths=True, reverse=reverse)
    params, shape = net.init(jax.random.key(0), ((5, 3), ()))
    assert shape == (4,)
    x, lengths = draw(3, 5, 3), jnp.array([2, 5, 1])
    steps = make(4, reverse=reverse)
    for one, length, got in zip(x, lengths, net.apply(params, (x, lengths)), strict=True):
        y = steps.apply(params, one[None, :length])
        chex.assert_trees_all_close(got, y[0, 0 if reverse else -1], rtol=1e-5)


def test_a_layer_over_time_is_the_layer_at_each_step():
    inner = layers.chain(layers.conv(4, (3, 2)), layers.max_pool((2, 2)), layers.flatten())
    net = layers.map_over_time(inner)
    params, shape = net.init(jax.random.key(0), (5, 6, 4, 2))
    x = draw(3, 5, 6, 4, 2)
    wanted = jnp.stack([inner.apply(params, x[:, t]) for t in range(5)], axis=1)
    assert wanted.shape[1:] == shape
    chex.assert_trees_all_close(net.apply(params, x), wanted, rtol=1e-5)


def temporary_bytes(net, shape):
    params, _ = net.init(jax.random.key(0), shape)
    x = draw(8, *shape)
    backprop = jax.jit(lambda *args: jb.backprop(layers.watched(net, jnp.linalg.norm), rules.squared_error)(*args)[1])
    compiled: Any = backprop.lower(params, x, jnp.zeros_like(x)).compile()
    return compiled.memory_analysis().temp_size_in_bytes


PART = layers.chain(layers.layer_norm(), layers.linear(64), layers.gelu(), layers.linear(64))
INTO_BOTH = layers.parallel(layers.identity(), layers.identity())
TOGETHER = layers.parallel(layers.identity(), layers.identity(), join="sum", split=True)


def test_memory_of_reversible_blocks_does_not_grow_with_depth():
    def bytes_of(n):
        return temporary_bytes(layers.chain(INTO_BOTH, layers.reversible(PART, PART, n), TOGETHER), (16, 64))

    def bytes_kept(n):
        return temporary_bytes(layers.stack(layers.residual(PART), n), (16, 64))

    weights = 2 * 64 * 64 * 4 * 2  # of a block; what XLA keeps of their gradients on the way
    assert bytes_of(24) - bytes_of(6) < 18 * weights + 18 * 4096 * 4
    assert bytes_kept(24) - bytes_kept(6) > 18 * 3 * 8 * 16 * 64 * 4


def test_reversible_blocks_are_their_plain_twin():
    """In float32, whose rounding grows by units a block."""
    n = 8
    net = layers.reversible(PART, PART, n)
    params, _ = net.init(jax.random.key(0), ((4, 64), (4, 64)))

    def plain(params, pair):
        first, second = pair
        for i in range(n):
            f, g = jax.tree.map(lambda p, i=i: p[i], params)
            first = first + PART.apply(f, second)
            second = second + PART.apply(g, first)
        return first, second

    x, dy = (draw(2, 4, 64), draw(3, 4, 64)[:2]), (draw(5, 4, 64)[:2], draw(6, 4, 64)[:2])
    wanted, got = (jax.jit(lambda *a, f=f: jax.vjp(f, *a)[1](dy))(params, x) for f in (plain, net.apply))
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(wanted))
    chex.assert_trees_all_close(got, wanted, rtol=0, atol=200 * jnp.finfo(jnp.float32).eps * largest)


def test_what_a_policy_keeps():
    def kept(keep):
        block = layers.transformer_block(64, 4, keep=keep)
        return layers.summary(block, (128, 64)).total.kept_bytes

    assert kept("inputs") == 128 * 64 * 4
    assert kept("inputs") < kept("attention") < 0.6 * kept("all")


def test_watched_tells_a_number_for_every_block_and_changes_nothing_else():
    block = layers.residual(layers.linear(6), layers.tanh())
    net = layers.chain(layers.stack(layers.checkpoint(block), 3), layers.map_over_time(layers.linear(2)))
    params, _ = net.init(jax.random.key(0), (4, 6))
    x, y = draw(5, 4, 6), draw(5, 4, 2)
    cost, gradients, deltas = jb.backprop(net, rules.squared_error)(params, x, y)
    got = jb.backprop(layers.watched(net, jnp.linalg.norm), rules.squared_error)(params, x, y)
    stacked, last = deltas
    norms = jax.tree.map(lambda delta: jax.vmap(jnp.linalg.norm)(delta.reshape(3, -1)), stacked)
    chex.assert_trees_all_close(got, (cost, gradients, (norms, jnp.linalg.norm(last))), rtol=1e-5)


ANYTHING: Any = "some"
BAD = {
    "heads": (lambda: layers.self_attention(12, 5), "self_attention: heads, wanted a number that divides 12, got 5"),
    "kv_heads": (
        lambda: layers.transformer_block(12, 6, kv_heads=4),
        "transformer_block: kv_heads, wanted a number that divides 6, got 4",
    ),
    "keep": (lambda: layers.transformer_block(12, 6, keep=ANYTHING), "keep, wanted one of all, attention, inputs, got"),
    "inner": (lambda: layers.gated_mlp(12, 0), "gated_mlp: inner, wanted a positive number, got 0"),
    "output": (lambda: layers.gru(4, output=ANYTHING), "gru: output, wanted one of steps, last, got 'some'"),
    "sizes": (lambda: layers.split(3, 0), r"split: sizes, wanted positive sizes, got \(3, 0\)"),
    "n": (lambda: layers.reversible(PART, PART, 0), "reversible: n, wanted a positive number, got 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    make, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        make()


SHAPES = {
    "split": (layers.split(3, 2), (6,), r"split: shape, wanted a last axis of 5, got \(6,\)"),
    "lengths": (layers.gru(4, lengths=True), (5, 3), r"gru: shape, wanted \(\(time, features\), \(\)\)"),
    "no pair of lengths": (
        layers.lstm(4, lengths=True),
        4,
        r"lstm: shape, wanted \(\(time, features\), \(\)\), .* got 4",
    ),
    "split branches": (
        TOGETHER,
        ((3,), (3,), (3,)),
        r"parallel: shape, wanted 2 shapes .*, got \(\(3,\), \(3,\), \(3,\)\)",
    ),
    "no pair": (layers.reversible(PART, PART, 2), (5,), r"reversible: shape, wanted two shapes .*, got \(5,\)"),
    "reversible": (layers.reversible(PART, layers.linear(5), 2), ((64,), (64,)), r"reversible: g, wanted one that"),
    "map_over_time": (layers.map_over_time(PART), (), r"map_over_time: shape, wanted \(time, …\), got \(\)"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_that_do_not_fit(name):
    layer, shape, message = SHAPES[name]
    with pytest.raises(ValueError, match=message):
        layer.init(jax.random.key(0), shape)


@pytest.mark.parametrize("make", [layers.watched, layers.map_over_time, layers.reversible])
def test_what_is_no_layer(make):
    more = {layers.watched: (jnp.linalg.norm,), layers.reversible: (PART, 2)}.get(make, ())
    with pytest.raises(TypeError, match="wanted a Layer, got <function"):
        make(layers.relu, *more)


def test_a_summary_goes_into_the_blocks():
    net = layers.chain(layers.map_over_time(layers.chain(layers.linear(64), layers.tanh())), layers.gru(5))
    assert [row.place for row in layers.summary(net, (7, 3)).rows] == ["0", "0.0", "0.1", "1"]
    found = layers.summary(layers.reversible(PART, PART, 4), ((16, 64), (16, 64)))
    assert [(row.place, row.name) for row in found.rows[:2]] == [("f", "chain"), ("f.0", "layer_norm")]
    assert found.total.flops is not None and found.total.flops > 4 * 2 * 2 * 2 * 16 * 64 * 64
