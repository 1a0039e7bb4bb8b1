"""The two halves of a hand-written rule, as functions of arrays alone."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class Halves(NamedTuple):
    """A rule taken apart.

    Attributes:
      forward: (*arrays, **arrays) -> output, residuals.
      backward: (residuals, cotangent of the output) -> one cotangent, or None, for each array.
      static: the values of the static options, in their order.
      arrays: the names of the other arguments, in their order.
      required: those of them that have no default.
    """

    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[[Any, Any], tuple]
    static: tuple[Any, ...] = ()
    arrays: tuple[str, ...] = ()
    required: tuple[str, ...] = ()


def halves(rule: Callable, name: str) -> Halves:
    """The forward and backward functions that were given to `defvjp`, with the static options filled in.

    Args:
      rule: a `jax.custom_vjp` function; `functools.partial` may set options of it by name.
      name: what to call it in an error.

    Raises:
      TypeError: there is no such rule in `rule`.
    """
    function, options = (rule.func, rule.keywords) if isinstance(rule, functools.partial) else (rule, {})
    if not isinstance(function, jax.custom_vjp) or function.fwd is None or function.bwd is None:
        raise TypeError(f"{name}, wanted a jax.custom_vjp function with its two halves defined, got {rule!r}")
    fwd, bwd, signature = function.fwd, function.bwd, inspect.signature(function.fun)
    parameters = list(signature.parameters.values())
    static = tuple(options.get(parameters[i].name, parameters[i].default) for i in function.nondiff_argnums)
    arrays = [parameter for i, parameter in enumerate(parameters) if i not in function.nondiff_argnums]

    def forward(*positional, **named):
        bound = signature.bind(*positional, **named, **options)
        bound.apply_defaults()
        return fwd(*bound.args)

    def backward(residuals, cotangent):
        found = bwd(*static, residuals, cotangent)
        return found[0] if getattr(function, "with_logs", False) else found  # (cotangents, logs), from jax 0.11 on

    required = tuple(parameter.name for parameter in arrays if parameter.default is parameter.empty)
    return Halves(forward, backward, static, tuple(parameter.name for parameter in arrays), required)
