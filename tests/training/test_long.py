"""A long training: one compilation, and no memory that it keeps."""

import os

import jax
import jax.numpy as jnp
import optax
import pytest

import jbackprop as jb
from jbackprop import layers, rules, training

STEPS = int(os.environ.get("JBACKPROP_STEPS", "1000"))
"""How many; JBACKPROP_STEPS=20000 for the whole proof."""
STATM = "/proc/self/statm"
KEPT = 2**22
"""Bytes that the allocator may come to hold besides; a leak of one small array a step would be more in 20,000."""


def resident():
    """The bytes of memory that the process holds."""
    with open(STATM, encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists(STATM), reason="only Linux tells what memory a process holds")
def test_a_long_training_compiles_once_and_keeps_nothing(programs):
    net, optimizer = (
        layers.chain(layers.linear(16), layers.batch_norm(), layers.dropout(0.1), layers.linear(3)),
        optax.adam(1e-3),
    )
    way = training.mixed_precision(jb.backprop(net, rules.softmax_cross_entropy), jnp.float16, training.DynamicScale())
    x, y = jax.random.normal(jax.random.key(1), (8, 5)), jnp.arange(8) % 3
    state = training.init(net.init(jax.random.key(0), (5,))[0], optimizer)
    state = training.with_statistics(way, state, x, y)
    step = training.step(way, optimizer)

    def steps(state, count):
        for number in range(count):
            state, metrics = step(state, x, y)
            if number % 100 == 0:
                training.check_finite(metrics)
        return state

    state = steps(state, 200)
    compiled = programs()
    before, arrays = resident(), len(jax.live_arrays())
    state = steps(state, STEPS)
    assert programs() == compiled and len(jax.live_arrays()) == arrays
    assert resident() - before < KEPT
    assert int(state.step) >= 0.99 * STEPS  # the others made the loss scale fall
