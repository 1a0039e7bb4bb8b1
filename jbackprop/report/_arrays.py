"""Arrays in a few words."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._numbers import number

SHOWN = 4
"""Arrays of up to so many entries are written out."""


def brief(array: Any) -> str:
    """A few entries written out; of many the range, of complex ones that of their sizes.  A random key has none."""
    numbers = plain(array)
    if numbers is None:
        return "random key"
    if numbers.size <= SHOWN:
        return _nested(numbers)
    missing = int(np.isnan(numbers).sum())
    if missing:
        return f"{missing} NaN"
    sizes = np.abs(numbers) if np.iscomplexobj(numbers) else numbers
    return f"{'' if sizes is numbers else '|·| '}{number(sizes.min())} … {number(sizes.max())}"


def written_out(array: Any, most: int) -> str:
    """All entries of an array, to four digits; nothing of a single number, of more than `most` entries or of keys."""
    numbers = plain(array)
    if numbers is None or not 1 < numbers.size <= most:
        return ""
    return np.array2string(numbers, precision=4, threshold=most, max_line_width=100)


def plain(array: Any) -> np.ndarray | None:
    """The numbers of an array as NumPy's own types; None for random keys, which have none."""
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        return None
    half = jnp.issubdtype(array.dtype, jnp.floating) and array.dtype.itemsize < 4
    return np.asarray(array).astype(np.float32) if half else np.asarray(array)


def _nested(numbers):
    if numbers.ndim:
        return f"[{', '.join(map(_nested, numbers))}]"
    return str(bool(numbers)) if numbers.dtype == bool else number(numbers)
