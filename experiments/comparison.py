"""What two ways to the same gradients cost, and how far apart they end."""

import itertools
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jbackprop import layers, training

ROUNDS = 50
"""Steps of each kind that are timed."""


class Measured(NamedTuple):
    """The cost of one training step.

    Attributes:
      seconds: the median over `ROUNDS` steps.
      temporary_bytes: what the compiled step needs beside its arguments and results.
    """

    seconds: float
    temporary_bytes: int


class Difference(NamedTuple):
    """The largest difference between two trees of parameters.

    Attributes:
      size: max |a − b| over all entries.
      name: the parameter that holds it.
    """

    size: float
    name: str


def measure(
    backpropagates: Mapping[str, Callable],
    optimizer: optax.GradientTransformation,
    states: Mapping[str, training.State],
    x: jax.Array,
    y: jax.Array,
) -> dict[str, Measured]:
    """Times the steps of one batch in turn, the first of a round last in the next, so that drift falls on all alike."""
    states = {name: jax.tree.map(jnp.copy, state) for name, state in states.items()}
    steps = {
        name: training.step(f, optimizer).lower(states[name], x, y).compile() for name, f in backpropagates.items()
    }
    seconds = {name: [] for name in steps}
    for names in itertools.islice(itertools.cycle([list(steps), list(reversed(steps))]), ROUNDS):
        for name in names:
            began = time.perf_counter()
            states[name], _ = jax.block_until_ready(steps[name](states[name], x, y))
            seconds[name].append(time.perf_counter() - began)
    return {name: Measured(statistics.median(seconds[name]), _temporary_bytes(steps[name])) for name in steps}


def difference(a: layers.Params, b: layers.Params) -> Difference:
    """The largest difference of two trees of one structure."""
    apart = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), a, b)
    named = jax.tree_util.tree_leaves_with_path(apart)
    path, size = max(named, key=lambda entry: entry[1])
    return Difference(size, jax.tree_util.keystr(path, simple=True, separator="."))


def _temporary_bytes(compiled):
    return compiled.memory_analysis().temp_size_in_bytes
