"""What two ways to the same gradients cost, and how far apart they end."""

import dataclasses
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
    steps = {name: Steps.of(f, optimizer, states[name], x, y) for name, f in backpropagates.items()}
    samples = {name: partial(time_sample, one, calls=1) for name, one in steps.items()}
    seconds = interleaved(samples, 1)
    each = sum(took for (took,) in seconds.values())
    seconds = interleaved(samples, max(3, min(ROUNDS, int(SECONDS / each))))
    return {name: Measured(quartiles(seconds[name]).middle, temporary_bytes(one.step)) for name, one in steps.items()}


@dataclasses.dataclass
class Steps:
    """Steps of a training on one batch; each call takes one, from where the one before has ended.

    Attributes:
      step: the compiled step.
      state: where the training stands, arrays of its own.
      batch: x and y.
    """

    step: Any
    state: training.State
    batch: tuple[Any, Any]

    @classmethod
    def of(
        cls, way: Callable, optimizer: optax.GradientTransformation, state: training.State, x: Any, y: Any
    ) -> "Steps":
        """From a state that stays as it is."""
        return cls(training.step(way, optimizer).lower(state, x, y).compile(), jax.tree.map(jnp.copy, state), (x, y))

    def __call__(self) -> Any:
        """The new state and the metrics."""
        self.state, metrics = self.step(self.state, *self.batch)
        return self.state, metrics


def difference(a: layers.Params, b: layers.Params) -> Difference:
    """The largest difference of two trees of one structure."""
    apart = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), a, b)
    named = jax.tree_util.tree_leaves_with_path(apart)
    path, size = max(named, key=lambda entry: entry[1])
    return Difference(size, jax.tree_util.keystr(path, simple=True, separator="."))


def temporary_bytes(compiled: Any) -> int:
    """What a compiled program needs beside its arguments and results."""
    return compiled.memory_analysis().temp_size_in_bytes
