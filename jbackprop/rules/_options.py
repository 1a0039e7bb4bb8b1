"""Options that are numbers: what rules ask of them, and how they may be traced.

An option that is a number may be traced, and has its gradient: a temperature may be learned.  In some rules it is an
argument like any other.  In the others, `of_numbers`, a number of Python's is static, so that the program may depend
on it, and an array is an argument.  One that is traced is not known, and is taken as it is.  NaN is in no range.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._arrays import cotangent, wide_dtype

Scalar = Float[Array, ""] | float
T = TypeVar("T")
Slope = Callable[[dict[str, Any], Any, Any], jax.Array]
"""(arguments by their names, residuals, cotangent) -> ∂C/∂option."""


class of_numbers(jax.custom_vjp[T]):  # noqa: N801
    """A `jax.custom_vjp` of which some static options are numbers, and may be arrays as well.

    Without such an array a call is that of the plain rule, to the letter.
    """

    numbers: tuple[str, ...] = ()
    traced: Callable[..., Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> "of_numbers[T]":
        return object.__new__(cls)

    def defnumbers(self, **slopes: Slope | None) -> None:
        """Names the options that are numbers, and for each what computes its gradient, None where that is 0."""
        self.deftraced(partial(_traced, self, slopes), *slopes)

    def deftraced(self, traced: Callable[..., T], *numbers: str) -> None:
        """Names the function that is called in the rule's place where one of these options is an array."""
        self.traced, self.numbers = traced, numbers

    def __call__(self, *args: Any, **kwargs: Any) -> T:
        options = (*(args[i] for i in self.nondiff_argnums if i < len(args)), *map(kwargs.get, self.numbers))
        if any(isinstance(option, jax.Array) for option in options):
            return self.traced(*args, **kwargs)
        return super().__call__(*args, **kwargs)


def _traced(rule, slopes, /, *args, **kwargs):
    """A call of a rule in which those of its options that are arrays are arguments; it logs no δ."""
    bound = inspect.signature(rule.fun).bind(*args, **kwargs)
    bound.apply_defaults()
    given = bound.arguments
    arrays = {name: value for i, (name, value) in enumerate(given.items()) if i not in rule.nondiff_argnums}
    numbers = {name: _fitted(given[name], arrays) for name in slopes if isinstance(given[name], jax.Array)}
    check_number(rule.__name__, **numbers)
    return _with_arguments(rule, slopes, given)(arrays, numbers)


def _with_arguments(rule, slopes, given):
    """(arrays, numbers) -> the rule of them, by their names, and of the other options as they are given."""
    options = [name for i, name in enumerate(given) if i in rule.nondiff_argnums]
    names = [name for name in given if name not in options]  # in order, which a tree does not keep

    def learned(arrays, numbers):
        return rule.fun(*{**given, **arrays, **numbers}.values())

    def fwd(arrays, numbers):
        y, kept = inspect.unwrap(rule.fwd)(*{**given, **arrays, **numbers}.values())
        return y, (arrays, numbers, kept)

    def bwd(residuals, dy):
        arrays, numbers, kept = residuals
        values = {**given, **arrays, **numbers}
        found = inspect.unwrap(rule.bwd)(*(values[name] for name in options), kept, dy)
        return dict(zip(names, found, strict=True)), {
            name: slopes[name] and cotangent(number, slopes[name](values, kept, dy)) for name, number in numbers.items()
        }

    learned.__name__ = rule.__name__
    learned = jax.custom_vjp(learned)
    learned.defvjp(fwd, bwd)
    return learned


def _fitted(number, arrays):
    """An option in the dtype in which the arrays are computed with."""
    floating = [leaf for leaf in jax.tree.leaves(arrays) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)]
    return jnp.asarray(number).astype(wide_dtype(*floating[:1]) if floating else jnp.result_type(float))


def check_positive(rule: str, **options: Scalar) -> None:
    """Raises ValueError unless each option (a keyword is its name) is above 0, TypeError unless it is a number."""
    check_within(rule, "a positive number", lambda number: number > 0, **options)


def check_not_negative(rule: str, **options: Scalar) -> None:
    """Raises ValueError unless each option is 0 or more, TypeError unless it is a number."""
    check_within(rule, "a number that is not negative", lambda number: number >= 0, **options)


def check_share(rule: str, **options: Scalar) -> None:
    """Raises ValueError unless each option is in [0, 1], TypeError unless it is a number."""
    check_within(rule, "a number in [0, 1]", lambda number: 0 <= number <= 1, **options)


def check_number(rule: str, **options: Scalar) -> None:
    """Raises ValueError unless each option is one number and not an array of them, TypeError unless it is a number."""
    check_within(rule, "a number", lambda number: True, **options)


def number(option: Scalar, other: jax.Array) -> jax.Array:
    """An option as it goes into arithmetic with an array: in that one's dtype, whether Python's or traced."""
    return jnp.asarray(option).astype(other.dtype)


def check_within(rule: str, wanted: str, within: Callable[[Any], Any], /, **options: Any) -> None:
    """Raises ValueError unless each option is one number within what is wanted, TypeError unless it is a number.

    What is traced is not known, and taken as it is.
    """
    for name, number in options.items():
        if not isinstance(number, int | float | np.ndarray | np.generic | jax.Array):
            raise TypeError(f"{rule}: {name}, wanted {wanted}, got {number!r}")
        if jnp.ndim(number):
            raise ValueError(f"{rule}: {name}, wanted {wanted}, got an array of shape {jnp.shape(number)}")
        if not isinstance(number, jax.core.Tracer) and not within(np.asarray(number)):
            raise ValueError(f"{rule}: {name}, wanted {wanted}, got {number}")
