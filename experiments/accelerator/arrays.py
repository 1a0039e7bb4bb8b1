"""What the arguments of a program are."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

BFLOAT16, FLOAT32 = jnp.bfloat16, jnp.float32


@dataclass(frozen=True)
class Array:
    """What an argument is.

    Attributes:
      shape: its own.
      dtype: of random numbers; without one they are zeros.
      below: for random integers instead, what they are below.
    """

    shape: tuple[int, ...]
    dtype: Any = None
    below: int = 0
