"""The peers that run on JAX: the rules by hand, their autodiff twins, what jax.nn and optax have, and Flax."""

import functools
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import jax

import jbackprop as jb
from jbackprop.cases import Case
from jbackprop.functions import differentiable

from .jax_twins import TWINS


def by_hand(case: Case) -> Callable:
    return case.rule


def autodiff(case: Case) -> Callable:
    return jb.automatic(case.rule)


def of_jax(case: Case) -> Callable | None:
    return _bound(TWINS, case)


def of_flax(case: Case) -> Callable | None:
    if not importlib.util.find_spec("flax"):
        return None
    from .flax_twins import TWINS  # only where it is installed

    return _bound(TWINS, case)


def _bound(twins, case):
    """The twin with the case's options; None if there is none that takes them."""
    if case.rule_name not in twins:
        return None
    twin = functools.partial(twins[case.rule_name], **case.options)
    try:
        jax.eval_shape(lambda key: twin(*case.draw(key, at_scale=True)), jax.random.key(0))
    except TypeError:
        return None
    return twin


def gradients(f: Callable, arguments: Sequence[Any], cotangents: Sequence[Any]) -> Callable[[], Any]:
    """A call that computes the gradients of Σ ⟨u, output⟩ by every floating point argument, and waits for them."""
    problem = differentiable(f, *arguments)
    gradient = jax.jit(lambda leaves, cotangents: problem.vjp(*leaves)[1](cotangents))
    return lambda: jax.block_until_ready(gradient(problem.leaves, list(cotangents)))
