"""Long short-term memory.  The derivation stands in `_recurrent.py`."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Integer

from jbackprop.rules._arrays import widen
from jbackprop.rules._pieces import in_two

from ._shared import State, check, factors, like
from ._through_time import backward, error_signals, forward


@partial(jax.custom_vjp, nondiff_argnames=("reverse",))
def lstm(
    x: Float[Array, "*batch time n_in"],
    w: Float[Array, "n_in 4*hidden"],
    u: Float[Array, "hidden 4*hidden"],
    b: Float[Array, " 4*hidden"] | None = None,
    carry: tuple[State, State] | None = None,
    seq_lengths: Integer[Array, "*batch"] | None = None,
    reverse: bool = False,
) -> tuple[tuple[State, State], Float[Array, "*batch time hidden"]]:
    """Long short-term memory with a forget gate; arguments, results and errors as in `rnn`.

    The carry is (c, h) as in Flax; in PyTorch it is (h, c).

    Args:
      w: weights of the input for the gates i, f, g and o, side by side in this order, that of PyTorch and Flax.
      u: weights of the state, in the same order.
      b: biases in the same order, or None.
      carry: (c, h); zeros unless given.
    """
    return _lstm_fwd(x, w, u, b, carry, seq_lengths, reverse)[0]


def _lstm_fwd(x, w, u, b, carry, seq_lengths, reverse):
    c, h = (None, None) if carry is None else carry
    check("lstm", 4, x, w, u, b, seq_lengths, c=c, h=h)
    last, y, course = forward(Partial(_step, widen(u)), x, w, u, b, (c, h), seq_lengths, reverse)
    return (last, y), course


def _step(u, carry, z):
    c, h = carry
    i, f, g, o = jnp.split(z + h @ u, 4, axis=-1)
    i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
    c = f * c + i * g
    return (c, o * _tanh(c)), jnp.concatenate([i, f, g, o], axis=-1)


_tanh = jax.jit(jnp.tanh)
"""A function of its own to automatic differentiation, which finds t − t for its slope at −∞, and so sums these two
before it adds them to what else c receives."""


def _lstm_bwd(reverse, course, cotangents):
    dlast, dy = cotangents
    dx, dw, du, db, _, dcarry = backward(Partial(_step_back, widen(course.u).T), course, dlast, dy, reverse)
    return dx, *like((course.w, course.u, course.b), (dw, du, db)), _or_none(dcarry), None


lstm.defvjp(_lstm_fwd, _lstm_bwd)


def _step_back(ut, dcarry, gates, after, before):
    (dc, dh), (i, f, g, o), a = dcarry, jnp.split(gates, 4, axis=-1), jnp.tanh(after[0])
    dc = dc + dh * o * (1 - a * a)
    parts = dc * g * i * (1 - i), dc * before[0] * f * (1 - f), dc * i * (1 - g * g), dh * a * o * (1 - o)
    delta = jnp.concatenate(parts, axis=-1)
    return (dc * f, delta @ ut), delta


def _or_none(dcarry):
    """The gradient of (c, h), None where they were not given."""
    return None if dcarry[0] is None else dcarry


def _lstm_travel(reverse, course, cotangents):
    dlast, dy = cotangents
    dx, delta, dcarry = error_signals(Partial(_step_back, widen(course.u).T), course, dlast, dy, reverse)
    return (dx, _or_none(dcarry), None), delta


def _lstm_factors(reverse, course, delta):
    return factors(course, reverse, delta, delta)


in_two(lstm, _lstm_travel, _lstm_factors)
