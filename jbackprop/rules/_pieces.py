"""A rule taken apart otherwise than in a forward and a backward half.

In two pieces, for who needs δ between them: what travels on to the layer before and what the parameters get share
nothing but the residuals and δ.  The backward half of the rule calls both, and so does the layer that is made of it.

In one sweep, for who knows ∂C/∂y before y: a loss that is averaged, or weighted by what does not depend on it.  Its
value and its gradients are then computed together, and nothing is kept in between.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from ._factors import Factored
from ._logs import logging


class Pieces(NamedTuple):
    """Two functions of a rule's static options, in their order, and of its residuals.

    Attributes:
      travel: (*options, residuals, dy) -> (dx, delta): the gradient of the input, or a tuple of those of the rule's
        first argument and of the ones behind its parameters; and the error signal of what the parameters enter.
      factors: (*options, residuals, delta) -> what each parameter gets, by its name.
    """

    travel: Callable[..., tuple[Any, Any]]
    factors: Callable[..., Mapping[str, Factored]]


_PIECES: dict[Callable, Pieces] = {}


def in_two(rule: jax.custom_vjp, travel: Callable[..., tuple[Any, Any]], factors: Callable[..., Mapping]) -> None:
    """Names the two pieces of a rule's backward half, of which the first tells the δ that the rule may log."""
    _PIECES[rule] = Pieces(travel, factors)
    logging(rule, travel)


def pieces(rule: Callable) -> Pieces | None:
    """The two pieces, None for a rule that has no parameters or names none."""
    return _PIECES.get(rule)


Sweep = Callable[..., tuple[Any, tuple]]
"""(*options, *arguments, dy) -> y, and the gradient of each argument."""

_SWEEPS: dict[Callable, Sweep] = {}


def in_one_sweep(rule: jax.custom_vjp, sweep: Sweep) -> None:
    """Names the function that computes a rule's value and gradients at once."""
    _SWEEPS[rule] = sweep


def sweep_of(rule: Callable) -> Sweep | None:
    """That function, None for a rule that names none."""
    return _SWEEPS.get(rule)
