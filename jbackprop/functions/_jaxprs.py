"""Jaxprs: what they hold, at any depth, and how one is evaluated.

A jaxpr is a list of equations, with or without the constants in it; an equation such as that of `scan` holds jaxprs of
its own among its parameters, alone or in a tuple.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
from jax.extend import core
from jax.interpreters import partial_eval

CUSTOM_VJP, CUSTOM_JVP = "custom_vjp_call", "custom_jvp_call"
"""The primitives that call a function with a hand-written rule, reverse or forward."""

CALLS = {"jit", "remat2", "call", "closed_call", "eval_jaxpr", CUSTOM_VJP, CUSTOM_JVP}
"""The primitives that do nothing but call their one jaxpr; `closed_call` is `eval_jaxpr` since JAX 0.12."""


def is_jaxpr(value: Any) -> bool:
    """Whether a parameter of an equation is a jaxpr, with constants or without."""
    return isinstance(value, core.Jaxpr | core.ClosedJaxpr)


def opened_jaxpr(jaxpr: Any) -> tuple[core.Jaxpr, Sequence[Any]]:
    """A jaxpr and its constants; one that is open has none."""
    return (jaxpr.jaxpr, jaxpr.consts) if isinstance(jaxpr, core.ClosedJaxpr) else (jaxpr, ())


def inner_jaxprs(equation: core.JaxprEqn) -> Iterator[Any]:
    """The jaxprs among the parameters of an equation."""
    for value in equation.params.values():
        yield from filter(is_jaxpr, value if isinstance(value, tuple) else (value,))


def needed(jaxpr: core.ClosedJaxpr) -> tuple[core.Jaxpr, Sequence[bool]]:
    """A jaxpr less what no output of floating point depends on; and which of its inputs one does."""
    used = [jnp.issubdtype(atom.aval.dtype, jnp.inexact) for atom in jaxpr.jaxpr.outvars]
    return partial_eval.dce_jaxpr(jaxpr.jaxpr, used)


def called_jaxpr(equation: core.JaxprEqn) -> Any:
    """The jaxpr of the function that an equation calls, if it does nothing else; None otherwise."""
    return next(inner_jaxprs(equation), None) if equation.primitive.name in CALLS else None


def every_equation(jaxpr: Any) -> Iterator[core.JaxprEqn]:
    """The equations of a jaxpr, each followed by those inside it."""
    for equation in opened_jaxpr(jaxpr)[0].eqns:
        yield equation
        for inner in inner_jaxprs(equation):
            yield from every_equation(inner)


def holds(jaxpr: Any, primitives: Collection[str]) -> bool:
    """Whether an equation of a jaxpr, at any depth, is of one of these primitives."""
    return any(equation.primitive.name in primitives for equation in every_equation(jaxpr))


def evaluate_jaxpr(
    jaxpr: Any,
    arguments: Sequence[Any],
    apply: Callable[[core.JaxprEqn, list], Sequence[Any]],
    constant: Callable[[Any], Any] = lambda value: value,
) -> list:
    """The results of a jaxpr, whatever stands for its values.

    Args:
      jaxpr: with constants or without.
      arguments: what stands for its inputs.
      apply: (equation, what stands for its inputs) -> what stands for its outputs.
      constant: what stands for a constant.
    """
    inside, constants = opened_jaxpr(jaxpr)
    values = dict(zip([*inside.constvars, *inside.invars], [*map(constant, constants), *arguments], strict=True))

    def read(atom):
        return constant(atom.val) if isinstance(atom, core.Literal) else values[atom]

    for equation in inside.eqns:
        values.update(zip(equation.outvars, apply(equation, list(map(read, equation.invars))), strict=True))
    return list(map(read, inside.outvars))
