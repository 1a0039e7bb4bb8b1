"""The gated recurrent unit.  The derivation stands in `_recurrent.py`."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Integer

from jbackprop.rules._arrays import widen
from jbackprop.rules._factors import Summed
from jbackprop.rules._pieces import in_two

from ._shared import State, check, factors, like
from ._through_time import backward, error_signals, forward, gates_of


@partial(jax.custom_vjp, nondiff_argnames=("reverse",))
def gru(
    x: Float[Array, "*batch time n_in"],
    w: Float[Array, "n_in 3*hidden"],
    u: Float[Array, "hidden 3*hidden"],
    b: Float[Array, " 3*hidden"] | None = None,
    b_n: Float[Array, " hidden"] | None = None,
    carry: State | None = None,
    seq_lengths: Integer[Array, "*batch"] | None = None,
    reverse: bool = False,
) -> tuple[State, Float[Array, "*batch time hidden"]]:
    """The gated recurrent unit of cuDNN, PyTorch, Flax and Equinox; arguments, results and errors as in `rnn`.

    s is the share of the old state that stays, as z is there: h = (1 − s) n + s h'.

    Args:
      w: weights of the input for the gates r (reset), s (update; z in PyTorch and Flax) and n (candidate), side by side
        in this order.
      u: weights of the state, in the same order.
      b: biases in the same order, or None.  PyTorch has two; their sum for r and s, that of the input for n.
      b_n: the candidate's second bias, inside what r multiplies, or None.
    """
    return _gru_fwd(x, w, u, b, b_n, carry, seq_lengths, reverse)[0]


def _gru_fwd(x, w, u, b, b_n, carry, seq_lengths, reverse):
    check("gru", 3, x, w, u, b, seq_lengths, b_n=b_n, carry=carry)
    step = Partial(_step, widen(u), None if b_n is None else widen(b_n)[None])
    (last,), y, course = forward(step, x, w, u, b, (carry,), seq_lengths, reverse)
    return (last, y), (course, b_n)


def _step(u, b_n, carry, z):
    ((h,), hidden) = carry, len(u)
    m = h @ u
    r, s = jnp.split(jax.nn.sigmoid(z[:, : 2 * hidden] + m[:, : 2 * hidden]), 2, axis=-1)
    q = m[:, 2 * hidden :] + (0 if b_n is None else b_n)
    n = jnp.tanh(z[:, 2 * hidden :] + r * q)
    return ((1 - s) * n + s * h,), jnp.concatenate([r, s, n, q], axis=-1)


def _gru_bwd(reverse, residuals, cotangents):
    (course, b_n), (dlast, dy) = residuals, cotangents
    dx, dw, du, db, db_of_state, (dcarry,) = backward(
        Partial(_step_back, widen(course.u).T), course, (dlast,), dy, reverse, _of_state
    )
    gradients = dw, du, db, db_of_state[2 * len(course.u) :]
    return dx, *like((course.w, course.u, course.b, b_n), gradients), dcarry, None


gru.defvjp(_gru_fwd, _gru_bwd)


def _step_back(ut, dcarry, gates, after, before):
    (dh,), (h,), (r, s, n, q) = dcarry, before, jnp.split(gates, 4, axis=-1)
    delta_n = dh * (1 - s) * (1 - n * n)
    delta = jnp.concatenate([delta_n * q * r * (1 - r), dh * (h - n) * s * (1 - s), delta_n], axis=-1)
    return (dh * s + _of_state(gates, delta) @ ut,), delta


def _of_state(gates, delta):
    """δ' from δ: the part of n times r."""
    hidden = gates.shape[-1] // 4
    return delta.at[..., 2 * hidden :].multiply(gates[..., :hidden])


def _gru_travel(reverse, residuals, cotangents):
    (course, _), (dlast, dy) = residuals, cotangents
    dx, delta, (dcarry,) = error_signals(Partial(_step_back, widen(course.u).T), course, (dlast,), dy, reverse)
    return (dx, dcarry, None), delta


def _gru_factors(reverse, residuals, delta):
    course, _ = residuals
    of_state = _of_state(gates_of(course), delta)
    return {**factors(course, reverse, delta, of_state), "b_n": Summed(of_state[..., 2 * len(course.u) :])}


in_two(gru, _gru_travel, _gru_factors)
