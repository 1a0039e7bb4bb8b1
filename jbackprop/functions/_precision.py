"""Arrays in one floating point type or another, and 64 bits switched on where they are needed."""

import contextlib
import contextvars
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._differentiable import is_array, is_inexact

DTYPES = ("float64", "float32", "bfloat16", "float16")
"""The floating point types that a rule should be right in."""

Arrays = tuple[Any, ...]


def precision(*dtypes: Any) -> contextlib.AbstractContextManager:
    """A context in which JAX has these dtypes: 64 bits need their own switch, else it stands as the user has it.

    Also inside a context of 64 bits: what makes arrays of no dtype in particular, as `jnp.zeros(3)` does for the start
    of a scan, would mix float64 with float32 there.
    """
    if any(str(dtype) in ("float64", "complex128", "int64", "uint64") for dtype in dtypes):
        return _wide()
    users = _USERS.get()
    return contextlib.nullcontext() if users is None else jax.enable_x64(users)


_USERS: contextvars.ContextVar[bool | None] = contextvars.ContextVar("_USERS", default=None)
"""How the user has the switch of 64 bits, where it is ours at the moment."""


@contextlib.contextmanager
def _wide() -> Iterator[None]:
    users = _USERS.get()
    token = _USERS.set(jnp.result_type(float) == np.float64 if users is None else users)
    try:
        with jax.enable_x64(True):
            yield
    finally:
        _USERS.reset(token)


def cast(dtype: Any, tree: Any) -> Any:
    """The arrays of floating point in a tree in a dtype, as NumPy's; all else as it is.

    A complex array becomes one whose two parts have the dtype, or of float32 where there is no such complex type.
    """
    with np.errstate(over="ignore"):  # what is too large for the dtype is its infinity
        return jax.tree.map(lambda leaf: _cast(dtype, leaf) if is_array(leaf) and is_inexact(leaf) else leaf, tree)


def rounded_to(dtype: str, tree: Any) -> Any:
    """The same in float64, of numbers that the dtype can hold: what an exact evaluation has to start from."""
    return cast("float64", cast(dtype, tree))


def as_float64(arrays: Sequence[Any]) -> Arrays:
    """JAX's arrays as NumPy arrays, floating point in float64, random keys as their numbers."""
    return tuple(np.asarray(_data(array), dtype=np.float64 if is_real(array) else None) for array in arrays)


def is_real(array: Any) -> bool:
    """Whether an array (or anything with a dtype) holds real floating point numbers."""
    return jnp.issubdtype(array.dtype, jnp.floating)


def _cast(dtype, array):
    wanted = jnp.dtype(dtype) if is_real(array) else jnp.promote_types(dtype, jnp.complex64)
    return np.asarray(array).astype(wanted)


def _data(array):
    return jax.random.key_data(array) if jnp.issubdtype(array.dtype, jax.dtypes.prng_key) else array
