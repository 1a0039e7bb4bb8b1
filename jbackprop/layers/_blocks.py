"""Blocks one after another, as one loop."""

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, TypeVar

import jax

T = TypeVar("T", bound=Hashable)


@partial(jax.jit, static_argnames=("step", "of", "n", "reverse", "unroll"), inline=True)
def over_blocks(
    step: Callable[[T, Any, Any], tuple[Any, Any]],
    of: T,
    start: Any,
    blocks: Any,
    n: int,
    reverse: bool = False,
    unroll: int = 1,
) -> tuple[Any, Any]:
    """`jax.lax.scan` of step(of, carry, block), which a call outside `jit` compiles once for equal layers.

    Args:
      step: a function that a module defines, not a new one for each call.
      of: the layers that it is about.
      start: the first carry.
      blocks: a tree of arrays with n blocks in front.
      n: how many there are.
      reverse: whether the last block comes first.
      unroll: how many steps are written out.
    """
    return jax.lax.scan(partial(step, of), start, blocks, length=n, reverse=reverse, unroll=unroll)
