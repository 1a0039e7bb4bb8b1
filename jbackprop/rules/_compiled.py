"""Rules that are called without `jit`.

JAX compiles a loop, and a choice of platform, anew whenever their functions are new ones, as a function is that is
defined in a rule's forward or backward half.  It keeps what it compiled, too.  So a half that has one is compiled as a
whole, once for its shapes and options; what goes into it is arrays, options that hash, and for a function that differs
from rule to rule a `jax.tree_util.Partial` of one that a module defines, and of the arrays that it needs.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

compiled_once = partial(jax.jit, inline=True)
"""`jax.jit` for a part of a rule; within a program that is being traced already the part is written out."""


def over_steps(step: Callable, carry: Any, inputs: Any, reverse: bool = False) -> tuple[Any, Any]:
    """`jax.lax.scan` of steps that take no time themselves, on an accelerator several in a turn of its loop.

    There a turn costs as much as a few such steps, and within one the compiler puts together what it can.
    """
    at_a_turn = 1 if jax.default_backend() == "cpu" else _STEPS_AT_A_TURN
    return jax.lax.scan(step, carry, inputs, reverse=reverse, unroll=at_a_turn)


_STEPS_AT_A_TURN = 8
