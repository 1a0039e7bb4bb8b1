"""The loss scale of half precision, found while training.

    s ← c s    after n steps in a row without an overflow         s ← s / c    at an overflow, whose step is not taken

The gradients of s C are as large as float16 can hold them, so as few as can be vanish in it.

P. Micikevicius et al., "Mixed precision training", ICLR, 2018, section 3.2.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

SMALLEST = 1.0
"""A loss that overflows at this scale is too large itself."""


class LossScale(NamedTuple):
    """Where a dynamic loss scale stands.

    Attributes:
      scale: what the loss is multiplied by.
      good_steps: how many steps were taken since it changed.
    """

    scale: jax.Array
    good_steps: jax.Array


@dataclasses.dataclass(frozen=True)
class DynamicScale:
    """How a loss scale grows and falls; where it stands is in the training's `State`.

    Attributes:
      initial: the first scale.
      growth_interval: how many steps without an overflow let it grow.
      factor: by which it grows then, and falls at an overflow; never below 1.

    Raises:
      ValueError: initial is below 1, growth_interval is not positive, or factor is not above 1.
    """

    initial: float = 2.0**15
    growth_interval: int = 2000
    factor: float = 2.0

    def __post_init__(self) -> None:
        ranges = {
            "initial": (SMALLEST <= self.initial < math.inf, "a finite number of at least 1"),
            "growth_interval": (self.growth_interval >= 1, "at least 1"),
            "factor": (1 < self.factor < math.inf, "a finite number above 1"),
        }
        for name, (good, wanted) in ranges.items():
            if not good:
                raise ValueError(f"DynamicScale: {name}, wanted {wanted}, got {getattr(self, name)}")

    def first(self) -> LossScale:
        """Where it starts."""
        return LossScale(jnp.array(self.initial, jnp.float32), jnp.zeros((), jnp.int32))

    def after(self, now: LossScale, finite: jax.Array) -> LossScale:
        """Where it stands after a step, whose numbers were all finite or not."""
        grown = now.scale * self.factor
        due = finite & (now.good_steps + 1 >= self.growth_interval)
        higher = jnp.where(due & jnp.isfinite(grown), grown, now.scale)
        lower = jnp.maximum(now.scale / self.factor, SMALLEST)
        good_steps = jnp.where(finite & ~due, now.good_steps + 1, 0)
        return LossScale(jnp.where(finite, higher, lower), good_steps)
