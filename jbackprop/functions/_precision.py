"""Arrays in one floating point type or another, and float64 switched on where it is needed."""

import contextlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

DTYPES = ("float64", "float32", "bfloat16", "float16")
"""The floating point types that a rule should be right in."""

Arrays = tuple[Any, ...]


def precision(dtype: str):
    """A context in which JAX has this dtype: float64 needs its own switch, the others leave the user's as it is."""
    return jax.enable_x64(True) if dtype == "float64" else contextlib.nullcontext()


def precision_of(arrays: Sequence[Any]):
    """A context in which JAX has the dtypes of these arrays."""
    return precision("float64" if any(array.dtype == np.float64 for array in arrays) else "")


def cast(dtype: str, arrays: Sequence[Any]) -> Arrays:
    """The real floating point ones among the arrays in a dtype, as NumPy arrays; the others as they are."""
    with np.errstate(over="ignore"):  # what is too large for the dtype is its infinity
        return tuple(np.asarray(array).astype(jnp.dtype(dtype)) if is_real(array) else array for array in arrays)


def rounded(dtype: str, arrays: Sequence[Any]) -> Arrays:
    """Float64 arrays that the dtype can hold: what an exact evaluation has to start from."""
    return cast("float64", cast(dtype, arrays))


def exact(arrays: Sequence[Any]) -> Arrays:
    """JAX's arrays as NumPy arrays, floating point in float64, random keys as their numbers."""
    return tuple(np.asarray(_data(array), dtype=np.float64 if is_real(array) else None) for array in arrays)


def is_real(array: Any) -> bool:
    """Whether an array (or anything with a dtype) holds real floating point numbers."""
    return jnp.issubdtype(array.dtype, jnp.floating)


def _data(array):
    return jax.random.key_data(array) if jnp.issubdtype(array.dtype, jax.dtypes.prng_key) else array
