"""A batch in equal parts, for those who take them one after the other."""

from typing import Any

import jax
import jax.numpy as jnp


def in_turn(batch: Any, parts: int) -> Any:
    """Each array with an axis of parts in front, of examples as far apart as they can be: a share of every device's."""

    def cut(array):
        return jnp.moveaxis(array.reshape(-1, parts, *array.shape[1:]), 1, 0)

    return jax.tree.map(cut, batch)


def check_parts(who: str, examples: int, parts: int, called: str = "parts") -> None:
    """Raises ValueError where the parts do not divide the examples, or there is none."""
    if examples == 0 or examples % parts:
        raise ValueError(f"{who}: x, wanted a number of examples that {parts} {called} divide, got {examples}")
