"""Dropout: a layer that draws random numbers, where it is given a key.  The derivation stands with `rules.dropout`."""

import dataclasses
import functools
from typing import Any

import jax

from jbackprop import rules
from jbackprop.functions import Halves, halves

from ._layer import About, Layer, Params
from ._shapes import Identity, identity


@dataclasses.dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """y = x ⊙ m / (1 − rate) with a key, y = x without; `dropout` makes it.

    Attributes:
      rate: the probability that an entry is dropped.
    """

    rate: float

    @property
    def _rule(self) -> Halves:
        return halves(functools.partial(rules.dropout, rate=self.rate), "dropout")

    def forward(self, params: Params, x: jax.Array, key: jax.Array | None = None) -> tuple[jax.Array, Any]:
        """x with entries dropped; kept is the key, from which the backward pass draws the mask again."""
        return (x, None) if key is None else self._rule.forward(key, x)

    def backward(self, params: Params, cache: Any, dy: jax.Array) -> tuple[jax.Array, Any]:
        """dy with the same entries dropped."""
        return (dy if cache is None else self._rule.backward(cache, dy)[1]), ()

    def evaluation(self) -> Identity:
        """Nothing is dropped."""
        return identity()

    def about(self) -> About:
        """A mask, drawn twice."""
        return About("dropout", "{x} ⊙ m / (1 − rate)", input="{dy} ⊙ m / (1 − rate)")


def dropout(rate: float = 0.5) -> Dropout:
    """Drops entries at random, in training: `backprop` and `apply` draw where they are given a key.

    Args:
      rate: the probability that an entry is dropped.

    Raises:
      ValueError: rate is not in [0, 1].
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"dropout: rate, wanted a probability in [0, 1], got {rate}")
    return Dropout(rate)
