"""h_t = cell(x_t, h_{t−1}) over a whole sequence: plain, gated (GRU), and long short-term memory (LSTM).

Examples are rows, x = x_t the input of a step, h' = h_{t−1} the state before it, W and U their weights.  Backward, dh
is all of ∂C/∂h_t: what the later steps send, and what the output y_t = h_t gets itself.

    rnn     h = φ(z)                             z = x W + h' U + b
            δ = dh ⊙ φ'(z)                       φ' = 1 − h² (tanh) or 1[h > 0] (relu, so 0 at 0)
            dh' = δ Uᵀ

    gru     r = σ(z_r + m_r)                     z = x W + b
            s = σ(z_s + m_s)                     m = h' U
            n = tanh(z_n + r ⊙ q)                q = m_n + b_n
            h = (1 − s) ⊙ n + s ⊙ h'
            δ_n = dh ⊙ (1 − s) ⊙ (1 − n²)        δ_s = dh ⊙ (h' − n) ⊙ s (1 − s)         δ_r = δ_n ⊙ q ⊙ r (1 − r)
            δ = (δ_r, δ_s, δ_n) = ∂C/∂z          δ' = (δ_r, δ_s, r ⊙ δ_n) = ∂C/∂m
            dh' = dh ⊙ s + δ' Uᵀ                 db_n = Σ r ⊙ δ_n

    lstm    i, f, o = σ(z_i), σ(z_f), σ(z_o)     z = x W + h' U + b
            g = tanh(z_g)
            c = f ⊙ c' + i ⊙ g                   h = o ⊙ tanh c
            δ_o = dh ⊙ tanh c ⊙ o (1 − o)        dc = what c sends on + dh ⊙ o ⊙ (1 − tanh² c)
            δ_i = dc ⊙ g ⊙ i (1 − i)             δ_f = dc ⊙ c' ⊙ f (1 − f)               δ_g = dc ⊙ i ⊙ (1 − g²)
            dc' = dc ⊙ f                         dh' = δ Uᵀ

    dx_t = δ_t Wᵀ        dW = Σ_t x_tᵀ δ_t        dU = Σ_t h_{t−1}ᵀ δ_t (gru: δ'_t)        db = Σ_t Σ_rows δ_t

Kept: the arguments, the carry before the first and after every step, and the gates of every step: none for rnn, r, s, n
and q for gru, i, f, g and o for lstm.

P. J. Werbos, "Backpropagation through time: what it does and how to do it", Proceedings of the IEEE 78, 1990.
S. Hochreiter, J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997.  F. A. Gers, J. Schmidhuber,
F. Cummins, "Learning to forget: continual prediction with LSTM", Neural Computation 12, 2000 (the gate f).  K. Cho et
al., "Learning phrase representations using RNN encoder–decoder for statistical machine translation", EMNLP, 2014; here
r acts on the product, not on the state in it, as in cuDNN, PyTorch, Flax and Equinox.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jbackprop.rules._arrays import check_floating, check_numbers, widen
from jbackprop.rules._factors import Outer, Summed
from jbackprop.rules._pieces import in_two

from ._through_time import backward, error_signals, forward, gates_of, states_before

State = Float[Array, "*batch hidden"]


class _Activation(NamedTuple):
    """φ, and its slope from its value."""

    value: Callable[[jax.Array], jax.Array]
    slope: Callable[[jax.Array], jax.Array]


_ACTIVATIONS = {
    "tanh": _Activation(jnp.tanh, lambda h: 1 - h * h),
    "relu": _Activation(jax.nn.relu, lambda h: (h > 0).astype(h.dtype)),
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
    _check("rnn", 1, x, w, u, b, seq_lengths, carry=carry)
    phi, wide_u = _ACTIVATIONS[activation].value, widen(u)

    def step(carry, z):
        return (phi(z + carry[0] @ wide_u),), None

    (last,), y, course = forward(step, x, w, u, b, (carry,), seq_lengths, reverse)
    return (last, y), course


def _rnn_bwd(activation, reverse, course, cotangents):
    dlast, dy = cotangents
    step = _rnn_step_back(activation, course)
    dx, dw, du, db, _, (dcarry,) = backward(step, course, (dlast,), dy, reverse)
    return dx, *_like((course.w, course.u, course.b), (dw, du, db)), dcarry, None


rnn.defvjp(_rnn_fwd, _rnn_bwd)


def _rnn_step_back(activation, course):
    ut, slope = widen(course.u).T, _ACTIVATIONS[activation].slope

    def step(dcarry, gates, after, before):
        delta = dcarry[0] * slope(after[0])
        return (delta @ ut,), delta

    return step


def _rnn_travel(activation, reverse, course, cotangents):
    dlast, dy = cotangents
    dx, delta, (dcarry,) = error_signals(_rnn_step_back(activation, course), course, (dlast,), dy, reverse)
    return (dx, dcarry, None), delta


def _rnn_factors(activation, reverse, course, delta):
    return _factors(course, reverse, delta, delta)


in_two(rnn, _rnn_travel, _rnn_factors)


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

    Args:
      w: weights of the input for the gates r (reset), s (update; z in PyTorch and Flax) and n (candidate), side by side
        in this order.
      u: weights of the state, in the same order.
      b: biases in the same order, or None.  PyTorch has two; their sum for r and s, that of the input for n.
      b_n: the candidate's second bias, inside what r multiplies, or None.
    """
    return _gru_fwd(x, w, u, b, b_n, carry, seq_lengths, reverse)[0]


def _gru_fwd(x, w, u, b, b_n, carry, seq_lengths, reverse):
    _check("gru", 3, x, w, u, b, seq_lengths, b_n=b_n, carry=carry)
    wide_u, offset, hidden = widen(u), 0 if b_n is None else widen(b_n), len(u)

    def step(carry, z):
        (h,) = carry
        m = h @ wide_u
        r, s = jnp.split(jax.nn.sigmoid(z[:, : 2 * hidden] + m[:, : 2 * hidden]), 2, axis=-1)
        q = m[:, 2 * hidden :] + offset
        n = jnp.tanh(z[:, 2 * hidden :] + r * q)
        return ((1 - s) * n + s * h,), jnp.concatenate([r, s, n, q], axis=-1)

    (last,), y, course = forward(step, x, w, u, b, (carry,), seq_lengths, reverse)
    return (last, y), (course, b_n)


def _gru_bwd(reverse, residuals, cotangents):
    (course, b_n), (dlast, dy) = residuals, cotangents
    dx, dw, du, db, db_of_state, (dcarry,) = backward(
        _gru_step_back(course), course, (dlast,), dy, reverse, _gru_of_state
    )
    gradients = dw, du, db, db_of_state[2 * len(course.u) :]
    return dx, *_like((course.w, course.u, course.b, b_n), gradients), dcarry, None


gru.defvjp(_gru_fwd, _gru_bwd)


def _gru_step_back(course):
    ut = widen(course.u).T

    def step(dcarry, gates, after, before):
        (dh,), (h,), (r, s, n, q) = dcarry, before, jnp.split(gates, 4, axis=-1)
        delta_n = dh * (1 - s) * (1 - n * n)
        delta = jnp.concatenate([delta_n * q * r * (1 - r), dh * (h - n) * s * (1 - s), delta_n], axis=-1)
        return (dh * s + _gru_of_state(gates, delta) @ ut,), delta

    return step


def _gru_of_state(gates, delta):
    """δ' from δ: the part of n times r."""
    hidden = gates.shape[-1] // 4
    return delta.at[..., 2 * hidden :].multiply(gates[..., :hidden])


def _gru_travel(reverse, residuals, cotangents):
    (course, _), (dlast, dy) = residuals, cotangents
    dx, delta, (dcarry,) = error_signals(_gru_step_back(course), course, (dlast,), dy, reverse)
    return (dx, dcarry, None), delta


def _gru_factors(reverse, residuals, delta):
    course, _ = residuals
    of_state = _gru_of_state(gates_of(course), delta)
    return {**_factors(course, reverse, delta, of_state), "b_n": Summed(of_state[..., 2 * len(course.u) :])}


in_two(gru, _gru_travel, _gru_factors)


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

    Args:
      w: weights of the input for the gates i, f, g and o, side by side in this order, that of PyTorch and Flax.
      u: weights of the state, in the same order.
      b: biases in the same order, or None.
      carry: (c, h), in the order of Flax.
    """
    return _lstm_fwd(x, w, u, b, carry, seq_lengths, reverse)[0]


def _lstm_fwd(x, w, u, b, carry, seq_lengths, reverse):
    c, h = (None, None) if carry is None else carry
    _check("lstm", 4, x, w, u, b, seq_lengths, c=c, h=h)
    wide_u = widen(u)

    def step(carry, z):
        c, h = carry
        i, f, g, o = jnp.split(z + h @ wide_u, 4, axis=-1)
        i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
        c = f * c + i * g
        return (c, o * _tanh(c)), jnp.concatenate([i, f, g, o], axis=-1)

    last, y, course = forward(step, x, w, u, b, (c, h), seq_lengths, reverse)
    return (last, y), course


_tanh = jax.jit(jnp.tanh)
"""A function of its own to automatic differentiation, which finds t − t for its slope at −∞, and so sums these two
before it adds them to what else c receives."""


def _lstm_bwd(reverse, course, cotangents):
    dlast, dy = cotangents
    dx, dw, du, db, _, dcarry = backward(_lstm_step_back(course), course, dlast, dy, reverse)
    return dx, *_like((course.w, course.u, course.b), (dw, du, db)), _or_none(dcarry), None


lstm.defvjp(_lstm_fwd, _lstm_bwd)


def _lstm_step_back(course):
    ut = widen(course.u).T

    def step(dcarry, gates, after, before):
        (dc, dh), (i, f, g, o), a = dcarry, jnp.split(gates, 4, axis=-1), jnp.tanh(after[0])
        dc = dc + dh * o * (1 - a * a)
        parts = dc * g * i * (1 - i), dc * before[0] * f * (1 - f), dc * i * (1 - g * g), dh * a * o * (1 - o)
        delta = jnp.concatenate(parts, axis=-1)
        return (dc * f, delta @ ut), delta

    return step


def _or_none(dcarry):
    """The gradient of (c, h), None where they were not given."""
    return None if dcarry[0] is None else dcarry


def _lstm_travel(reverse, course, cotangents):
    dlast, dy = cotangents
    dx, delta, dcarry = error_signals(_lstm_step_back(course), course, dlast, dy, reverse)
    return (dx, _or_none(dcarry), None), delta


def _lstm_factors(reverse, course, delta):
    return _factors(course, reverse, delta, delta)


in_two(lstm, _lstm_travel, _lstm_factors)


def _factors(course, reverse, delta, of_state):
    """What W, U and b get from δ and δ'."""
    return {"w": Outer(course.x, delta), "u": Outer(states_before(course, reverse), of_state), "b": Summed(delta)}


def bidirectional(
    rule: Callable, x: Float[Array, "*batch time n_in"], onward: tuple, back: tuple, seq_lengths: Array | None = None
) -> tuple[tuple[Any, Any], Float[Array, "*batch time both"]]:
    """One of the rules above in both directions over the same sequences.

    Args:
      rule: `rnn`, `gru` or `lstm`, options bound by `functools.partial`.
      x: sequences.
      onward: the rule's arguments from w to carry for the direction from the first step to the last.
      back: those for the other direction.
      seq_lengths: how many steps of each sequence count; all unless given.

    Returns:
      The last carry of each direction, and the outputs of both side by side, those onward first.
    """
    last, y = rule(x, *onward, seq_lengths=seq_lengths)
    first, z = rule(x, *back, seq_lengths=seq_lengths, reverse=True)
    return (last, first), jnp.concatenate([y, z], axis=-1)


def _like(arguments, gradients):
    """Each gradient in its argument's dtype, None for an argument that was not given."""
    pairs = zip(arguments, gradients, strict=True)
    return tuple(None if argument is None else gradient.astype(argument.dtype) for argument, gradient in pairs)


def _check(rule, gates, x, w, u, b, seq_lengths, b_n=None, **carry):
    given = {"b": b, "b_n": b_n, **carry}
    check_floating(rule, x=x, w=w, u=u, **{name: array for name, array in given.items() if array is not None})
    if x.ndim < 2:
        raise ValueError(f"{rule}: x, wanted shape (*batch, time, n_in), got {x.shape}")
    if u.ndim != 2 or u.shape[1] != gates * u.shape[0]:
        raise ValueError(f"{rule}: u, wanted shape (hidden, {gates} · hidden), got {u.shape}")
    hidden, columns = u.shape
    wanted = {
        "w": (w, (x.shape[-1], columns)),
        "b": (b, (columns,)),
        "b_n": (b_n, (hidden,)),
        **{name: (state, (*x.shape[:-2], hidden)) for name, state in carry.items()},
        "seq_lengths": (seq_lengths, x.shape[:-2]),
    }
    for name, (array, shape) in wanted.items():
        if array is not None and array.shape != shape:
            raise ValueError(
                f"{rule}: {name}, wanted shape {shape} for x of {x.shape}, u of {u.shape}, got {array.shape}"
            )
    if seq_lengths is not None:
        time = x.shape[-2]
        check_numbers(rule, "seq_lengths", seq_lengths, time, f"numbers in [0, {time}]")
