"""The checkers side by side, each used as its documentation tells its users to.

Each takes a rule and its arguments and returns what it holds against the rule, "" if nothing.  Whatever a rule raises
while a tool tries it counts as found: the user's test fails.
"""

from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
from jax.test_util import check_grads

import jbackprop as jb
from jbackprop.functions import cast, differentiable, precision, replaced

from .mutants import Rule

Tool = Callable[[Rule, Sequence[jax.Array]], str]


def by_check(rule: Rule, arguments: Sequence[jax.Array], first: Sequence[str] = ()) -> str:
    """`jb.check`, without a reference; the name of the check that finds the fault.

    The checks that claim a fault run first, which saves time and changes no verdict.
    """
    try:
        jb.check(rule, *arguments, only=first)
        jb.check(rule, *arguments, skip=first)
    except jb.GradientError as error:
        return error.check
    return ""


def by_check_grads(order: int) -> Tool:
    """`jax.test_util.check_grads` with its default tolerances, reverse mode, which is all that a custom_vjp has."""

    def tool(rule, arguments):
        f, floating = _of_floating(rule, arguments)
        return _raised(lambda: check_grads(f, floating, order=order, modes=("rev",)))

    return tool


def by_check_grads_in_float64(rule: Rule, arguments: Sequence[jax.Array]) -> str:
    """The same at its best: in float64, where its tolerance is 1e-5, and to its default order of two."""
    with precision("float64"):
        return by_check_grads(order=2)(rule, jax.tree.map(jnp.asarray, cast("float64", tuple(arguments))))


def by_chex(rule: Rule, arguments: Sequence[jax.Array]) -> str:
    """`chex.assert_numerical_grads` with its default tolerance, reverse mode."""
    f, floating = _of_floating(rule, arguments)
    return _raised(lambda: chex.assert_numerical_grads(f, floating, order=1, modes=("rev",)))


OTHERS: dict[str, Tool] = {
    "check_grads, order 1": by_check_grads(order=1),
    "check_grads, order 2": by_check_grads(order=2),
    "check_grads, float64": by_check_grads_in_float64,
    "chex": by_chex,
}


def _of_floating(rule, arguments):
    """The rule as a function of its floating point arguments; these tools refuse integers."""
    places = differentiable(rule, *arguments).chosen
    return lambda *floating: rule(*replaced(arguments, places, floating)), tuple(arguments[i] for i in places)


def _raised(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return ""
