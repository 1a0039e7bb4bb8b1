"""Functions that are defined for some arguments alone, tried on free numbers."""

import functools
from collections.abc import Callable
from typing import Any


def on_domain(domain: Callable | None, f: Callable) -> Callable:
    """f behind a function that makes valid arguments of free ones; f itself where there is none."""
    if domain is None:
        return f

    @functools.wraps(f)
    def behind(*free: Any) -> Any:
        valid = domain(*free)
        one_in_a_tuple = isinstance(valid, tuple) and len(valid) == 1 and not isinstance(free[0], tuple)
        return f(*valid) if len(free) > 1 or one_in_a_tuple else f(valid)

    return behind
