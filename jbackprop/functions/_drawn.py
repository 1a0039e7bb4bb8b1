"""Random numbers where only a shape is given: for arguments, and for the cotangents of outputs."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def draw_arguments(args: Any, seed: int = 0) -> Any:
    """The arguments with random numbers for every `jax.ShapeDtypeStruct`: normal, or 0 and 1 for integers and booleans.

    They are NumPy's arrays, so that float64 stays what it is.
    """
    leaves, tree = jax.tree.flatten(args)
    return tree.unflatten([_of_shape(leaf, np.random.default_rng((seed, 11, i))) for i, leaf in enumerate(leaves)])


def draw_cotangents(outputs: Sequence[Any], key: jax.Array) -> list[jax.Array]:
    """A standard normal array for each output, or the shape of one, in its dtype."""
    keys = jax.random.split(key, len(outputs))
    return [jax.random.normal(key, y.shape, y.dtype) for key, y in zip(keys, outputs, strict=True)]


def _of_shape(leaf, rng):
    if not isinstance(leaf, jax.ShapeDtypeStruct):
        return leaf
    real = jnp.issubdtype(leaf.dtype, jnp.floating)
    numbers = rng.normal(size=leaf.shape) if real else rng.integers(0, 2, size=leaf.shape)
    return np.asarray(numbers).astype(leaf.dtype)
