"""What there is to learn: a network, its loss, the examples of a pass and those that are held out."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jbackprop import layers

EVALUATED_AT_ONCE = 500

Scores = dict[str, jax.Array]
"""One number for each example, by what it tells."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """What a training needs.

    Attributes:
      net: the network.
      loss: (output, target) -> one value for each example.
      shape: of one input.
      draw: the examples (x, y) of one pass, for its key.
      examples: how many there are in a pass.
      held_out: (x, y) that are never trained on.
      scores: (output, y) -> each held-out example's scores, and how much it counts in their means.
      best: the score by which the best parameters are kept.
      largest: whether the largest is best.
      sample: text that the network makes of its own, for its parameters and a key; None where it makes none.
    """

    net: layers.Layer
    loss: layers.Loss
    shape: Any
    draw: Callable[[jax.Array], tuple[Any, Any]]
    examples: int
    held_out: tuple[Any, Any]
    scores: Callable[[Any, Any], tuple[Scores, jax.Array]]
    best: str = "accuracy"
    largest: bool = True
    sample: Callable[[layers.Params, jax.Array], str] | None = None

    def evaluation(self) -> Callable[[layers.Params, Any], dict[str, float]]:
        """(params, statistics) -> the mean of each score over the held-out examples, by the name "held_out_…"."""
        used, parts = layers.evaluation(self.net), list(_parts(self.held_out))

        @jax.jit
        def sums(params, statistics, x, y):
            scores, weights = self.scores(used.apply((params, statistics), x), y)
            return {name: (weights * score).sum() for name, score in scores.items()}, weights.sum()

        def means(params, statistics):
            found = [sums(params, statistics, *part) for part in parts]
            whole = sum(float(weight) for _, weight in found)
            names = found[0][0]
            return {f"held_out_{name}": sum(float(part[name]) for part, _ in found) / whole for name in names}

        return means


def _parts(held_out):
    count = len(jax.tree.leaves(held_out)[0])
    for start in range(0, count, EVALUATED_AT_ONCE):
        some = slice(start, start + EVALUATED_AT_ONCE)
        yield jax.tree.map(lambda array, some=some: np.asarray(array)[some], held_out)
