"""Several computations as one program: most of the time goes into compiling programs, however little they compute."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jbackprop.functions import replaced

Call = tuple[Callable, tuple[Any, ...]]
"""A function of trees of arrays, and its arguments."""


def together(calls: Sequence[Call]) -> tuple[Any, ...]:
    """What each call returns, or the exception that it raises: that of one is no other's business."""
    jitted = [(jax.jit(function), arguments) for function, arguments in calls]
    results = [_attempt(jax.eval_shape, (function, *arguments)) for function, arguments in jitted]
    places = [i for i, result in enumerate(results) if not isinstance(result, Exception)]
    traced = [jitted[i] for i in places]
    try:
        returned = _as_one(traced)
    except Exception:  # of one that can be traced, and then not compiled or run
        returned = [_attempt(*call) for call in traced]
    return replaced(results, places, returned)


def _as_one(calls):
    functions, arguments = [function for function, _ in calls], [arguments for _, arguments in calls]
    program = jax.jit(lambda everything: [f(*arrays) for f, arrays in zip(functions, everything, strict=True)])
    return jax.block_until_ready(program(arguments))


def _attempt(function, arguments):
    try:
        return jax.block_until_ready(function(*arguments))
    except Exception as error:
        return error
