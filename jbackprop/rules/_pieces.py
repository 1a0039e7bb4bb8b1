"""The backward half of a rule with parameters in two pieces, for who needs δ between them.

What travels on to the layer before and what the parameters get share nothing but the residuals and δ; the backward half
of the rule calls both, and so does the layer that is made of the rule.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from ._factors import Factored


class Pieces(NamedTuple):
    """Two functions of a rule's static options, in their order, and of its residuals.

    Attributes:
      travel: (*options, residuals, dy) -> (dx, delta): the gradient of the input, and the error signal of what the
        parameters enter.
      factors: (*options, residuals, delta) -> what each parameter gets, by its name.
    """

    travel: Callable[..., tuple[Any, Any]]
    factors: Callable[..., Mapping[str, Factored]]


_PIECES: dict[Callable, Pieces] = {}


def in_two(rule: jax.custom_vjp, travel: Callable[..., tuple[Any, Any]], factors: Callable[..., Mapping]) -> None:
    """Names the two pieces of a rule's backward half."""
    _PIECES[rule] = Pieces(travel, factors)


def pieces(rule: Callable) -> Pieces | None:
    """The two pieces, None for a rule that has no parameters or names none."""
    return _PIECES.get(rule)
