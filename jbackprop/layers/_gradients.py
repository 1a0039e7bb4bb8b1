"""Layers that change what travels backward and leave the values alone, and implicit ones of pairs.

The derivations stand with the rules.
"""

from jbackprop import rules

from ._layer import About
from ._of import Of, of
from ._written import layer_of, written

_SAME = About(output="{x}")

stop_gradient = layer_of(rules.stop_gradient, says=_SAME)
straight_through = layer_of(rules.straight_through)

cosine_distance = layer_of(rules.cosine_distance)
cosine_similarity = layer_of(rules.cosine_similarity)
linear_solve = layer_of(rules.linear_solve)


@written
def scale_gradient(scale: float) -> Of:
    """y = x; dx = scale · dy."""
    return of(rules.scale_gradient, scale=float(scale), says=_SAME)


@written
def reverse_gradient(scale: float = 1.0) -> Of:
    """y = x; dx = −scale · dy."""
    return of(rules.reverse_gradient, scale=float(scale), says=_SAME)


@written
def clip_gradient(limit: float) -> Of:
    """y = x; dx = dy, each entry between −limit and limit."""
    return of(rules.clip_gradient, limit=float(limit), says=_SAME)


@written
def clip_gradient_norm(limit: float) -> Of:
    """y = x; dx = dy, each row no longer than limit."""
    return of(rules.clip_gradient_norm, limit=float(limit), says=_SAME)
