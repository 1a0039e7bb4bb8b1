"""The plain recurrence.  The derivation stands in `_recurrent.py`."""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Integer

from jbackprop.rules._arrays import widen
from jbackprop.rules._pieces import in_two

from ._shared import State, check, factors, like
from ._through_time import backward, error_signals, forward


class _Steps(NamedTuple):
    """From one time to the next, and back."""

    forward: Callable
    back: Callable


def _steps(phi, slope):
    """Of a cell with this φ, whose slope is a function of its value."""

    def forward(u, carry, z):
        return (phi(z + carry[0] @ u),), None

    def back(ut, dcarry, gates, after, before):
        delta = dcarry[0] * slope(after[0])
        return (delta @ ut,), delta

    return _Steps(forward, back)


_ACTIVATIONS = {
    "tanh": _steps(jnp.tanh, lambda h: 1 - h * h),
    "relu": _steps(jax.nn.relu, lambda h: (h > 0).astype(h.dtype)),
}


@partial(jax.custom_vjp, nondiff_argnames=("activation", "reverse"))
def rnn(
    x: Float[Array, "*batch time n_in"],
    w: Float[Array, "n_in hidden"],
    u: Float[Array, "hidden hidden"],
    b: Float[Array, " hidden"] | None = None,
    carry: State | None = None,
    seq_lengths: Integer[Array, "*batch"] | None = None,
    activation: Literal["tanh", "relu"] = "tanh",
    reverse: bool = False,
) -> tuple[State, Float[Array, "*batch time hidden"]]:
    """h = φ(x W + h' U + b), step by step.

    The rules of this family share their arguments.

    Args:
      x: sequences, time before features.
      w: weights of the input.
      u: weights of the state.
      b: biases, or None.
      carry: the state before the first step; zeros unless given.
      seq_lengths: how many steps of each sequence count, from the first on; all unless given.  In the others the carry
        stays and the output is 0.
      activation: φ.
      reverse: whether time runs from the last step that counts to the first.  Each output still stands beside its
        input.

    Returns:
      The carry after the last step, in the dtype in which it was given, and h of every step.  Half precision is
      computed in float32.  To train on a long sequence in pieces, hand each piece the carry of the one before.

    Raises:
      TypeError: an argument has the wrong kind of dtype.
      ValueError: the shapes do not belong together, there is no such activation, or a length is outside [0, time].
        Under `jit` the lengths are not known yet: there the nearest one inside is taken.
    """
    return _rnn_fwd(x, w, u, b, carry, seq_lengths, activation, reverse)[0]


def _rnn_fwd(x, w, u, b, carry, seq_lengths, activation, reverse):
    if activation not in _ACTIVATIONS:
        raise ValueError(f"rnn: activation, wanted one of {', '.join(_ACTIVATIONS)}, got {activation!r}")
    check("rnn", 1, x, w, u, b, seq_lengths, carry=carry)
    step = Partial(_ACTIVATIONS[activation].forward, widen(u))
    (last,), y, course = forward(step, x, w, u, b, (carry,), seq_lengths, reverse)
    return (last, y), course


def _rnn_bwd(activation, reverse, course, cotangents):
    dlast, dy = cotangents
    dx, dw, du, db, _, (dcarry,) = backward(_step_back(activation, course), course, (dlast,), dy, reverse)
    return dx, *like((course.w, course.u, course.b), (dw, du, db)), dcarry, None


rnn.defvjp(_rnn_fwd, _rnn_bwd)


def _step_back(activation, course):
    return Partial(_ACTIVATIONS[activation].back, widen(course.u).T)


def _rnn_travel(activation, reverse, course, cotangents):
    dlast, dy = cotangents
    dx, delta, (dcarry,) = error_signals(_step_back(activation, course), course, (dlast,), dy, reverse)
    return (dx, dcarry, None), delta


def _rnn_factors(activation, reverse, course, delta):
    return factors(course, reverse, delta, delta)


in_two(rnn, _rnn_travel, _rnn_factors)
