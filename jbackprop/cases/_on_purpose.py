"""Cases of the rules whose gradient is not the derivative, which the generic tests leave out."""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from jbackprop import rules

from ._case import Case, normal


@dataclasses.dataclass(frozen=True, kw_only=True)
class Replaced(Case):
    """A rule with a gradient of its own choice.

    Attributes:
      pulled: (dy, *arguments) -> dx, what the gradient by x should be, written out.
      linear: whether dx is a linear map of dy.
    """

    pulled: Callable[..., jax.Array]
    linear: bool = True


def _identity(x, *options):
    return x


def _shrunk(axis):
    def pulled(dy, x, limit):
        norm = jnp.linalg.norm(dy, axis=axis, keepdims=True)
        return dy * jnp.minimum(1, limit / norm)

    return pulled


def _positive(key, dtype):
    return 0.5 + abs(normal()(key, dtype))


_X = normal(5, 7)
_KEPT = ("float32[]",)

ON_PURPOSE = (
    Replaced("straight_through", rules.straight_through, jnp.round, (_X,), (), pulled=lambda dy, x: dy),
    Replaced(
        "straight_through, sign",
        partial(rules.straight_through, quantise=jnp.sign),
        jnp.sign,
        (normal(2, 5, 7),),
        (),
        pulled=lambda dy, x: dy,
    ),
    Replaced(
        "reverse_gradient",
        rules.reverse_gradient,
        _identity,
        (_X, normal()),
        _KEPT,
        pulled=lambda dy, x, scale: -scale * dy,
    ),
    Replaced(
        "scale_gradient", rules.scale_gradient, _identity, (_X, normal()), _KEPT, pulled=lambda dy, x, scale: scale * dy
    ),
    Replaced(
        "clip_gradient",
        rules.clip_gradient,
        _identity,
        (_X, _positive),
        _KEPT,
        pulled=lambda dy, x, limit: jnp.clip(dy, -limit, limit),
        linear=False,
    ),
    Replaced(
        "clip_gradient_norm",
        rules.clip_gradient_norm,
        _identity,
        (_X, _positive),
        _KEPT,
        pulled=_shrunk(-1),
        linear=False,
    ),
    Replaced(
        "clip_gradient_norm, an example of several axes",
        partial(rules.clip_gradient_norm, axis=(1, 2)),
        _identity,
        (normal(2, 5, 7), _positive),
        _KEPT,
        pulled=_shrunk((1, 2)),
        linear=False,
    ),
    Replaced(
        "stop_gradient", rules.stop_gradient, jax.lax.stop_gradient, (normal(7),), (), pulled=lambda dy, x: 0 * dy
    ),
)
"""Every rule with a gradient of its own choice."""
