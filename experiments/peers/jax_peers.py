"""The peers that run on JAX: the rules by hand, their autodiff twins, what jax.nn and optax have, and Flax."""

import functools
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

import jbackprop as jb
from jbackprop.cases import Case

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
    places = [i for i, a in enumerate(arguments) if jnp.issubdtype(a.dtype, jnp.floating)]

    def product(chosen, arguments, cotangents):
        given = dict(zip(places, chosen, strict=True))
        outputs = jax.tree.leaves(f(*(given.get(i, a) for i, a in enumerate(arguments))))
        return sum(jnp.vdot(u, y) for u, y in zip(cotangents, outputs, strict=False))

    gradient = jax.jit(jax.grad(product))
    chosen = [arguments[i] for i in places]
    return lambda: jax.block_until_ready(gradient(chosen, arguments, cotangents))
