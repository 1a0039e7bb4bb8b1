"""What two ways to the same gradients cost, and how far apart they end."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jbackprop import layers, training
from jbackprop.functions import interleaved, quartiles, time_sample

ROUNDS = 50
"""Steps of each kind that are timed, if they are done in `SECONDS`; three in any case."""

SECONDS = 20.0


class Measured(NamedTuple):
    """The cost of one training step.

    Attributes:
      seconds: the median over some steps.
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
    """Times the steps of one batch in turn, so that a slow spell falls on all alike."""
    states = {name: jax.tree.map(jnp.copy, state) for name, state in states.items()}
    steps = {
        name: training.step(f, optimizer).lower(states[name], x, y).compile() for name, f in backpropagates.items()
    }

    def advance(name):
        states[name], cost = steps[name](states[name], x, y)
        return states[name], cost

    samples = {name: partial(time_sample, partial(advance, name), calls=1) for name in steps}
    seconds = interleaved(samples, 1)
    each = sum(took for (took,) in seconds.values())
    seconds = interleaved(samples, max(3, min(ROUNDS, int(SECONDS / each))))
    return {name: Measured(quartiles(seconds[name]).middle, temporary_bytes(steps[name])) for name in steps}


def difference(a: layers.Params, b: layers.Params) -> Difference:
    """The largest difference of two trees of one structure."""
    apart = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), a, b)
    named = jax.tree_util.tree_leaves_with_path(apart)
    path, size = max(named, key=lambda entry: entry[1])
    return Difference(size, jax.tree_util.keystr(path, simple=True, separator="."))


def temporary_bytes(compiled: Any) -> int:
    """What a compiled program needs beside its arguments and results."""
    return compiled.memory_analysis().temp_size_in_bytes
