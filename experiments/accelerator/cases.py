"""Every case of the table at a size for an accelerator: with more examples than for a CPU, in two precisions."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jbackprop import automatic
from jbackprop.cases import CASES

from ..peers.jax_peers import of_jax
from .rows import Program

_BYTES, _TIMES = 2**27, 16
"""So large the largest argument becomes, and at most so many times what it is for a CPU."""

ROWS = {
    f"{case.name}, {dtype}": (case, dtype)
    for case in CASES
    if case.at_scale and "no batch axis" not in case.name
    for dtype in ("bfloat16", "float32")
}
"""The cases that have a size to measure on, each with a dtype."""


def program(name: str, small: bool = False) -> Program:
    """Value and gradients of a row by hand, by autodiff, and by jax.nn's or optax's function where there is one.

    Args:
      name: in `ROWS`.
      small: at the size of the proof, for a CPU.
    """
    case, dtype = ROWS[name]

    def draw(seed):
        return case.draw(jax.random.key(seed), dtype, at_scale=not small)

    arguments = draw(0) if small else with_more_examples(case.rule, draw)
    wrt = tuple(i for i, argument in enumerate(arguments) if jnp.issubdtype(argument.dtype, jnp.floating))
    theirs = {"jax.nn, optax": twin} if (twin := of_jax(case)) else {}
    return Program(arguments, wrt, {"by hand": case.rule, "autodiff": automatic(case.rule), **theirs})


def with_more_examples(rule: Callable[..., Any], draw: Callable[[int], Sequence[jax.Array]]) -> tuple[jax.Array, ...]:
    """Arguments with many times the examples; as they are drawn where a rule has none, or they are large already.

    Which arguments have an axis of examples the outputs tell: those with first axes of one size have it if the first
    axes of the outputs grow as theirs do, or no output has an axis.

    Args:
      rule: of the arguments.
      draw: the arguments for a seed.
    """
    arguments = tuple(draw(0))
    times = min(_TIMES, _BYTES // max(argument.nbytes for argument in arguments))
    for size in dict.fromkeys(argument.shape[0] for argument in arguments if argument.ndim):
        grows = [argument.shape[:1] == (size,) for argument in arguments]
        if times > 1 and _grown(rule, arguments, grows, times):
            seeds = [draw(seed) for seed in range(times)]
            return tuple(
                jnp.concatenate(all_of_it) if grown else all_of_it[0]
                for grown, *all_of_it in zip(grows, *seeds, strict=True)
            )
    return arguments


def _grown(rule, arguments, grows, times):
    """Whether the outputs have so many times the rows if some arguments have."""

    def more(shape):
        return shape[0] * times, *shape[1:]

    larger = [
        jax.ShapeDtypeStruct(more(argument.shape) if grown else argument.shape, argument.dtype)
        for argument, grown in zip(arguments, grows, strict=True)
    ]
    try:
        found = jax.tree.leaves(jax.eval_shape(rule, *larger))
    except (TypeError, ValueError):  # these rows have to be as many as some others
        return False
    before = [y.shape for y in jax.tree.leaves(jax.eval_shape(rule, *arguments))]
    after = [y.shape for y in found]
    grown = [bool(old) and new == more(old) for new, old in zip(after, before, strict=True)]
    return any(grown) or not any(before)
