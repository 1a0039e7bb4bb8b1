"""What rules ask of options that are numbers: to be in their range, where they are known.

An option that is a number is an argument of its rule like any other, so that it may be traced, and has its gradient:
a temperature may be learned.  One that is traced is not known, and is taken as it is.  NaN is in no range.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Scalar = Float[Array, ""] | float


def check_positive(rule: str, **options: Scalar) -> None:
    """Raises ValueError unless each option (a keyword is its name) is above 0, TypeError unless it is a number."""
    _check(rule, "a positive number", lambda number: number > 0, options)


def check_not_negative(rule: str, **options: Scalar) -> None:
    """Raises ValueError unless each option is 0 or more, TypeError unless it is a number."""
    _check(rule, "a number that is not negative", lambda number: number >= 0, options)


def check_share(rule: str, **options: Scalar) -> None:
    """Raises ValueError unless each option is in [0, 1], TypeError unless it is a number."""
    _check(rule, "a number in [0, 1]", lambda number: 0 <= number <= 1, options)


def check_number(rule: str, **options: Scalar) -> None:
    """Raises ValueError unless each option is one number and not an array of them, TypeError unless it is a number."""
    _check(rule, "a number", lambda number: True, options)


def number(option: Scalar, other: jax.Array) -> jax.Array:
    """An option as it goes into arithmetic with an array: in that one's dtype, whether Python's or traced."""
    return jnp.asarray(option).astype(other.dtype)


def _check(rule: str, wanted: str, within: Callable, options):
    for name, number in options.items():
        if not isinstance(number, int | float | np.ndarray | np.generic | jax.Array):
            raise TypeError(f"{rule}: {name}, wanted {wanted}, got {number!r}")
        if jnp.ndim(number):
            raise ValueError(f"{rule}: {name}, wanted {wanted}, got an array of shape {jnp.shape(number)}")
        if not isinstance(number, jax.core.Tracer) and not within(np.asarray(number)):
            raise ValueError(f"{rule}: {name}, wanted {wanted}, got {number}")
